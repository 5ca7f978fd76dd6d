"""One `deliver`: what its caller asked for, how it ended, and the signals that end it early."""

import signal
import threading
from dataclasses import dataclass, field
from enum import Enum
from types import FrameType, TracebackType
from typing import Literal

from mail.delivery.record import Result
from mail.delivery.stopping import stopping
from mail.models.delivery import DeliveryState


class All(Enum):
    ALL = "all"


ALL = All.ALL
Scope = int | Literal[All.ALL] | None


@dataclass
class Outcome:
    """What one `deliver` did. `more`: it stopped early (time, signal), there may be due mails left."""

    sent: int = 0
    deferred: int = 0
    errors: int = 0
    unknown: int = 0
    excluded: int = 0
    trouble: str = ""  # the relay could not be used: nobody's mail was touched
    more: bool = False
    jobs: set[int] = field(default_factory=set)  # whose mails were claimed

    @property
    def handled(self) -> int:
        return self.sent + self.deferred + self.errors + self.unknown + self.excluded


class Run:
    """`claiming`: the feeder may take more. `open`: what waits may still go out. Flags only: set by one thread, read
    by others."""

    def __init__(self, scope: Scope) -> None:
        self.all_jobs = scope is ALL
        self.job_id = None if isinstance(scope, All) else scope
        self.outcome = Outcome()
        self.claiming = True
        self.open = True
        self.over = False  # nothing is due, the relay is away, or something failed
        self.error: Exception | None = None

    def nothing_due(self) -> None:
        self.claiming = False
        self.over = True

    def failed(self, error: Exception) -> None:
        self.error = error
        self.nothing_due()

    def tally(self, result: Result) -> None:
        match result.state:
            case DeliveryState.SENT:
                self.outcome.sent += 1
            case DeliveryState.DEFERRED:
                self.outcome.deferred += 1
            case DeliveryState.ERROR:
                self.outcome.errors += 1
            case DeliveryState.UNKNOWN:
                self.outcome.unknown += 1
            case DeliveryState.EXCLUDED:
                self.outcome.excluded += 1


class Signals:
    """SIGTERM and SIGINT are noted, and take effect when the work is over. Only the main thread can do this; the others
    see the worker's `stopping`."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._before: dict[int, signal._HANDLER] = {}

    @property
    def stop(self) -> bool:
        return bool(self.came) or stopping()

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.came.append(number)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if self.came:
            signal.raise_signal(self.came[0])

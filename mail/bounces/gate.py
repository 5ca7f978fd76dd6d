"""How much the listener takes on: connections, mails in a minute and bytes, from everybody and from one peer. What is
over the limit is asked to come again (421, 451); mail servers keep their reports and do."""

import time
from collections import deque
from dataclasses import dataclass

PEERS_REMEMBERED = 10_000
MINUTE = 60.0


@dataclass(frozen=True)
class Limits:
    """`mails_a_minute` of one peer is generous: our own mail server in front of the listener is one peer too."""

    connections: int = 200
    connections_of_one_peer: int = 50
    mails_a_minute_of_one_peer: int = 6000
    waiting: int = 100  # mails that wait for the database
    bytes: int = 128 * 1024 * 1024  # of all mails in memory together
    idle_seconds: float = 120.0  # between commands, and for all of one mail's data
    session_seconds: float = 1800.0


class Gate:
    """Counts for one listener; used from its event loop only."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.bytes = 0
        self.waiting = 0
        self._open: dict[str, int] = {}
        self._mails: dict[str, deque[float]] = {}

    @property
    def connections(self) -> int:
        return sum(self._open.values())

    def enter(self, peer: str) -> bool:
        """A new connection. True: call `leave` when it ends."""
        mine = self._open.get(peer, 0)
        if self.connections >= self.limits.connections or mine >= self.limits.connections_of_one_peer:
            return False
        self._open[peer] = mine + 1
        return True

    def leave(self, peer: str) -> None:
        left = self._open.get(peer, 0) - 1
        if left > 0:
            self._open[peer] = left
        else:
            self._open.pop(peer, None)

    def one_more_mail(self, peer: str) -> bool:
        """Counts a mail of this peer; False when it has sent too many within the last minute."""
        now = time.monotonic()
        if len(self._mails) >= PEERS_REMEMBERED and peer not in self._mails:
            self._mails = {one: times for one, times in self._mails.items() if times[-1] > now - MINUTE}
            if len(self._mails) >= PEERS_REMEMBERED:
                return False
        times = self._mails.setdefault(peer, deque(maxlen=self.limits.mails_a_minute_of_one_peer))
        if len(times) == times.maxlen and times[0] > now - MINUTE:
            return False
        times.append(now)
        return True

    def hold(self, size: int) -> bool:
        """Takes room for so many bytes; give it back with `release`."""
        if self.bytes + size > self.limits.bytes:
            return False
        self.bytes += size
        return True

    def release(self, size: int) -> None:
        self.bytes -= size

"""Where mails wait for an agent. A site queue is a site and a pool of sources; a source queue is one source of it.

    site_queue.put → waiting → (throttle admits) → source_queue.ready → agent

All on the engine's loop. A site queue that is blocked or too slow gives its mails back, so that neither leases nor the
bounded buffer are held by it: `next_at` is spread by the site's own speed.
"""

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from mail.delivery import verdicts
from mail.delivery.outgoing import OutgoingMail
from mail.delivery.routing import Admission, Site
from mail.delivery.source_queues import SHORT_WAIT, SourceQueue
from mail.smtp.outcomes import NoSession

if TYPE_CHECKING:
    from mail.delivery.engine import Engine

logger = logging.getLogger(__name__)

BLOCKED_FOR = 15.0  # seconds until mails are tried again whose relay is away
DEAD_FOR = 120.0  # no server of a site answered: so long nobody tries again
GRANT = 50
LONGEST_WAIT = 3600.0  # seconds a row is put off at most …
LONGEST_GUESS = 600.0  # … and where the site's speed is only what was seen of it
AHEAD = 20.0  # seconds' worth of mail that may wait here for a slow site
MEASURED = 10.0  # seconds over which a site's speed is looked at
RESTS = 4  # looks, two seconds: longer than from one run to the next
ASSUMED_RATE = 50.0  # mails per second of a site nobody has measured yet


class SiteQueue:
    """One site for one pool of sources."""

    def __init__(self, engine: "Engine", site: Site, pool: str) -> None:
        self.engine = engine
        self.site = site
        self.pool = pool
        self.waiting: deque[OutgoingMail] = deque()
        self.source_queues: dict[str, SourceQueue] = {}
        self.dead_until = 0.0
        self.dead_because: NoSession | None = None
        self.booked_until = 0.0  # monotonic; turns of what was put off are given away until then
        self._pump: asyncio.Task[None] | None = None
        self._handed: deque[tuple[float, int]] = deque()  # (when, how many) of the last seconds
        self._busy_since = monotonic()  # since then mail has always waited: what was seen is all it takes
        self._rests = 0  # looks in a row that found nothing waiting

    # ---- in

    def put(self, mails: Iterable[OutgoingMail]) -> None:
        mails = list(mails)
        if self.dead_because is not None and self.dead:
            self._no_way(mails, self.dead_because)
            return
        # Single mails, test mails and alerts are few, and somebody waits for them.
        self.waiting.extendleft(outgoing for outgoing in mails[::-1] if outgoing.row.job_id is None)
        self.waiting.extend(outgoing for outgoing in mails if outgoing.row.job_id is not None)
        self._start_pump()

    def _start_pump(self) -> None:
        if self.waiting and (self._pump is None or self._pump.done()):
            self._pump = self.engine.start(self._admit())

    async def _admit(self) -> None:
        """Moves what waits to the source queues, as fast as the throttle lets it."""
        while self.waiting:
            count = min(len(self.waiting), GRANT)
            admission = await self.engine.routing.admit(self.site, self.pool, count)
            if admission.granted > 0:
                source_queue = self._source_queue(admission)
                source_queue.put(
                    [self.waiting.popleft() for _n in range(min(admission.granted, len(self.waiting)))]
                )
            elif admission.wait <= SHORT_WAIT:
                await asyncio.sleep(max(admission.wait, 0.01))
            else:
                self.put_off(list(self.waiting), at_least=admission.wait)
                self.waiting.clear()
            if self.dead_because is not None and self.dead:
                self._no_way(self.empty(), self.dead_because)

    def _source_queue(self, admission: Admission) -> "SourceQueue":
        if admission.source not in self.source_queues:
            self.source_queues[admission.source] = SourceQueue(self, admission.source, admission.helo)
        return self.source_queues[admission.source]

    # ---- out again

    def empty(self) -> list[OutgoingMail]:
        """Takes out everything that no agent has begun."""
        mails = list(self.waiting)
        self.waiting.clear()
        for source_queue in self.source_queues.values():
            mails += source_queue.ready
            source_queue.ready.clear()
        return mails

    def _no_way(self, mails: list[OutgoingMail], error: NoSession) -> None:
        if self.site.relay:
            self.engine.relay_is_away(mails, error.text, BLOCKED_FOR)
            return
        for outgoing in mails:
            self.engine.settle(outgoing, verdicts.no_session(outgoing, error, self.site.label), self.site)

    def died(self, error: NoSession) -> None:
        """None of its servers could be talked to, and no agent is at work."""
        self.dead_because = error
        self.dead_until = monotonic() + (BLOCKED_FOR if self.site.relay else DEAD_FOR)
        self._no_way(self.empty(), error)

    @property
    def dead(self) -> bool:
        return self.dead_because is not None and monotonic() < self.dead_until

    def lives(self) -> None:
        self.dead_because = None

    # ---- speed

    def handed_over(self, count: int = 1) -> None:
        now = monotonic()
        if self._handed and now - self._handed[-1][0] < 0.5:
            when, before = self._handed[-1]
            self._handed[-1] = (when, before + count)
        else:
            self._handed.append((now, count))
        while self._handed and now - self._handed[0][0] > MEASURED:
            self._handed.popleft()

    def _seen(self) -> int:
        """Mails of the last ten seconds."""
        now = monotonic()
        return sum(count for when, count in self._handed if now - when <= MEASURED)

    def rate(self) -> float:
        """Mails a second it takes: what was seen in ten seconds in which mail always waited, its rule at most."""
        minute = self.site.rule.mails_per_minute
        most = max(minute, 1) / 60 if minute else math.inf
        if monotonic() - self._busy_since < MEASURED:
            return most if minute else ASSUMED_RATE
        return min(most, max(self._seen() / MEASURED, 0.1))

    @property
    def queued(self) -> int:
        return len(self.waiting) + sum(
            len(source_queue.ready) for source_queue in self.source_queues.values()
        )

    def overfull_by(self) -> int:
        return self.queued - max(int(self.rate() * AHEAD), 20)

    def crowded(self) -> bool:
        """More waits here than it takes soon. Whoever comes while there is room is let in, also before those that were
        put off: these come back at their turn, and must find the door open then."""
        return self.overfull_by() > 0

    def put_off(self, mails: list[OutgoingMail], *, at_least: float = 0.0) -> None:
        """Back to the queue of the database, one after the other at the site's speed."""
        self.engine.give_back_each(self.turns(mails, at_least=at_least))

    def turns(self, mails: list[OutgoingMail], *, at_least: float = 0.0) -> list[tuple[OutgoingMail, float]]:
        """Each mail with the seconds until its turn, behind those that were put off before. Beyond the longest wait
        they come back spread over a while, to be put off again: meanwhile the site may have become faster."""
        now, step = monotonic(), 1 / self.rate()
        minute = self.site.rule.mails_per_minute
        by_rule = minute is not None and step < 60.1 / minute
        longest = LONGEST_WAIT if by_rule or at_least > LONGEST_GUESS else LONGEST_GUESS
        turn = max(self.booked_until, now + max(at_least, AHEAD / 2))
        waits = []
        for outgoing in mails:
            turn += step
            if turn - now < longest:
                waits.append((outgoing, turn - now))
            else:
                turn = now + longest
                waits.append((outgoing, longest * random.uniform(0.5, 1.0)))
        self.booked_until = turn
        return waits

    def trim(self) -> None:
        """From time to time: more waits here than can be sent soon."""
        over = self.overfull_by()
        if over <= 0 or not self.engine.others_wait(self):
            return
        taken: list[OutgoingMail] = []
        for queue in (self.waiting, *(source_queue.ready for source_queue in self.source_queues.values())):
            while queue and len(taken) < over:
                taken.append(queue.pop())
        self.put_off(taken[::-1])

    def look(self) -> None:
        """From time to time: what waits although nothing moves, because something failed unexpectedly."""
        self._rests = 0 if self.queued else self._rests + 1
        if self._rests >= RESTS:
            self._busy_since = monotonic()
        self._start_pump()
        for source_queue in self.source_queues.values():
            source_queue.look()

    @property
    def works(self) -> bool:
        """Some connection of it is open."""
        return any(source_queue.working for source_queue in self.source_queues.values())

    @property
    def in_use(self) -> bool:
        return bool(
            self.waiting
            or any(source_queue.ready or source_queue.agents for source_queue in self.source_queues.values())
        )

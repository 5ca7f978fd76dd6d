"""Where parcels wait for a lane. A way is a site and a pool of sources; a yard is one source of it.

    way.put → waiting → (throttle admits) → yard.ready → lane

All on the engine's loop. A way that is blocked or too slow gives its mails back, so that neither leases nor the
bounded buffer are held by it: `next_at` is spread by the site's own speed.
"""

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from django.conf import settings

from mail.delivery import verdicts
from mail.delivery.brake import HOLD
from mail.delivery.lanes import Lane
from mail.delivery.parcel import Parcel
from mail.delivery.record import Result
from mail.delivery.routing import Admission, OtherFamily, Site
from mail.smtp.client import Session, Tls
from mail.smtp.outcomes import NoSession
from mail.smtp.replies import Reply

if TYPE_CHECKING:
    from mail.delivery.engine import Engine

logger = logging.getLogger(__name__)

BLOCKED_FOR = 15.0  # seconds until mails are tried again whose relay is away
DEAD_FOR = 120.0  # no server of a site answered: so long nobody tries again
WORTH_A_LANE = 5  # mails that wait until another connection pays
# Seconds between two openings. All at once, the first of several workers would take every connection a site allows,
# and the others would have none until those end; and a receiver would see them come in the same moment.
LANE_EVERY = 0.05
STUCK = 1.0  # seconds without progress after which one is opened anyway
GRANT = 50
SHORT_WAIT = 5.0  # seconds the throttle's wait is waited out
LONGEST_WAIT = 3600.0  # seconds a row is put off at most …
LONGEST_GUESS = 600.0  # … and where the site's speed is only what was seen of it
AHEAD = 20.0  # seconds' worth of mail that may wait here for a slow site
MEASURED = 10.0  # seconds over which a site's speed is looked at
RESTS = 4  # looks, two seconds: longer than from one run to the next
ASSUMED_RATE = 50.0  # mails per second of a site nobody has measured yet


class Way:
    """One site for one pool of sources."""

    def __init__(self, engine: "Engine", site: Site, pool: str) -> None:
        self.engine = engine
        self.site = site
        self.pool = pool
        self.waiting: deque[Parcel] = deque()
        self.yards: dict[str, Yard] = {}
        self.dead_until = 0.0
        self.dead_because: NoSession | None = None
        self.booked_until = 0.0  # monotonic; turns of what was put off are given away until then
        self._pump: asyncio.Task[None] | None = None
        self._handed: deque[tuple[float, int]] = deque()  # (when, how many) of the last seconds
        self._busy_since = monotonic()  # since then mail has always waited: what was seen is all it takes
        self._rests = 0  # looks in a row that found nothing waiting

    # ---- in

    def put(self, parcels: Iterable[Parcel]) -> None:
        parcels = list(parcels)
        if self.dead_because is not None and self.dead:
            self._no_way(parcels, self.dead_because)
            return
        # Single mails, test mails and alerts are few, and somebody waits for them.
        self.waiting.extendleft(parcel for parcel in parcels[::-1] if parcel.row.job_id is None)
        self.waiting.extend(parcel for parcel in parcels if parcel.row.job_id is not None)
        self._start_pump()

    def _start_pump(self) -> None:
        if self.waiting and (self._pump is None or self._pump.done()):
            self._pump = self.engine.start(self._admit())

    async def _admit(self) -> None:
        """Moves what waits to the yards, as fast as the throttle lets it."""
        while self.waiting:
            count = min(len(self.waiting), GRANT)
            admission = await self.engine.routing.admit(self.site, self.pool, count)
            if admission.granted > 0:
                yard = self._yard(admission)
                yard.put([self.waiting.popleft() for _n in range(min(admission.granted, len(self.waiting)))])
            elif admission.wait <= SHORT_WAIT:
                await asyncio.sleep(max(admission.wait, 0.01))
            else:
                self.put_off(list(self.waiting), at_least=admission.wait)
                self.waiting.clear()
            if self.dead_because is not None and self.dead:
                self._no_way(self.empty(), self.dead_because)

    def _yard(self, admission: Admission) -> "Yard":
        if admission.source not in self.yards:
            self.yards[admission.source] = Yard(self, admission.source, admission.helo)
        return self.yards[admission.source]

    # ---- out again

    def empty(self) -> list[Parcel]:
        """Takes out everything that no lane has begun."""
        parcels = list(self.waiting)
        self.waiting.clear()
        for yard in self.yards.values():
            parcels += yard.ready
            yard.ready.clear()
        return parcels

    def _no_way(self, parcels: list[Parcel], error: NoSession) -> None:
        if self.site.relay:
            self.engine.relay_is_away(parcels, error.text, BLOCKED_FOR)
            return
        for parcel in parcels:
            self.engine.settle(parcel, verdicts.no_session(parcel, error, self.site.label), self.site)

    def died(self, error: NoSession) -> None:
        """None of its servers could be talked to, and no lane is at work."""
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
        return len(self.waiting) + sum(len(yard.ready) for yard in self.yards.values())

    def overfull_by(self) -> int:
        return self.queued - max(int(self.rate() * AHEAD), 20)

    def crowded(self) -> bool:
        """More waits here than it takes soon. Whoever comes while there is room is let in, also before those that were
        put off: these come back at their turn, and must find the door open then."""
        return self.overfull_by() > 0

    def put_off(self, parcels: list[Parcel], *, at_least: float = 0.0) -> None:
        """Back to the queue of the database, one after the other at the site's speed."""
        self.engine.give_back_each(self.turns(parcels, at_least=at_least))

    def turns(self, parcels: list[Parcel], *, at_least: float = 0.0) -> list[tuple[Parcel, float]]:
        """Each parcel with the seconds until its turn, behind those that were put off before. Beyond the longest wait
        they come back spread over a while, to be put off again: meanwhile the site may have become faster."""
        now, step = monotonic(), 1 / self.rate()
        minute = self.site.rule.mails_per_minute
        by_rule = minute is not None and step < 60.1 / minute
        longest = LONGEST_WAIT if by_rule or at_least > LONGEST_GUESS else LONGEST_GUESS
        turn = max(self.booked_until, now + max(at_least, AHEAD / 2))
        waits = []
        for parcel in parcels:
            turn += step
            if turn - now < longest:
                waits.append((parcel, turn - now))
            else:
                turn = now + longest
                waits.append((parcel, longest * random.uniform(0.5, 1.0)))
        self.booked_until = turn
        return waits

    def trim(self) -> None:
        """From time to time: more waits here than can be sent soon."""
        over = self.overfull_by()
        if over <= 0 or not self.engine.others_wait(self):
            return
        taken: list[Parcel] = []
        for queue in (self.waiting, *(yard.ready for yard in self.yards.values())):
            while queue and len(taken) < over:
                taken.append(queue.pop())
        self.put_off(taken[::-1])

    def look(self) -> None:
        """From time to time: what waits although nothing moves, because something failed unexpectedly."""
        self._rests = 0 if self.queued else self._rests + 1
        if self._rests >= RESTS:
            self._busy_since = monotonic()
        self._start_pump()
        for yard in self.yards.values():
            yard.look()

    @property
    def works(self) -> bool:
        """Some connection of it is open."""
        return any(yard.working for yard in self.yards.values())

    @property
    def in_use(self) -> bool:
        return bool(self.waiting or any(yard.ready or yard.lanes for yard in self.yards.values()))


class Yard:
    """The lanes of one source to one site."""

    def __init__(self, way: Way, source: str, helo: str) -> None:
        self.way = way
        self.engine = way.engine
        self.source = source
        self.helo = helo
        self.ready: deque[Parcel] = deque()
        self.lanes: set[asyncio.Task[None]] = set()
        self.working: set[Lane] = set()
        self._idle: deque[asyncio.Future[bool]] = deque()
        self._well = 0
        self._moved = monotonic()
        self._limited_until = 0.0  # the server took no more connections
        self._next_lane: asyncio.TimerHandle | None = None

    @property
    def mails_per_connection(self) -> int:
        return self.way.site.rule.mails_per_connection

    # ---- parcels

    def put(self, parcels: Iterable[Parcel]) -> None:
        self.ready.extend(parcels)
        self._wake()
        self._open_lanes()

    def put_back(self, parcel: Parcel) -> None:
        self.ready.appendleft(parcel)
        self._wake()
        self._open_lanes()

    def take(self) -> Parcel | None:
        """The next one; what was braked while it waited goes back."""
        while self.ready:
            self._moved = monotonic()
            parcel = self.ready.popleft()
            if not self.engine.routing.is_braked(parcel):
                return parcel
            self.engine.give_back_each([(parcel, HOLD)])
        return None

    def _wake(self) -> None:
        for _parcel in range(len(self.ready)):
            if not self._idle:
                return
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(True)

    async def something_to_send(self, seconds: float) -> bool:
        """Waits for a parcel; False when none came."""
        if self.ready:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._idle.append(waiter)
        timer = loop.call_later(seconds, _say_no, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            with suppress(ValueError):
                self._idle.remove(waiter)

    def settle(self, parcel: Parcel, result: Result) -> None:
        self.way.handed_over()
        self.engine.settle(parcel, result, self.way.site)

    def went_well(self) -> None:
        self._well += 1

    def complained(self, reply: Reply) -> None:
        self.engine.start(self.engine.routing.complained(self.way.site, self.source, reply))

    # ---- lanes

    def look(self) -> None:
        if self._well:
            well, self._well = self._well, 0
            self.engine.start(self.engine.routing.went_well(self.way.site, self.source, well))
        if self.ready and monotonic() - self._moved > STUCK:
            self._open_lanes(stuck=True)

    def _open_lanes(self, *, stuck: bool = False) -> None:
        """As many as the rule allows and the queue pays for."""
        limit = self.way.site.rule.connections
        if monotonic() < self._limited_until:
            limit = max(1, min(limit, len(self.working)))
        idle = sum(not waiter.done() for waiter in self._idle)
        wanted = len(self.lanes) + 1 if stuck else (len(self.ready) + WORTH_A_LANE - 1) // WORTH_A_LANE
        if not self.ready or idle or len(self.lanes) >= min(limit, wanted) or self._next_lane is not None:
            return
        task = self.engine.start(self._lane())
        self.lanes.add(task)
        task.add_done_callback(self._left)
        self._next_lane = self.engine.loop.call_later(LANE_EVERY, self._another_lane)

    def _another_lane(self) -> None:
        self._next_lane = None
        if not self.engine.closing:
            self._open_lanes()

    def _left(self, task: asyncio.Task[None]) -> None:
        self.lanes.discard(task)
        failed = (
            task.cancelled() or task.exception() is not None
        )  # logged by the engine; `look` opens another one
        if self.ready and not failed and not self.engine.closing:
            self._open_lanes()

    async def _lane(self) -> None:
        site = self.way.site
        permit = await self.engine.routing.connect(site, self.source)
        if permit is None:  # other processes hold all connections the site allows
            await asyncio.sleep(STUCK)
            if self.ready and not self.lanes - {asyncio.current_task()}:
                self.way.put_off(self.way.empty(), at_least=SHORT_WAIT)
            return
        try:
            try:
                session = await self._open()
            except NoSession as error:
                self._not_opened(error)
                return
            self.way.lives()
            lane = Lane(self, session)
            self.working.add(lane)
            try:
                await lane.work()
                await session.quit()
            finally:
                self.working.discard(lane)
                session.close()
                self.engine.abandon(lane.begun)  # none, unless something unexpected happened
        finally:
            await self.engine.routing.disconnect(permit)

    def _not_opened(self, error: NoSession) -> None:
        if isinstance(error, OtherFamily):  # no attempt: they are admitted again, from another source
            parcels = list(self.ready)
            self.ready.clear()
            self.way.put(parcels)
            return
        logger.warning("no session with %s: %s", self.way.site.label, error.text)
        if error.reply is not None:
            self.complained(error.reply)
        if self.working:
            self._limited_until = monotonic() + 60
        else:
            self.way.died(error)

    async def _open(self) -> Session:
        """The hosts in their order, each address of a host in turn; the last refusal is the one that is told."""
        last: NoSession | None = None
        async for host, address, port in self.engine.routing.addresses(self.way.site, self.source):
            try:
                return await self._open_one(host, address, port)
            except NoSession as error:
                last = error
        raise last or NoSession(f"{self.way.site.label}: no address to connect to")

    async def _open_one(self, host: str, address: str, port: int) -> Session:
        tls = self.engine.routing.tls(self.way.site)
        attempts: tuple[Tls, ...] = (tls, "never")
        for way in attempts:
            try:
                return await Session.open(
                    address,
                    port,
                    host=host,
                    helo=self.helo,
                    source=self.source,
                    timeout=settings.SMTP_TIMEOUT,
                    dot_timeout=settings.SMTP_DOT_TIMEOUT,
                    tls=way,
                )
            except NoSession as error:
                if not (error.tls_failed and way == "opportunistic"):
                    raise
                logger.info("%s: encryption failed, once more in clear (RFC 7435): %s", host, error.text)
        raise AssertionError("unreachable")


def _say_no(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)

"""The connections of one source IP to one site: how many are open, and the mails that are ready for them."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from django.conf import settings

from mail.delivery.agents import DeliveryAgent
from mail.delivery.brake import HOLD
from mail.delivery.outgoing import OutgoingMail
from mail.delivery.record import Result
from mail.delivery.routing import OtherFamily
from mail.smtp.client import Session, Tls
from mail.smtp.outcomes import NoSession
from mail.smtp.replies import Reply

if TYPE_CHECKING:
    from mail.delivery.site_queues import SiteQueue

logger = logging.getLogger(__name__)

WORTH_AN_AGENT = 5  # mails that wait until another connection pays
# Seconds between two openings. All at once, the first of several workers would take every connection a site allows,
# and the others would have none until those end; and a receiver would see them come in the same moment.
AGENT_EVERY = 0.05
STUCK = 1.0  # seconds without progress after which one is opened anyway
SHORT_WAIT = 5.0  # seconds the throttle's wait is waited out


class SourceQueue:
    """The agents of one source to one site."""

    def __init__(self, site_queue: "SiteQueue", source: str, helo: str) -> None:
        self.site_queue = site_queue
        self.engine = site_queue.engine
        self.source = source
        self.helo = helo
        self.ready: deque[OutgoingMail] = deque()
        self.agents: set[asyncio.Task[None]] = set()
        self.working: set[DeliveryAgent] = set()
        self._idle: deque[asyncio.Future[bool]] = deque()
        self._well = 0
        self._moved = monotonic()
        self._limited_until = 0.0  # the server took no more connections
        self._next_lane: asyncio.TimerHandle | None = None

    @property
    def mails_per_connection(self) -> int:
        return self.site_queue.site.rule.mails_per_connection

    # ---- mails

    def put(self, mails: Iterable[OutgoingMail]) -> None:
        self.ready.extend(mails)
        self._wake()
        self._open_agents()

    def put_back(self, outgoing: OutgoingMail) -> None:
        self.ready.appendleft(outgoing)
        self._wake()
        self._open_agents()

    def take(self) -> OutgoingMail | None:
        """The next one; what was braked while it waited goes back."""
        while self.ready:
            self._moved = monotonic()
            outgoing = self.ready.popleft()
            if not self.engine.routing.is_braked(outgoing):
                return outgoing
            self.engine.give_back_each([(outgoing, HOLD)])
        return None

    def _wake(self) -> None:
        for _mail in range(len(self.ready)):
            if not self._idle:
                return
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(True)

    async def something_to_send(self, seconds: float) -> bool:
        """Waits for a mail; False when none came."""
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

    def settle(self, outgoing: OutgoingMail, result: Result) -> None:
        self.site_queue.handed_over()
        self.engine.settle(outgoing, result, self.site_queue.site)

    def went_well(self) -> None:
        self._well += 1

    def complained(self, reply: Reply) -> None:
        self.engine.start(self.engine.routing.complained(self.site_queue.site, self.source, reply))

    # ---- agents

    def look(self) -> None:
        if self._well:
            well, self._well = self._well, 0
            self.engine.start(self.engine.routing.went_well(self.site_queue.site, self.source, well))
        if self.ready and monotonic() - self._moved > STUCK:
            self._open_agents(stuck=True)

    def _open_agents(self, *, stuck: bool = False) -> None:
        """As many as the rule allows and the queue pays for."""
        limit = self.site_queue.site.rule.connections
        if monotonic() < self._limited_until:
            limit = max(1, min(limit, len(self.working)))
        idle = sum(not waiter.done() for waiter in self._idle)
        wanted = len(self.agents) + 1 if stuck else (len(self.ready) + WORTH_AN_AGENT - 1) // WORTH_AN_AGENT
        if not self.ready or idle or len(self.agents) >= min(limit, wanted) or self._next_lane is not None:
            return
        task = self.engine.start(self._agent())
        self.agents.add(task)
        task.add_done_callback(self._left)
        self._next_lane = self.engine.loop.call_later(AGENT_EVERY, self._another_lane)

    def _another_lane(self) -> None:
        self._next_lane = None
        if not self.engine.closing:
            self._open_agents()

    def _left(self, task: asyncio.Task[None]) -> None:
        self.agents.discard(task)
        failed = (
            task.cancelled() or task.exception() is not None
        )  # logged by the engine; `look` opens another one
        if self.ready and not failed and not self.engine.closing:
            self._open_agents()

    async def _agent(self) -> None:
        site = self.site_queue.site
        permit = await self.engine.routing.connect(site, self.source)
        if permit is None:  # other processes hold all connections the site allows
            await asyncio.sleep(STUCK)
            if self.ready and not self.agents - {asyncio.current_task()}:
                self.site_queue.put_off(self.site_queue.empty(), at_least=SHORT_WAIT)
            return
        try:
            try:
                session = await self._open()
            except NoSession as error:
                self._not_opened(error)
                return
            self.site_queue.lives()
            agent = DeliveryAgent(self, session)
            self.working.add(agent)
            try:
                await agent.work()
                await session.quit()
            finally:
                self.working.discard(agent)
                session.close()
                self.engine.abandon(agent.begun)  # none, unless something unexpected happened
        finally:
            await self.engine.routing.disconnect(permit)

    def _not_opened(self, error: NoSession) -> None:
        if isinstance(error, OtherFamily):  # no attempt: they are admitted again, from another source
            mails = list(self.ready)
            self.ready.clear()
            self.site_queue.put(mails)
            return
        logger.warning("no session with %s: %s", self.site_queue.site.label, error.text)
        if error.reply is not None:
            self.complained(error.reply)
        if self.working:
            self._limited_until = monotonic() + 60
        else:
            self.site_queue.died(error)

    async def _open(self) -> Session:
        """The hosts in their order, each address of a host in turn; the last refusal is the one that is told."""
        last: NoSession | None = None
        async for host, address, port in self.engine.routing.addresses(self.site_queue.site, self.source):
            try:
                return await self._open_one(host, address, port)
            except NoSession as error:
                last = error
        raise last or NoSession(f"{self.site_queue.site.label}: no address to connect to")

    async def _open_one(self, host: str, address: str, port: int) -> Session:
        tls = self.engine.routing.tls(self.site_queue.site)
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

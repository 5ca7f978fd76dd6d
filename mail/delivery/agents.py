"""Agents: one SMTP connection each, one mail after the other, one round trip a mail.

    body k, dot k, envelope k+1  →  one write
    the intent of k+1 is committed while they travel
    verdict k, 354 for k+1       →  record k; body k+1 goes only when its 354 AND its intent are there

Runs on the engine's loop. A delivery agent belongs to a source queue (site_queues.py), from which it takes its mails.
"""

import logging
from time import monotonic
from typing import TYPE_CHECKING

from mail.delivery import verdicts
from mail.delivery.compose import Unmade
from mail.delivery.outgoing import OutgoingMail
from mail.delivery.record import Result
from mail.smtp.client import Envelope, Flight, Session
from mail.smtp.outcomes import Interrupted, NoAnswer, Refused, Started

if TYPE_CHECKING:
    from mail.delivery.source_queues import SourceQueue

logger = logging.getLogger(__name__)

IDLE = 8.0  # seconds a connection without mail is kept
PROMPT = (
    5.0  # a server that takes longer for its verdict gets no envelope ahead: it would wait with its intent
)
FRESH = 5.0  # seconds an intent holds without being asked again: from it to the dot there is only the network
TRIES = 3  # sessions that may end under a mail before its body until that counts as an attempt


class DeliveryAgent:
    def __init__(self, source_queue: "SourceQueue", session: Session) -> None:
        self.source_queue = source_queue
        self.session = session
        self.prompt = True
        self.begun: list[OutgoingMail] = []  # taken and not settled yet, two at most

    @property
    def host(self) -> str:
        return self.session.host

    async def work(self) -> None:
        """Until there is nothing to send for a while, the session has ended, or has had its number of mails."""
        current = self._begin_next()
        while True:
            if current is None:
                if not self._goes_on() or not await self.source_queue.something_to_send(IDLE):
                    return
                current = self._begin_next()
                continue
            outgoing, flight = current
            current = None
            started = await self._ready(outgoing, flight)
            if started is None:
                continue
            self.session.body(flight, outgoing.data)
            behind = self._begin_next() if self.prompt else None  # in the same write
            await self._verdict(outgoing, flight, started)
            current = behind

    def _goes_on(self) -> bool:
        return self.session.usable and self.session.mails < self.source_queue.mails_per_connection

    def _begin_next(self) -> tuple[OutgoingMail, Flight] | None:
        while self._goes_on():
            outgoing = self.source_queue.take()
            if outgoing is None:
                return None
            self.begun.append(outgoing)
            envelope = Envelope(
                sender=outgoing.sender,
                recipients=outgoing.part,
                size=outgoing.size,
                own=outgoing.own,
                partly=outgoing.last_attempt,
            )
            try:
                flight = self.session.begin(envelope)
            except ValueError as error:
                self._settle(outgoing, verdicts.unmade(Unmade(outgoing.row, str(error), merged=False)))
                continue
            if outgoing.allowed is None:
                self.source_queue.engine.ask_intent(outgoing)
            return outgoing, flight
        return None

    def _settle(self, outgoing: OutgoingMail, result: Result) -> None:
        self.begun.remove(outgoing)
        self.source_queue.settle(outgoing, result)

    async def _ready(self, outgoing: OutgoingMail, flight: Flight) -> Started | None:
        """354 and the intent. None: this mail does not go out now, and that is settled."""
        assert outgoing.allowed is not None
        started: Started | None = None
        trouble: Refused | Interrupted | None = None
        try:
            started = await flight.ready()
        except (Refused, Interrupted) as error:
            trouble = error
        # Also after a refusal: the ledger is written in the order of the steps.
        allowed = await outgoing.allowed
        if not allowed:
            self.begun.remove(outgoing)
            if trouble is None:
                self.session.close()  # in the middle of DATA this is the only way not to send
            return None
        if trouble is not None:
            self._not_begun(outgoing, trouble)
            return None
        if monotonic() - outgoing.asked_at > FRESH and not await self._still_allowed(outgoing):
            self.begun.remove(outgoing)
            self.session.close()
            return None
        return started

    async def _still_allowed(self, outgoing: OutgoingMail) -> bool:
        """OPT-6: the server, or the mail before this one, took its time. Who opted out meanwhile is not mailed; and the
        lease begins anew, to outlast a verdict that takes as long."""
        self.source_queue.engine.ask_intent(outgoing)
        assert outgoing.allowed is not None
        return await outgoing.allowed

    def _not_begun(self, outgoing: OutgoingMail, trouble: Refused | Interrupted) -> None:
        first_of_session = self.session.mails <= 1
        ended = isinstance(trouble, Interrupted) or trouble.answer.closing
        if ended and not first_of_session and outgoing.tries < TRIES:
            # A session may be ended between two mails, without a word or with 421. The mail had no part in it.
            outgoing.tries += 1
            if isinstance(trouble, Refused):
                self.source_queue.complained(trouble.answer)
            self.begun.remove(outgoing)
            self.source_queue.put_back(outgoing)
        elif isinstance(trouble, Refused):
            self.source_queue.complained(trouble.answer)
            self._settle(outgoing, verdicts.refused(outgoing, trouble, self.host))
        else:
            self._settle(outgoing, verdicts.interrupted(outgoing, trouble, self.host))

    async def _verdict(self, outgoing: OutgoingMail, flight: Flight, started: Started) -> None:
        begun = monotonic()
        try:
            reply = await flight.verdict()
        except NoAnswer as error:
            result = verdicts.no_answer(outgoing, error, self.host)
        except Refused as refusal:
            self.source_queue.complained(refusal.answer)
            result = verdicts.refused(outgoing, refusal, self.host)
        except Interrupted as error:
            result = verdicts.interrupted(outgoing, error, self.host)
        else:
            if reply.positive:
                self.source_queue.went_well()
            else:
                self.source_queue.complained(reply)
            result = verdicts.answered(outgoing, reply, started, self.host)
        self.prompt = monotonic() - begun < PROMPT
        self._settle(outgoing, result)

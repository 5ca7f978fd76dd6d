"""Lanes: one SMTP connection each, one mail after the other, one round trip a mail.

    body k, dot k, envelope k+1  →  one write
    the intent of k+1 is committed while they travel
    verdict k, 354 for k+1       →  record k; body k+1 goes only when its 354 AND its intent are there

Runs on the engine's loop. A lane belongs to a yard (yards.py), from which it takes its parcels.
"""

import logging
from time import monotonic
from typing import TYPE_CHECKING

from mail.delivery import verdicts
from mail.delivery.compose import Unmade
from mail.delivery.parcel import Parcel
from mail.delivery.record import Result
from mail.smtp.client import Envelope, Flight, Session
from mail.smtp.outcomes import Interrupted, NoAnswer, Refused, Started

if TYPE_CHECKING:
    from mail.delivery.yards import Yard

logger = logging.getLogger(__name__)

IDLE = 8.0  # seconds a connection without mail is kept
PROMPT = (
    5.0  # a server that takes longer for its verdict gets no envelope ahead: it would wait with its intent
)
FRESH = 5.0  # seconds an intent holds without being asked again: from it to the dot there is only the network
TRIES = 3  # sessions that may end under a mail before its body until that counts as an attempt


class Lane:
    def __init__(self, yard: "Yard", session: Session) -> None:
        self.yard = yard
        self.session = session
        self.prompt = True
        self.begun: list[Parcel] = []  # taken and not settled yet, two at most

    @property
    def host(self) -> str:
        return self.session.host

    async def work(self) -> None:
        """Until there is nothing to send for a while, the session has ended, or has had its number of mails."""
        current = self._begin_next()
        while True:
            if current is None:
                if not self._goes_on() or not await self.yard.something_to_send(IDLE):
                    return
                current = self._begin_next()
                continue
            parcel, flight = current
            current = None
            started = await self._ready(parcel, flight)
            if started is None:
                continue
            self.session.body(flight, parcel.data)
            behind = self._begin_next() if self.prompt else None  # in the same write
            await self._verdict(parcel, flight, started)
            current = behind

    def _goes_on(self) -> bool:
        return self.session.usable and self.session.mails < self.yard.mails_per_connection

    def _begin_next(self) -> tuple[Parcel, Flight] | None:
        while self._goes_on():
            parcel = self.yard.take()
            if parcel is None:
                return None
            self.begun.append(parcel)
            envelope = Envelope(
                sender=parcel.sender,
                recipients=parcel.part,
                size=parcel.size,
                own=parcel.own,
                partly=parcel.last_attempt,
            )
            try:
                flight = self.session.begin(envelope)
            except ValueError as error:
                self._settle(parcel, verdicts.unmade(Unmade(parcel.row, str(error), merged=False)))
                continue
            if parcel.allowed is None:
                self.yard.engine.ask_intent(parcel)
            return parcel, flight
        return None

    def _settle(self, parcel: Parcel, result: Result) -> None:
        self.begun.remove(parcel)
        self.yard.settle(parcel, result)

    async def _ready(self, parcel: Parcel, flight: Flight) -> Started | None:
        """354 and the intent. None: this mail does not go out now, and that is settled."""
        assert parcel.allowed is not None
        started: Started | None = None
        trouble: Refused | Interrupted | None = None
        try:
            started = await flight.ready()
        except (Refused, Interrupted) as error:
            trouble = error
        # Also after a refusal: the ledger is written in the order of the steps.
        allowed = await parcel.allowed
        if not allowed:
            self.begun.remove(parcel)
            if trouble is None:
                self.session.close()  # in the middle of DATA this is the only way not to send
            return None
        if trouble is not None:
            self._not_begun(parcel, trouble)
            return None
        if monotonic() - parcel.asked_at > FRESH and not await self._still_allowed(parcel):
            self.begun.remove(parcel)
            self.session.close()
            return None
        return started

    async def _still_allowed(self, parcel: Parcel) -> bool:
        """OPT-6: the server, or the mail before this one, took its time. Who opted out meanwhile is not mailed; and the
        lease begins anew, to outlast a verdict that takes as long."""
        self.yard.engine.ask_intent(parcel)
        assert parcel.allowed is not None
        return await parcel.allowed

    def _not_begun(self, parcel: Parcel, trouble: Refused | Interrupted) -> None:
        first_of_session = self.session.mails <= 1
        ended = isinstance(trouble, Interrupted) or trouble.answer.closing
        if ended and not first_of_session and parcel.tries < TRIES:
            # A session may be ended between two mails, without a word or with 421. The mail had no part in it.
            parcel.tries += 1
            if isinstance(trouble, Refused):
                self.yard.complained(trouble.answer)
            self.begun.remove(parcel)
            self.yard.put_back(parcel)
        elif isinstance(trouble, Refused):
            self.yard.complained(trouble.answer)
            self._settle(parcel, verdicts.refused(parcel, trouble, self.host))
        else:
            self._settle(parcel, verdicts.interrupted(parcel, trouble, self.host))

    async def _verdict(self, parcel: Parcel, flight: Flight, started: Started) -> None:
        begun = monotonic()
        try:
            reply = await flight.verdict()
        except NoAnswer as error:
            result = verdicts.no_answer(parcel, error, self.host)
        except Refused as refusal:
            self.yard.complained(refusal.answer)
            result = verdicts.refused(parcel, refusal, self.host)
        except Interrupted as error:
            result = verdicts.interrupted(parcel, error, self.host)
        else:
            if reply.positive:
                self.yard.went_well()
            else:
                self.yard.complained(reply)
            result = verdicts.answered(parcel, reply, started, self.host)
        self.prompt = monotonic() - begun < PROMPT
        self._settle(parcel, result)

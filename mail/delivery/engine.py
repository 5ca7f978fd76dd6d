"""Handing mail over: claim → MAIL, RCPT, DATA → intent → dot → record, one mail after the other over one relay session.

The promise (docs/architecture.md) holds for a process that is killed anywhere in here. What is written where:

    killed before the intent's commit    the row is claimed, its lease ends, the sweeper queues it again
    killed between it and the record     the row is handing_over, its lease ends: 結果不明, never sent again by itself
    the answer is in hand                recorded at once, waiting for the database if need be
"""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from types import FrameType

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from mail.delivery.claim import LEASE_MARGIN, claim, claim_lease, release, renew
from mail.delivery.compose import Composer, Made, Unmade
from mail.delivery.intent import Intent, intend, settle_refused
from mail.delivery.record import Result, record, take_back
from mail.models.delivery import Delivery, DeliveryState
from mail.models.send_job import JobState, SendJob
from mail.recipients.reasons import Reason
from mail.smtp.blocking import Connection, Interrupted, NoAnswer, Refused, RelayTrouble, Started
from mail.smtp.replies import DELIVERED, RETRIES_EXHAUSTED, SILENT_AFTER_DATA, Reply, code_for, may_pass

logger = logging.getLogger(__name__)

BATCH = 50
BLOCKED_FOR = 15.0  # seconds until mails are tried again whose way was blocked (relay away)


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

    @property
    def handled(self) -> int:
        return self.sent + self.deferred + self.errors + self.unknown + self.excluded


@dataclass
class _Stop:
    """Why the loop should end after the mail in the air."""

    deadline: float
    signals: list[int] = field(default_factory=list)
    left: bool = False  # the job is paused, stopped or halted

    @property
    def now(self) -> bool:
        return bool(self.signals) or self.left or monotonic() >= self.deadline


def deliver(job_id: int | None, *, until: datetime) -> Outcome:
    """Hands over what is due of a job in state sending, or with None the mails without a job; returns when nothing is
    due any more, at `until` (plus the mail in the air), or when the relay cannot be used.

    Any number of these may run at once, for the same job too. SIGTERM and SIGINT let the mail in the air finish, give
    the rest back, and then take their usual effect. Call it outside of any transaction.
    """
    stop = _Stop(monotonic() + (until - timezone.now()).total_seconds())
    run = _Run(job_id, stop)
    with _signals_wait(stop):
        try:
            run.work()
        finally:
            run.leave()
    return run.outcome


class _Run:
    def __init__(self, job_id: int | None, stop: _Stop) -> None:
        self.job_id = job_id
        self.stop = stop
        self.outcome = Outcome()
        self.composer = Composer()
        self.relay: Connection | None = None
        self.held: dict[int, Delivery] = {}  # claimed here and not settled yet
        self.lease_until = 0.0
        self.snapshot_id = (
            SendJob.objects.values_list("snapshot_id", flat=True).filter(pk=job_id).first()
            if job_id is not None
            else None
        )

    def work(self) -> None:
        while not self.stop.now:
            started = monotonic()
            batch = claim(self.job_id, BATCH)
            if not batch:
                return
            self.held = {row.pk: row for row in batch}
            self.lease_until = started + claim_lease()
            for row in self._made(batch):
                if self.stop.now:
                    break
                self._renew_in_time()
                try:
                    self._hand_over(row)
                except RelayTrouble as trouble:
                    self._relay_is_away(trouble)
                    return
            self._give_back()
        self.outcome.more = not self.stop.left

    def _made(self, batch: Sequence[Delivery]) -> list[Made]:
        made = self.composer.make(batch, snapshot_id=self.snapshot_id)
        self._record([_unmade(one) for one in made if isinstance(one, Unmade)])
        return [one for one in made if isinstance(one, Made)]

    def _renew_in_time(self) -> None:
        """Before each mail: its claim must outlast everything up to the intent."""
        if self.lease_until - monotonic() < settings.SMTP_TIMEOUT + LEASE_MARGIN / 2:
            started = monotonic()
            renew(self.held.values())
            self.lease_until = started + claim_lease()

    # ---- one mail

    def _hand_over(self, made: Made) -> None:
        """Steps 2 to 4. Raises RelayTrouble when there is no session to be had; the row is still claimed then."""
        row = made.delivery
        try:
            started = self._start(made)
        except Refused as refusal:
            self._record([_refused(made, refusal, self._host())])
            return
        except Interrupted as error:
            self._record([_deferred(made, error.reply, error.text, self._host())])
            return
        except ValueError as error:
            self._drop_session()
            self._record([_unmade(Unmade(row, str(error), merged=False))])
            return
        if not self._intend(made):
            return
        relay = self.relay
        assert relay is not None
        try:
            relay.send_body(made.mail.data)
        except Refused as refusal:
            self._record([_refused(made, refusal, relay.host)])
            return
        except Interrupted as error:
            self._record([_deferred(made, error.reply, error.text, relay.host)])
            return
        try:
            reply = relay.send_dot()
        except NoAnswer as error:
            code = SILENT_AFTER_DATA if error.timed_out else None
            self._record([_result(made, DeliveryState.UNKNOWN, code, "", error.text, relay.host)])
            return
        self._record([_answered(made, reply, started, relay.host)])

    def _start(self, made: Made) -> Started:
        """MAIL to 354. A session that was used before may have been closed without a word: one fresh one is tried."""
        fresh = self.relay is None or not self.relay.usable
        try:
            return self._start_once(made)
        except Interrupted:
            if fresh:
                raise
        except Refused as refusal:
            if fresh or not refusal.answer.closing:
                raise
        self._drop_session()
        return self._start_once(made)

    def _start_once(self, made: Made) -> Started:
        if self.relay is None or not self.relay.usable:
            self.relay = _open_relay()
            self._relay_is_back()
        return self.relay.start(
            made.mail.sender,
            made.recipients,
            size=len(made.mail.data),
            own=made.own,
            partly=made.delivery.last_attempt,
        )

    def _intend(self, made: Made) -> bool:
        """Step 3. False: this mail must not be sent; the session is gone, because DATA can only be left that way."""
        row = made.delivery
        assert row.token is not None
        intent = Intent(
            delivery_id=row.pk,
            token=row.token,
            snapshot_id=made.snapshot_id,
            merge_values=made.values,
            subject=made.mail.subject,
            sent_at=made.sent_at,
            address=row.address or made.own,
        )
        try:
            if row.pk in intend([intent]):
                return True
        except (OperationalError, InterfaceError):
            # Whether the intent is on disk is unknown, but its dot was not sent: the holder may say so.
            self._drop_session()
            logger.warning("the database went away at the intent of mail %s", row.pk, exc_info=True)
            connection.close()
            take_back([row.pk], row.token)
            self.held.pop(row.pk, None)
            return False
        except DatabaseError as error:  # a value that cannot be stored
            self._drop_session()
            logger.exception("the intent of mail %s was refused", row.pk)
            self._record([_unmade(Unmade(row, str(error), merged=False))])
            return False
        self._drop_session()
        settled = settle_refused([intent])
        self.held.pop(row.pk, None)
        reason = settled.get(row.pk)
        if reason is not None:
            self.outcome.excluded += 1
        if reason is None or reason == Reason.STOPPED:
            self.stop.left = self._job_left()
        return False

    def _job_left(self) -> bool:
        return (
            self.job_id is not None
            and not SendJob.objects.filter(pk=self.job_id, state=JobState.SENDING).exists()
        )

    # ---- the ledger

    def _record(self, results: list[Result]) -> None:
        written = record(results)
        for one in results:
            self.held.pop(one.delivery_id, None)
            if one.delivery_id in written:
                self._tally(one)
            else:
                logger.warning("the result %s of mail %s came too late", one.state, one.delivery_id)

    def _tally(self, one: Result) -> None:
        match one.state:
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

    def _give_back(self, wait: float = 0) -> None:
        held, self.held = list(self.held.values()), {}
        release(held, wait=wait)

    # ---- the relay

    def _host(self) -> str:
        return self.relay.host if self.relay else ""

    def _drop_session(self) -> None:
        if self.relay is not None:
            self.relay.close()
        self.relay = None

    def _relay_is_away(self, trouble: RelayTrouble) -> None:
        """No lead's fault and no attempt: everything waits, however long it takes, and the job shows why (ERR-3)."""
        logger.warning("the relay cannot be used: %s", trouble.text)
        self.outcome.trouble = trouble.text
        self._give_back(wait=BLOCKED_FOR)
        if self.job_id is not None:
            SendJob.objects.filter(pk=self.job_id, state=JobState.SENDING).update(halt_reason=trouble.text)

    def _relay_is_back(self) -> None:
        if self.job_id is not None:
            SendJob.objects.filter(pk=self.job_id, state=JobState.SENDING).exclude(halt_reason="").update(
                halt_reason=""
            )

    def leave(self) -> None:
        """Also on the way out of an exception: what is held and was not handed over goes back at once."""
        try:
            if self.relay is not None:
                self.relay.quit()
        finally:
            try:
                self._give_back()
            except (OperationalError, InterfaceError):
                logger.warning("claims could not be given back, the sweeper will", exc_info=True)


def _open_relay() -> Connection:
    host, _colon, port = settings.RELAY.rpartition(":")
    return Connection.open(
        host.strip("[]"),
        int(port),
        helo=settings.MAIL_DOMAIN,
        timeout=settings.SMTP_TIMEOUT,
        dot_timeout=settings.SMTP_DOT_TIMEOUT,
        starttls=settings.RELAY_STARTTLS,
    )


# ---- what an answer means for a delivery ----------------------------------------------------------------------------


def _result(
    made: Made, state: DeliveryState, code: int | None, enhanced: str, reply: str, host: str, failed: str = ""
) -> Result:
    assert made.delivery.token is not None
    return Result(
        made.delivery.pk, made.delivery.token, state, code, enhanced, reply, host, _shown(made, failed)
    )


def _shown(made: Made, address: str) -> str:
    """The lead's own address is stored as entered, so that it can be told from the others (ADDR-4)."""
    return (made.delivery.address or address) if address == made.own else address


def _refused(made: Made, refusal: Refused, host: str) -> Result:
    """Before the data: nothing was sent. 5xx is final; everything else may pass (ERR-3)."""
    answer = refusal.answer
    permanent = 500 <= answer.code < 600
    state = DeliveryState.ERROR if permanent else DeliveryState.DEFERRED
    return _result(made, state, 42000 + answer.code, answer.enhanced, answer.words, host, refusal.address)


def _deferred(made: Made, reply: Reply | None, text: str, host: str) -> Result:
    code = 42000 + reply.code if reply and may_pass(reply) else None
    return _result(made, DeliveryState.DEFERRED, code, reply.enhanced if reply else "", text, host)


def _answered(made: Made, reply: Reply, started: Started, host: str) -> Result:
    """After the dot. Accepted while one of the addresses was refused: an error of the lead's mail (ADDR-4)."""
    if reply.positive and started.refused:
        address, refusal = next(iter(started.refused.items()))
        code = RETRIES_EXHAUSTED if refusal.code < 500 else code_for(refusal)
        return _result(made, DeliveryState.ERROR, code, refusal.enhanced, refusal.words, host, address)
    if reply.positive:
        return _result(made, DeliveryState.SENT, DELIVERED, reply.enhanced, reply.words, host)
    state = DeliveryState.DEFERRED if may_pass(reply) else DeliveryState.ERROR
    return _result(made, state, code_for(reply), reply.enhanced, reply.words, host)


def _unmade(unmade: Unmade) -> Result:
    assert unmade.delivery.token is not None
    if unmade.merged:
        state, reason = DeliveryState.EXCLUDED, Reason.MERGED_ADDRESS.value
    else:
        state, reason = DeliveryState.ERROR, ""
    return Result(
        unmade.delivery.pk, unmade.delivery.token, state, reply=unmade.text, reason=reason, attempted=False
    )


@contextmanager
def _signals_wait(stop: _Stop) -> Iterator[None]:
    """SIGTERM and SIGINT are noted, and take effect when the loop is over. Only the main thread can do this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, _frame: FrameType | None) -> None:
        stop.signals.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if stop.signals:
            signal.raise_signal(stop.signals[0])

"""What an answer means for a delivery (ERR-1..5, ADDR-4). Pure: a mail and what came back → its Result.

A mail whose addresses live at several sites goes out in parts, the lead's own address first. Each part that is settled
(taken, or refused for good) is written down before the next one is sent, so that nobody gets it twice.
"""

from dataclasses import replace

from django.utils.translation import gettext as _

from mail.bounces.cause import cause_of as _cause_of
from mail.delivery.compose import Unmade
from mail.delivery.outgoing import OutgoingMail, domain_of
from mail.delivery.record import Result
from mail.models.delivery import Cause, DeliveryState
from mail.recipients.reasons import Reason
from mail.smtp.outcomes import Interrupted, NoAnswer, NoSession, Refused, Started
from mail.smtp.replies import (
    DELIVERED,
    REPLY_BASE,
    RETRIES_EXHAUSTED,
    SILENT_AFTER_DATA,
    Reply,
    code_for,
    may_pass,
)  # fmt: skip

SENT, DEFERRED, ERROR, UNKNOWN = (
    DeliveryState.SENT, DeliveryState.DEFERRED, DeliveryState.ERROR, DeliveryState.UNKNOWN,
)  # fmt: skip


def answered(outgoing: OutgoingMail, reply: Reply, started: Started, host: str) -> Result:
    """After the dot. Accepted while one of the addresses was refused: an error of the lead's mail (ADDR-4)."""
    if not reply.positive:
        address = "" if outgoing.own in outgoing.part else outgoing.part[0]
        return _no(outgoing, reply, address, host, "data")
    if started.refused:
        address, refusal = next(iter(started.refused.items()))
        failed = _result(outgoing, ERROR, refusal, host, address, stage="rcpt")
        if refusal.code < 500:  # only in the last attempt
            failed = replace(failed, code=RETRIES_EXHAUSTED)
        return _settled(outgoing, failed)
    return _settled(outgoing, _result(outgoing, SENT, reply, host))


def refused(outgoing: OutgoingMail, refusal: Refused, host: str) -> Result:
    """Before the data: nothing of this part was sent. 5xx is final; everything else may pass (ERR-3)."""
    stage = "mail" if refusal.address == outgoing.sender or refusal.command == "MAIL" else "rcpt"
    if refusal.command == "DATA":
        stage = "data"
    return replace(_no(outgoing, refusal.answer, refusal.address, host, stage), handed_over=False)


def interrupted(outgoing: OutgoingMail, error: Interrupted, host: str) -> Result:
    """The session ended before the dot: the part was certainly not taken."""
    reply = error.reply or Reply(0, error.text)
    result = _result(outgoing, DEFERRED, reply, host, stage="data")
    return replace(result, reply=error.text, code=_passing(reply), handed_over=False)


def no_answer(outgoing: OutgoingMail, error: NoAnswer, host: str) -> Result:
    """ERR-4 結果不明."""
    code = SILENT_AFTER_DATA if error.timed_out else None
    return Result(outgoing.pk, outgoing.token, UNKNOWN, code, "", error.text, host)


def no_session(outgoing: OutgoingMail, error: NoSession, host: str) -> Result:
    """None of the site's servers could be talked to: an attempt (ERR-3)."""
    reply = error.reply or Reply(0, error.text)
    result = _result(outgoing, DEFERRED, reply, host, stage="connect")
    return replace(result, reply=error.text, code=_passing(reply), handed_over=False)


def no_route(outgoing: OutgoingMail, text: str, *, permanent: bool, code: int, address: str = "") -> Result:
    """ERR-3: no such domain or null MX is an error at once; DNS that does not answer is tried again and ends the same."""
    failed = "" if address == outgoing.own else address
    result = Result(
        outgoing.pk, outgoing.token, ERROR if permanent else DEFERRED, code, "", text, "", failed, handed_over=False,
        exhausted=code, cause=(Cause.NO_HOST if permanent else Cause.TEMPORARY).value,
    )  # fmt: skip
    return _given_up(outgoing, result) if permanent or outgoing.last_attempt else result


def unmade(one: Unmade) -> Result:
    if one.merged:
        state, reason = DeliveryState.EXCLUDED, Reason.MERGED_ADDRESS.value
    else:
        state, reason = DeliveryState.ERROR, ""
    return Result(one.row.pk, one.row.token, state, reply=one.text, reason=reason, attempted=False)


def not_signed(outgoing: OutgoingMail, text: str) -> Result:
    text = _("The mail could not be signed: %(error)s") % {"error": text}
    return Result(outgoing.pk, outgoing.token, ERROR, reply=text, attempted=False)


def nothing_left(outgoing: OutgoingMail) -> Result:
    """Every address was settled before: what is written down of them is the result."""
    row = outgoing.row
    if row.failed_address:
        return Result(
            row.pk, row.token, ERROR, row.code, row.enhanced_status, row.reply, "", row.failed_address,
            attempted=False, cause=cause_of(row.code, row.enhanced_status, row.reply, stage="rcpt"),
        )  # fmt: skip
    return Result(row.pk, row.token, SENT, DELIVERED, row.enhanced_status, row.reply, attempted=False)


# ---- parts ----------------------------------------------------------------------------------------------------------


def _no(outgoing: OutgoingMail, reply: Reply, address: str, host: str, stage: str) -> Result:
    if may_pass(reply):
        result = _result(outgoing, DEFERRED, reply, host, address, stage=stage)
        if not outgoing.last_attempt:
            return result
        return _given_up(outgoing, replace(result, code=RETRIES_EXHAUSTED), deferred=result)
    return _given_up(outgoing, _result(outgoing, ERROR, reply, host, address, stage=stage))


def _given_up(outgoing: OutgoingMail, result: Result, deferred: Result | None = None) -> Result:
    """This part will not be taken. The lead's own: the mail has failed, nothing else is sent. Another one: the rest
    goes on. `deferred`: what is recorded when nothing is left to go on with."""
    if outgoing.own in outgoing.part or not (outgoing.others or outgoing.row.accepted):
        return deferred or result
    return _settled(outgoing, replace(result, state=ERROR))


def _settled(outgoing: OutgoingMail, result: Result) -> Result:
    """The part is over; the result of the mail, or the way to its next part. The first failure is the one shown."""
    row = outgoing.row
    if row.failed_address and row.failed_address in row.accepted:  # an earlier part was refused for good
        result = replace(
            result, state=ERROR, code=row.code, enhanced_status=row.enhanced_status, reply=row.reply,
            failed_address=row.failed_address, cause=cause_of(row.code, row.enhanced_status, row.reply, stage="rcpt"),
        )  # fmt: skip
    if not (outgoing.others or row.accepted):
        return result
    accepted = tuple(outgoing.part)
    if outgoing.others:
        if result.state == ERROR and result.failed_address not in (*row.accepted, *outgoing.part):
            result = replace(
                result, failed_address=outgoing.part[0]
            )  # how a later part knows that one has failed
        return replace(result, state=DEFERRED, accepted=accepted, at_once=True, attempted=False)
    return replace(result, accepted=accepted)


def _result(
    outgoing: OutgoingMail,
    state: DeliveryState,
    reply: Reply,
    host: str,
    failed: str = "",
    *,
    stage: str = "",
) -> Result:
    if state == SENT:
        return Result(outgoing.pk, outgoing.token, SENT, DELIVERED, reply.enhanced, reply.words, host)
    # The lead's own address is stored as entered, so that it can be told from the others (ADDR-4).
    shown = (outgoing.row.address or failed) if failed == outgoing.own else failed
    code = code_for(reply)
    return Result(
        outgoing.pk, outgoing.token, state, code, reply.enhanced, reply.words, host, shown,
        cause=cause_of(code, reply.enhanced, reply.words, stage=stage, domain=domain_of(failed or outgoing.part[0])),
    )  # fmt: skip


def _passing(reply: Reply) -> int | None:
    return code_for(reply) if reply.code and may_pass(reply) else None


def cause_of(code: int | None, enhanced: str, text: str, *, stage: str, domain: str = "") -> str:
    """`code` as stored, 42550; the causes are told by the reply, 550."""
    reply = code - REPLY_BASE if code and REPLY_BASE <= code < REPLY_BASE + 1000 else 0
    return str(_cause_of(reply, enhanced, text, stage=stage, domain=domain).value)

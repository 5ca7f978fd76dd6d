"""The one door for mail that comes back: the listener, the pipe and the mailbox poll all call `receive`. Mail to a
magazine's own address is a registration by empty mail (MAG-13).

Auto-replies, delays, unsigned, forged and stale addresses change nothing. Nothing is ever answered, and nothing that
was forwarded once is forwarded again (loops). Floods are counted, not stored.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from leads.address import normalise_email
from leads.merge import survivor_of
from leads.models import Lead
from mail.bounces import forward
from mail.bounces.address import Owner, owner_of
from mail.bounces.cause import counts_against_lead
from mail.bounces.forwarded_mail import was_forwarded
from mail.bounces.read import FailedRecipient, Report, read_report
from mail.bounces.record import Bounce, note, record_arrival, record_bounce, record_complaint
from mail.magazines import empty_mail
from mail.models import Delivery, ReturnedKind, ReturnedMail, ReturnedNote
from mail.models.delivery import Cause, DeliveryKind, DeliveryState
from mail.sent_mail import NotRebuilt, rebuild
from mail.smtp.replies import REPLY_BASE, SWITCH_OFF_AT_ONCE, clean_text, enhanced_within, reply_code_within

READ_MAX = 2 * 1024 * 1024  # bytes; what reports say stands in front of the mail they return
STALE_AFTER = timedelta(days=90)  # ERR-1: a report after a month still counts; no server retries for three
STORED_FOR_ONE = 20  # returned mails of one delivery that are stored; the rest is counted
STORED_OF_NOBODY = 1000  # a day, of those that name no mail of ours
REPORTED_MAX = 100  # recipients kept of one report
IN_THE_AIR = (DeliveryState.CLAIMED, DeliveryState.HANDING_OVER)
ARRIVED = frozenset(
    {ReturnedKind.REPORT, ReturnedKind.RECEIPT}
)  # proof that an unknown outcome was a success


@dataclass(frozen=True)
class Received:
    """What a mail was and what it changed.

    kind: one of ReturnedKind, or too_early (its mail is still in the air: ask the sender to come again).
    `repeated`: this very mail was taken before; `note`: why it changed nothing, one of ReturnedNote or "".
    """

    kind: str
    changed: bool = False
    delivery_id: int | None = None
    lead_id: int | None = None
    text: str = ""
    recipients: list[FailedRecipient] = field(default_factory=list)
    cause: str = ""
    hard: bool = False
    note: str = ""
    repeated: bool = False


def receive(
    raw: bytes,
    *,
    recipient: str | None = None,
    sender: str | None = None,
    source: str = "",
    now: datetime | None = None,
) -> Received:
    """Handles one message; when this returns, what it changed is committed. `recipient` and `sender` are the envelope's,
    None when they are not known; `source` one of ReturnedSource. Database errors are raised: whoever calls asks the sender to try again.
    """
    now = now or timezone.now()
    raw = raw[:READ_MAX]
    magazine_id = empty_mail.magazine_addressed(raw, recipient)
    digest = hashlib.sha256((recipient or "").strip().lower().encode() + b"\0" + raw).hexdigest()
    if known := ReturnedMail.objects.defer("raw").filter(digest=digest).first():
        return _again(known)
    if magazine_id is not None:
        return _registration(raw, magazine_id, digest, sender=sender, source=source, now=now)
    report, owner = read_report(raw), owner_of(raw, recipient)
    with transaction.atomic():
        delivery = _delivery(owner)
        lead = _lead(owner, delivery)
        if report.kind == ReturnedKind.FAILURE and delivery and _still_in_the_air(delivery):
            return Received("too_early", False, delivery.pk, delivery.lead_id)
        settled = _settle(report, delivery, lead, looped=was_forwarded(raw), now=now)
        row = _row(settled, report, digest=digest, delivery=delivery, source=source, now=now)
        if settled.kind == ReturnedKind.FAILURE and settled.changed and delivery:
            forward.plan(row, delivery, raw, now=now)
        return _store(row, settled)


def _registration(
    raw: bytes, magazine_id: int, digest: str, *, sender: str | None, source: str, now: datetime
) -> Received:
    """MAG-13: asks for a registration, and is no report."""
    with transaction.atomic():
        taken = empty_mail.take(raw, magazine_id, sender=sender, now=now)
        name = taken.magazine.name if taken.magazine else ""
        received = Received(ReturnedKind.EMPTY_MAIL, taken.request is not None, text=name, note=taken.note)
        row = ReturnedMail(
            at=now, digest=digest, kind=received.kind, source=source, changed=received.changed, note=received.note,
            recipients=[
                {
                    "address": clean_text(taken.address, 320), "action": "", "status": "",
                    "diagnostic": clean_text(name, 500), "cause": "", "hard": False,
                }
            ],
        )  # fmt: skip
        return _store(row, received)


def _settle(
    report: Report, delivery: Delivery | None, lead: Lead | None, *, looped: bool, now: datetime
) -> Received:
    """Applies the effects; what was stored before cannot be told apart here, so each effect is idempotent by itself."""
    found = Received(
        report.kind, False, delivery.pk if delivery else None, lead.pk if lead else None,
        recipients=report.recipients[:REPORTED_MAX],
    )  # fmt: skip
    if looped:
        return replace(found, kind=ReturnedKind.OTHER, note=ReturnedNote.LOOP)
    if report.kind == ReturnedKind.COMPLAINT and (delivery or lead):
        return _complaint(found, report, delivery, lead, now=now)
    if delivery is None:
        return found if lead else replace(found, kind=ReturnedKind.UNSIGNED)
    if report.kind == ReturnedKind.FAILURE:
        return _failure(found, report, delivery, now=now)
    if report.kind in ARRIVED:
        return replace(found, changed=record_arrival(delivery, proof=report.kind, now=now))
    return found


def _failure(found: Received, report: Report, delivery: Delivery, *, now: datetime) -> Received:
    failed, address = _failed(delivery, report)
    found = replace(found, text=failed.diagnostic, cause=failed.cause, hard=failed.hard)
    handed_over = delivery.sent_at or delivery.result_at
    if delivery.state == DeliveryState.ERROR:
        return replace(found, note=ReturnedNote.KNOWN)
    if delivery.state not in {DeliveryState.SENT, DeliveryState.UNKNOWN}:
        return replace(found, note=ReturnedNote.NOT_SENT)
    if handed_over and handed_over < now - STALE_AFTER:
        return replace(found, note=ReturnedNote.STALE)
    own = normalise_email(address) == normalise_email(delivery.address)
    code = REPLY_BASE + reply_code_within(failed.diagnostic)
    bounce = Bounce(
        address=address,
        status=failed.status or enhanced_within(failed.diagnostic),
        text=clean_text(failed.diagnostic),
        cause=failed.cause,
        hard=failed.hard,
        at_once=own and failed.hard and counts_against_lead(failed.cause) and code in SWITCH_OFF_AT_ONCE,
    )
    changed = record_bounce(delivery, bounce, now=now)
    return replace(found, changed=changed, note="" if changed else ReturnedNote.KNOWN)


def _complaint(
    found: Received, report: Report, delivery: Delivery | None, lead: Lead | None, *, now: datetime
) -> Received:
    """OPT-9. The address is mostly blacked out; when it is there and another recipient's of the same mail (CC), it is
    not the lead who complains."""
    reporter = clean_text(report.reported_by, 255)
    named = [one.address for one in report.recipients if one.address]
    elsewhere = (
        delivery is not None and lead is not None and delivery.kind == DeliveryKind.SINGLE
        and normalise_email(delivery.address) != lead.email_norm
    )  # fmt: skip
    if elsewhere or (delivery and named and not any(_is_the_leads(delivery, address) for address in named)):
        return replace(found, note=ReturnedNote.OTHER_ADDRESS)
    return replace(found, changed=record_complaint(delivery, lead, reporter=reporter, now=now))


def _failed(delivery: Delivery, report: Report) -> tuple[FailedRecipient, str]:
    """The failure that counts, the lead's own address before the others, and the address to show (ADDR-4)."""
    failures = [one for one in report.recipients if one.action == "failed"] or report.recipients
    if not failures:  # known to be a failure, of whom it does not say
        return FailedRecipient("", "failed", "", "", Cause.OTHER, False), delivery.address
    for one in failures:
        if normalise_email(one.address) == normalise_email(delivery.address):
            return one, delivery.address
    first = failures[0]
    return first, delivery.address if _is_the_leads(delivery, first.address) else first.address


def _is_the_leads(delivery: Delivery, address: str) -> bool:
    """Whether a report about `address` is about the lead's own copy: it names it, or the mail went to nobody else (then
    it was forwarded on, or the address is blacked out)."""
    if normalise_email(address) == normalise_email(delivery.address):
        return True
    try:
        others = [one for _kind, one in rebuild(delivery).mail.recipients]
    except NotRebuilt:
        return False
    return len(others) == 1 and normalise_email(others[0]) == normalise_email(delivery.address)


# ---- whose it is


def _delivery(owner: Owner | None) -> Delivery | None:
    if owner is None or owner.delivery_id is None:
        return None
    return Delivery.objects.select_related("snapshot").filter(pk=owner.delivery_id).first()


def _lead(owner: Owner | None, delivery: Delivery | None) -> Lead | None:
    lead_id = delivery.lead_id if delivery else owner.lead_id if owner else None
    return survivor_of(lead_id) if lead_id else None


def _still_in_the_air(delivery: Delivery) -> bool:
    """The answer to its hand-over is not recorded yet, or other recipients' servers are still to be tried."""
    return delivery.state in IN_THE_AIR or (
        delivery.state == DeliveryState.DEFERRED and bool(delivery.accepted)
    )


# ---- the row


def _again(row: ReturnedMail) -> Received:
    return Received(
        row.kind,
        False,
        row.delivery_id,
        row.lead_id,
        cause=row.cause,
        hard=row.hard,
        note=row.note,
        repeated=True,
    )


def _row(
    settled: Received, report: Report, *, digest: str, delivery: Delivery | None, source: str, now: datetime
) -> ReturnedMail:
    return ReturnedMail(
        at=now,
        digest=digest,
        kind=settled.kind,
        source=source,
        reporter=clean_text(report.reported_by, 255),
        delivery_id=settled.delivery_id,
        lead_id=settled.lead_id,
        job_id=delivery.job_id if delivery else None,
        recipients=[_stored(one) for one in settled.recipients],
        cause=settled.cause,
        hard=settled.hard,
        changed=settled.changed,
        note=settled.note,
    )


def _stored(one: FailedRecipient) -> dict[str, Any]:
    return {
        "address": clean_text(one.address, 320),
        "action": clean_text(one.action, 20),
        "status": clean_text(one.status, 12),
        "diagnostic": clean_text(one.diagnostic, 500),
        "cause": str(one.cause),
        "hard": one.hard,
    }


def _store(row: ReturnedMail, settled: Received) -> Received:
    """One row a mail, until there are too many; what changed something always has its own."""
    if not settled.changed and _one_too_many(row):
        return settled
    stored, created = ReturnedMail.objects.get_or_create(
        digest=row.digest, defaults={f.attname: getattr(row, f.attname) for f in _COLUMNS}
    )
    if not created:  # another intake had the same mail at the same moment
        return _again(stored)
    if settled.delivery_id and settled.kind in {ReturnedKind.DELAYED, ReturnedKind.COMPLAINT}:
        first = settled.recipients[0] if settled.recipients else None
        note(
            Delivery(pk=settled.delivery_id),
            settled.kind,
            status=first.status if first else "",
            text=clean_text(first.diagnostic if first else row.reporter, 500),
            now=row.at,
        )
    return settled


_COLUMNS = [column for column in ReturnedMail._meta.concrete_fields if column.attname not in {"id", "digest"}]


def _one_too_many(row: ReturnedMail) -> bool:
    """Counts the mail on the newest stored one of its delivery (or of nobody's) when there are enough of them."""
    if row.delivery_id:
        alike, most = ReturnedMail.objects.filter(delivery_id=row.delivery_id), STORED_FOR_ONE
    else:
        day = row.at - timedelta(days=1)
        alike, most = ReturnedMail.objects.filter(delivery_id=None, at__gt=day), STORED_OF_NOBODY
    newest = list(alike.order_by("-at").values_list("pk", flat=True)[:most])
    if len(newest) < most:
        return False
    ReturnedMail.objects.filter(pk=newest[0]).update(further=F("further") + 1)
    return True

"""What a returned mail changes: the delivery, the lead's failures in a row, the lead's consent. Everything here may be
done twice, or by two intakes at once, and happens once: the delivery's state decides, in the UPDATE itself."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from leads.consent import unsubscribe
from leads.models import ConsentRecord, Lead
from mail.delivery.brake import count_report
from mail.delivery.failures import recount
from mail.delivery.proof import arrived
from mail.magazines.leaving import leave_as_everybody
from mail.magazines.readers import leave
from mail.models import Delivery, Magazine
from mail.models.delivery import DeliveryKind
from mail.models.magazine import ReaderWay
from mail.send_jobs import count_again_soon
from mail.signals import Failure, announce
from mail.smtp.replies import BOUNCED_LATER

# Only a mail that was, or may have been, accepted can bounce. Its place in the lead's row of failures stays that of
# its sending (FLAG-1): sent_at is not touched.
_BOUNCE = """
WITH done AS (
    UPDATE mail_delivery
       SET state = 'error', code = %(code)s, enhanced_status = %(status)s, reply = %(text)s, cause = %(cause)s,
           failed_address = %(address)s, result_at = %(now)s
     WHERE id = %(id)s AND state IN ('sent', 'unknown')
    RETURNING id
)
INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
SELECT id, %(now)s, 'bounced', %(code)s, %(status)s, %(text)s FROM done
"""

_NOTE = """
INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
VALUES (%(id)s, %(now)s, %(what)s, NULL, %(status)s, %(text)s)
"""

# FLAG-2 asks for the newest result: no mail that was sent later arrived, and the address is still the one it went to.
_NEWEST = """
SELECT NOT EXISTS (SELECT FROM mail_delivery later
                    WHERE later.lead_id = d.lead_id AND later.state = 'sent' AND later.kind <> 'test'
                      AND COALESCE(later.sent_at, later.result_at) > COALESCE(d.sent_at, d.result_at))
       AND COALESCE(d.sent_at, d.result_at) >= l.email_since
       AND (d.kind NOT IN ('single', 'automatic') OR lower(d.address) = l.email_norm)
  FROM mail_delivery d JOIN leads_lead l ON l.id = d.lead_id
 WHERE d.id = %s
"""


@dataclass(frozen=True)
class Bounce:
    """A failure as it is recorded. `address` is the one that failed (ADDR-4); `at_once`: FLAG-2 applies."""

    address: str
    status: str
    text: str
    cause: str
    hard: bool
    at_once: bool = False


def record_bounce(delivery: Delivery, bounce: Bounce, *, now: datetime) -> bool:
    """正常 or 結果不明 → エラー 90000 with its event, and the lead's failures in a row, in one transaction; then tells
    the others (mail/signals.py). False: it was no accepted mail, or its failure is known already."""
    with transaction.atomic(), connection.cursor() as cursor:
        if delivery.job_id is not None:
            count_again_soon(delivery.job_id)
        values: dict[str, Any] = {
            "id": delivery.pk,
            "code": BOUNCED_LATER,
            "status": bounce.status[:12],
            "text": bounce.text,
            "cause": bounce.cause,
            "address": bounce.address[:320],
            "now": now,
        }
        cursor.execute(_BOUNCE, values)
        if not cursor.rowcount:
            return False
        if delivery.lead_id and delivery.kind != DeliveryKind.TEST:
            off: list[int] = []
            if bounce.at_once:
                cursor.execute(_NEWEST, [delivery.pk])
                off = [delivery.lead_id] if (cursor.fetchone() or (False,))[0] else []
            recount([delivery.lead_id], now=now, switch_off=off)
            at = delivery.sent_at or delivery.result_at
            announce([Failure(delivery.pk, delivery.lead_id, bounce.cause, bounce.hard, at)])
        if (job_id := delivery.job_id) is not None:  # RATE-2; advice only: it must not hold up the report
            counted = partial(count_report, job_id, delivery.address, bounce.cause, now=now)
            transaction.on_commit(counted, robust=True)
    return True


def record_arrival(delivery: Delivery, *, proof: str, now: datetime) -> bool:
    """A report of success, a receipt: an unknown outcome is known now (ERR-4)."""
    return bool(arrived([delivery.pk], proof=proof, now=now))


def record_complaint(delivery: Delivery | None, lead: Lead | None, *, reporter: str, now: datetime) -> bool:
    """OPT-9: a complaint is an opt-out of this lead, and proof that the mail arrived; about a magazine's mail the reader
    leaves that magazine too. True when it changed anything.
    A test mail's lead only lent its data: nobody is unsubscribed by a complaint about it."""
    changed = False
    with transaction.atomic():
        if delivery is not None:
            changed = bool(arrived([delivery.pk], proof="complaint", now=now))
        if lead is not None and (delivery is None or delivery.kind != DeliveryKind.TEST):
            source = f"#{delivery.pk} {reporter}".strip() if delivery else reporter
            magazine = _magazine_of(delivery)
            if magazine is not None and delivery is not None:  # first: magazines are locked before leads
                way, mail = ReaderWay.COMPLAINT, delivery.pk
                changed |= leave(magazine, lead, way=way, now=now, source=source, delivery_id=mail)
            leave_as_everybody(lead, way=ReaderWay.COMPLAINT, source=source, now=now)
            stopped = unsubscribe(lead, evidence=ConsentRecord.Evidence.COMPLAINT, source=source, now=now)
            changed = changed or stopped
    return changed


def _magazine_of(delivery: Delivery | None) -> Magazine | None:
    if delivery is None or delivery.kind != DeliveryKind.MAGAZINE:
        return None
    return Magazine.objects.filter(jobs=delivery.job_id).first()


def note(delivery: Delivery, what: str, *, status: str = "", text: str = "", now: datetime) -> None:
    """A line in the mail's story that changes no state: a delay, a complaint."""
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE, {"id": delivery.pk, "now": now, "what": what[:30], "status": status[:12], "text": text}
        )

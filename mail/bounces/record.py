"""A bounce that came after acceptance (ERR-1, ERR-2): 正常 → エラー 90000, once, whatever repeats."""

from datetime import datetime
from typing import Any

from django.db import connection, transaction

from mail.bounces.dsn import RecipientStatus
from mail.delivery.failures import recount
from mail.models import Delivery
from mail.models.delivery import DeliveryState
from mail.send_jobs import count_again_soon
from mail.smtp.replies import BOUNCED_LATER

IN_THE_AIR = (DeliveryState.CLAIMED, DeliveryState.HANDING_OVER)

# Only a mail that was, or may have been, accepted can bounce. Its place in the lead's row of failures stays that of
# its sending (FLAG-1): sent_at is not touched.
_BOUNCE = """
WITH done AS (
    UPDATE mail_delivery
       SET state = 'error', code = %(code)s, enhanced_status = %(status)s, reply = %(text)s,
           failed_address = %(address)s, result_at = %(now)s
     WHERE id = %(id)s AND state IN ('sent', 'unknown')
    RETURNING id
)
INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
SELECT id, %(now)s, 'bounced', %(code)s, %(status)s, %(text)s FROM done
"""


def record_bounce(delivery: Delivery, failed: RecipientStatus, *, failed_address: str, now: datetime) -> bool:
    """Writes the failure, its event and the lead's failures in a row in one transaction. False: it was no accepted
    mail, or its failure is known already."""
    with transaction.atomic(), connection.cursor() as cursor:
        if delivery.job_id is not None:
            count_again_soon(delivery.job_id)
        values: dict[str, Any] = {
            "id": delivery.pk,
            "code": BOUNCED_LATER,
            "status": failed.status[:12],
            "text": failed.diagnostic,
            "address": failed_address[:320],
            "now": now,
        }
        cursor.execute(_BOUNCE, values)
        if not cursor.rowcount:
            return False
        if delivery.lead_id:
            recount([delivery.lead_id], now=now)
    return True

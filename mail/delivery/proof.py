"""結果不明 and what proves later that the mail arrived (ERR-4): a report of success, a complaint, an open, a click."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction

from mail.delivery.failures import recount
from mail.send_jobs import count_again_soon
from mail.smtp.replies import DELIVERED

_JOBS = "SELECT DISTINCT job_id FROM mail_delivery WHERE id = ANY(%s) AND state = 'unknown' AND job_id IS NOT NULL ORDER BY 1"

_ARRIVED = """
WITH proven AS (
    SELECT id FROM mail_delivery WHERE id = ANY(%(ids)s) AND state = 'unknown' ORDER BY id FOR UPDATE
), done AS (
    UPDATE mail_delivery d SET state = 'sent', code = %(code)s, result_at = %(now)s
      FROM proven WHERE d.id = proven.id AND d.state = 'unknown'
    RETURNING d.id, d.lead_id
), noted AS (
    INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
    SELECT id, %(now)s, 'arrived', %(code)s, '', %(proof)s FROM done
)
SELECT id, lead_id FROM done
"""


def arrived(delivery_ids: Iterable[int], *, proof: str, now: datetime) -> set[int]:
    """結果不明 → 正常 for those of these mails whose outcome is unknown; the others stay as they are. Returns their ids.

    `proof` goes into the mail's story: `report` (RFC 3464 success), `complaint`, `open`, `click`. The leads' failures in
    a row are counted again by time of sending (FLAG-1). Idempotent; any number of these may run at once."""
    ids = sorted(set(delivery_ids))
    if not ids:
        return set()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_JOBS, [ids])
        for (job_id,) in cursor.fetchall():
            count_again_soon(job_id)
        cursor.execute(_ARRIVED, {"ids": ids, "code": DELIVERED, "proof": proof[:200], "now": now})
        rows = cursor.fetchall()
        recount((lead_id for _id, lead_id in rows if lead_id), now=now)
    return {delivery_id for delivery_id, _lead in rows}

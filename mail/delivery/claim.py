"""Step 1 of the sending promise: taking due deliveries into this process's hands, and giving them back.

One statement, committed by itself; no transaction stays open while SMTP is spoken. All times are the database's.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import connection

from mail.delivery.retries import retry_plan
from mail.models.delivery import Delivery

# On top of the SMTP timeouts: scheduling, slow commits. A lease that ends too early costs a repeated attempt before
# the intent and a 結果不明 after it, but never a second mail: every later step is fenced by the token.
LEASE_MARGIN = 60.0


def claim_lease() -> float:
    """Seconds a claim holds: one mail's set-up, MAIL, RCPT and DATA. `renew` makes it longer for a waiting batch."""
    return 2 * settings.SMTP_TIMEOUT + LEASE_MARGIN


def handing_over_lease() -> float:
    """Seconds from the intent on: the body and the ten minutes after the dot."""
    return settings.SMTP_TIMEOUT + settings.SMTP_DOT_TIMEOUT + LEASE_MARGIN


# MATERIALIZED: as a plain subquery a nested loop may run it once per row, and LIMIT with it.
# The token is drawn once per claim: a scalar subquery without references is evaluated once.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id
      FROM mail_delivery
     WHERE {job} AND state IN ('queued', 'deferred') AND (next_at IS NULL OR next_at <= statement_timestamp())
     ORDER BY next_at, id
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
UPDATE mail_delivery d
   SET state = 'claimed', token = (SELECT nextval('mail_fence')), lease_until = statement_timestamp() + %(lease)s * interval '1 second'
  FROM due
 WHERE d.id = due.id
   AND (d.job_id IS NULL OR EXISTS (SELECT FROM mail_sendjob j WHERE j.id = d.job_id AND j.state = 'sending'))
RETURNING d.*, COALESCE(d.first_attempt_at + %(period)s * interval '1 minute' <= statement_timestamp(), false) AS last_attempt
"""


def claim(job_id: int | None, limit: int) -> list[Delivery]:
    """Takes up to `limit` due deliveries of a job in state sending, or with None of those without a job (test and
    single mails): queued or deferred → claimed, with a new fence token. Nobody else gets them until the lease is over.

    `last_attempt` on a row: its retry period is over, so this attempt decides (ERR-3)."""
    job = "job_id = %(job)s" if job_id is not None else "job_id IS NULL"
    values = {"job": job_id, "limit": limit, "lease": claim_lease(), "period": retry_plan().period_minutes}
    rows = Delivery.objects.raw(_CLAIM.format(job=job), values)
    return sorted(rows, key=lambda row: row.pk)


def renew(deliveries: Iterable[Delivery]) -> None:
    """Makes the lease of claimed rows longer; those that are not this claim's any more are left alone."""
    _fenced(
        "UPDATE mail_delivery d SET lease_until = statement_timestamp() + %(lease)s * interval '1 second'",
        deliveries,
        claim_lease(),
    )


def release(deliveries: Iterable[Delivery], *, wait: float = 0) -> None:
    """Gives claimed rows back as they were taken: due again at once, or after `wait` seconds when the way is blocked.
    No attempt is counted. What of a job was stopped meanwhile is left out by the intent or the sweep."""
    _fenced(
        "UPDATE mail_delivery d SET state = 'queued', lease_until = NULL, "
        "next_at = GREATEST(d.next_at, statement_timestamp() + %(wait)s * interval '1 second')",
        deliveries,
        claim_lease(),
        wait,
    )


def _fenced(update: str, deliveries: Iterable[Delivery], lease: float, wait: float = 0) -> None:
    ids, tokens = [], []
    for delivery in deliveries:
        ids.append(delivery.pk)
        tokens.append(delivery.token)
    if not ids:
        return
    values: dict[str, Any] = {"ids": ids, "tokens": tokens, "lease": lease, "wait": wait}
    with connection.cursor() as cursor:
        # (state || '') keeps the planner away from the partial indexes on state: with stale statistics it would scan
        # every leased row for each one (300 instead of 17,000 rows a second).
        cursor.execute(
            f"{update} FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS held(id, token) "
            "WHERE d.id = held.id AND d.token = held.token AND (d.state || '') = 'claimed'",
            values,
        )

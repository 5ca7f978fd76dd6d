"""Step 1 of the sending promise: taking due deliveries into this process's hands, and giving them back.

One statement, committed by itself; no transaction stays open while SMTP is spoken. All times are the database's.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.db import connection

# On top of the SMTP timeouts: scheduling, slow commits. A lease that ends too early costs a repeated attempt before
# the intent and a 結果不明 after it, but never a second mail: every later step is fenced by the token.
LEASE_MARGIN = 60.0


def claim_lease() -> float:
    """Seconds a claim holds: one mail's set-up, MAIL, RCPT and DATA. `renew` makes it longer for a waiting batch."""
    return 2 * settings.SMTP_TIMEOUT + LEASE_MARGIN


def handing_over_lease() -> float:
    """Seconds from the intent on: a few until the body starts (agents.py asks anew otherwise), the body, and the ten
    minutes after the dot; or up to 354, where the mail before it waits for its own verdict."""
    return 2 * settings.SMTP_TIMEOUT + settings.SMTP_DOT_TIMEOUT + LEASE_MARGIN


class Held(Protocol):
    """A row in our hands: what fences every later step."""

    @property
    def pk(self) -> int: ...
    @property
    def token(self) -> int: ...


class Claimed(NamedTuple):
    """A claimed delivery, as far as sending it needs to know."""

    pk: int
    token: int
    job_id: int | None
    lead_id: int | None
    kind: str
    purpose: str  # of the job, "" without one
    snapshot_id: int | None  # the job's; a mail without a job has its own
    campaign_id: int | None  # whose applications the merge fields mean; None = all campaigns
    merge_values: str | None  # JSON, for rows that bring theirs
    given_values: str | None  # JSON: values of this one mail, they go before the lead's
    address: str
    accepted: list[str]  # envelope addresses that are settled: they took the mail, or refused it for good
    failed_address: str  # the first of those that refused (ADDR-4), with its code and words
    code: int | None
    enhanced_status: str
    reply: str
    sent_at: datetime | None
    tried_minutes: float | None  # since the first attempt; None: this is the first


# MATERIALIZED: as a plain subquery a nested loop may run it once per row, and LIMIT with it.
# Ordered by next_at only, which the index (job, next_at) gives: a job's million rows share one next_at, and sorting
# them by anything more would read them all for every claim.
# The token is drawn once per claim: a scalar subquery without references is evaluated once.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id, job_id
      FROM mail_delivery
     WHERE {job} AND state IN ('queued', 'deferred') AND (next_at IS NULL OR next_at <= statement_timestamp())
     ORDER BY next_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
UPDATE mail_delivery d
   SET state = 'claimed', token = (SELECT nextval('mail_fence')), lease_until = statement_timestamp() + %(lease)s * interval '1 second'
  FROM due LEFT JOIN mail_sendjob j ON j.id = due.job_id
 WHERE d.id = due.id AND (due.job_id IS NULL OR j.state = 'sending')
RETURNING d.id, d.token, d.job_id, d.lead_id, d.kind, COALESCE(j.purpose, ''), COALESCE(j.snapshot_id, d.snapshot_id),
          d.campaign_id, d.merge_values::text, d.given_values::text, d.address, d.accepted, d.failed_address, d.code, d.enhanced_status, d.reply, d.sent_at,
          (extract(epoch FROM statement_timestamp() - d.first_attempt_at) / 60)::float8
"""


def claim(job_id: int | None, limit: int) -> list[Claimed]:
    """Takes up to `limit` due deliveries of a job in state sending, or with None of those without a job (test and
    single mails): queued or deferred → claimed, with a new fence token. Nobody else gets them until the lease is over."""
    job = "job_id = %(job)s" if job_id is not None else "job_id IS NULL"
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM.format(job=job), {"job": job_id, "limit": limit, "lease": claim_lease()})
        rows = [Claimed._make(row) for row in cursor.fetchall()]
    rows.sort()
    return rows


def renew(held: Iterable[Held]) -> None:
    """Makes the lease of claimed rows longer; those that are not this claim's any more are left alone."""
    _fenced(
        "UPDATE mail_delivery d SET lease_until = statement_timestamp() + %(lease)s * interval '1 second'",
        [(one.pk, one.token, 0.0) for one in held],
    )


def release(held: Iterable[Held], *, wait: float = 0) -> None:
    """Gives claimed rows back as they were taken: due again at once, or after `wait` seconds when the way is blocked.
    No attempt is counted. What of a job was stopped meanwhile is left out by the intent or the sweep."""
    release_each([(one, wait) for one in held])


def release_each(held: Sequence[tuple[Held, float]]) -> None:
    """`release` with a wait for each row: a slow site's mails come back one by one, as fast as it takes them."""
    _fenced(
        "UPDATE mail_delivery d SET state = 'queued', lease_until = NULL, "
        "next_at = GREATEST(d.next_at, statement_timestamp() + held.wait * interval '1 second')",
        [(one.pk, one.token, wait) for one, wait in held],
    )


def _fenced(update: str, held: list[tuple[int, int, float]]) -> None:
    if not held:
        return
    ids, tokens, waits = (list(column) for column in zip(*held, strict=True))
    values: dict[str, Any] = {"ids": ids, "tokens": tokens, "waits": waits, "lease": claim_lease()}
    with connection.cursor() as cursor:
        # (state || '') keeps the planner away from the partial indexes on state: with stale statistics it would scan
        # every leased row for each one (300 instead of 17,000 rows a second).
        cursor.execute(
            f"{update} FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(waits)s::float8[]) AS held(id, token, wait) "
            "WHERE d.id = held.id AND d.token = held.token AND (d.state || '') = 'claimed'",
            values,
        )

"""Step 4 of the sending promise: what became of a mail, written once, by the one who holds the row.

Fenced by id, token and state, so it may be repeated: after a lost connection nobody knows whether the commit
happened, and repeating it answers that.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from mail.delivery.failures import recount
from mail.delivery.retries import JITTER, retry_plan
from mail.models.delivery import DeliveryState
from mail.smtp.replies import RETRIES_EXHAUSTED, SWITCH_OFF_AT_ONCE, clean_text

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

# A result in hand is worth waiting for a database that restarts: without it the mail ends as 結果不明.
PATIENCE = 60.0


@dataclass(frozen=True)
class Result:
    """What became of one claimed delivery. state: sent, deferred, error, unknown, excluded (with `reason`)."""

    delivery_id: int
    token: int
    state: DeliveryState
    code: int | None = None
    enhanced_status: str = ""
    reply: str = ""
    remote_host: str = ""
    failed_address: str = ""
    reason: str = ""
    attempted: bool = True  # the receiver's side was asked; what failed here before that counts as no attempt


# A deferral whose retry period is over becomes the error 41606 here, with the last reply kept (ERR-3).
# A row the sweeper called unknown may still learn its real result from the one who held it; it is never queued again.
_RECORD = """
WITH given AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(states)s::text[], %(codes)s::int[],
                         %(enhanced)s::text[], %(replies)s::text[], %(hosts)s::text[], %(failed)s::text[],
                         %(reasons)s::text[], %(attempted)s::bool[])
           AS g(id, token, state, code, enhanced, reply, host, failed, reason, attempted)
), done AS (
    UPDATE mail_delivery d
       SET state = CASE WHEN over.over THEN 'error' ELSE g.state END,
           code = CASE WHEN over.over THEN %(exhausted)s ELSE g.code END,
           enhanced_status = g.enhanced, reply = g.reply, remote_host = g.host, failed_address = g.failed,
           reason = CASE WHEN g.state = 'excluded' THEN g.reason ELSE d.reason END,
           attempts = d.attempts + g.attempted::int,
           first_attempt_at = CASE WHEN g.attempted THEN COALESCE(d.first_attempt_at, statement_timestamp()) ELSE d.first_attempt_at END,
           next_at = CASE WHEN g.state = 'deferred' AND NOT over.over
                          THEN GREATEST(statement_timestamp() + interval '1 second', LEAST(
                                   statement_timestamp() + (1 + %(jitter)s * (2 * random() - 1)) * %(interval)s * interval '1 minute',
                                   COALESCE(d.first_attempt_at, statement_timestamp()) + %(period)s * interval '1 minute'))
                          ELSE d.next_at END,
           decided_at = CASE WHEN g.state = 'excluded' THEN statement_timestamp() ELSE d.decided_at END,
           lease_until = NULL,
           result_at = CASE WHEN g.state = 'deferred' AND NOT over.over THEN d.result_at ELSE statement_timestamp() END
      FROM given g
      JOIN mail_delivery me ON me.id = g.id
      CROSS JOIN LATERAL (SELECT g.state = 'deferred'
                             AND me.first_attempt_at + %(period)s * interval '1 minute' <= statement_timestamp() IS TRUE AS over) over
     WHERE d.id = g.id AND d.token = g.token
       AND ((d.state || '') IN ('claimed', 'handing_over') OR ((d.state || '') = 'unknown' AND g.state IN ('sent', 'error')))
    RETURNING d.id, d.lead_id, d.state, d.code, d.enhanced_status, d.reply, d.reason, d.failed_address, d.address
), noted AS (
    INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
    SELECT id, statement_timestamp(), state, code, enhanced_status, CASE WHEN state = 'excluded' AND reply = '' THEN reason ELSE reply END
      FROM done
)
SELECT done.id, done.lead_id, done.state, done.code, done.failed_address IN ('', done.address), l.email_failures
  FROM done LEFT JOIN leads_lead l ON l.id = done.lead_id
"""


def record(results: Sequence[Result]) -> set[int]:
    """Writes the results in one transaction, with their events, and counts the leads' failures again (FLAG-1).

    Returns the ids it wrote; a missing one is somebody else's by now. Waits up to PATIENCE for a database that went
    away, and finds out by reading whether its last commit happened.
    """
    if not results:
        return set()
    repeated = False

    def act() -> set[int]:
        nonlocal repeated
        again, repeated = repeated, True
        written = _write(results)
        return written | _written_before(results, written) if again else written

    return _patiently(act)


def _patiently(act: Callable[[], Answer]) -> Answer:
    """Calls it until the database answers, for up to PATIENCE; the last error is raised."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            logger.warning("the database went away, trying again: %s", error)
            connection.close()
            time.sleep(0.5)


def _write(results: Sequence[Result]) -> set[int]:
    plan = retry_plan()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "ids": [one.delivery_id for one in results],
                "tokens": [one.token for one in results],
                "states": [str(one.state.value) for one in results],
                "codes": [one.code for one in results],
                "enhanced": [one.enhanced_status[:12] for one in results],
                "replies": [clean_text(one.reply) for one in results],
                "hosts": [clean_text(one.remote_host, 255) for one in results],
                "failed": [clean_text(one.failed_address, 320) for one in results],
                "reasons": [one.reason for one in results],
                "attempted": [one.attempted for one in results],
                "exhausted": RETRIES_EXHAUSTED,
                "jitter": JITTER,
                "interval": plan.interval_minutes,
                "period": plan.period_minutes,
            },
        )
        rows = cursor.fetchall()
        _count_failures(rows)
    return {row[0] for row in rows}


def _count_failures(rows: list[tuple[Any, ...]]) -> None:
    failed = {lead for _id, lead, state, _code, _own, _n in rows if lead and state == "error"}
    recovered = {lead for _id, lead, state, _code, _own, n in rows if lead and state == "sent" and n}
    at_once = {lead for _id, lead, _s, code, own, _n in rows if lead and own and code in SWITCH_OFF_AT_ONCE}
    if failed or recovered:
        try:
            with transaction.atomic():
                recount(failed | recovered, now=timezone.now(), switch_off=at_once & failed)
        except (OperationalError, InterfaceError):
            raise  # a deadlock, a restart: the whole is repeated
        except Exception:
            # The result in hand is worth more than the count, which the next result makes again from the rows.
            logger.exception("failures of leads %s could not be counted", sorted(failed | recovered))


def _written_before(results: Sequence[Result], written: set[int]) -> set[int]:
    """After a repeat: rows that already show the result, under the same token, were committed the first time."""
    missing = [one for one in results if one.delivery_id not in written]
    if not missing:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.id FROM mail_delivery d JOIN unnest(%s::bigint[], %s::bigint[], %s::text[]) AS g(id, token, state) "
            "ON d.id = g.id AND d.token = g.token AND (d.state = g.state OR g.state = 'deferred' AND d.state = 'error')",
            [
                [one.delivery_id for one in missing],
                [one.token for one in missing],
                [str(one.state.value) for one in missing],
            ],
        )
        return {row[0] for row in cursor.fetchall()}


def take_back(delivery_ids: Sequence[int], token: int) -> None:
    """handing_over → queued, for rows whose dot was certainly not sent: the holder saw the intent's commit fail or
    never began. Only the holder may say this; the sweeper never does."""

    def act() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE mail_delivery d SET state = 'queued', lease_until = NULL, sent_at = NULL "
                "WHERE d.id = ANY(%s) AND d.token = %s AND (d.state || '') IN ('claimed', 'handing_over')",
                [list(delivery_ids), token],
            )

    _patiently(act)

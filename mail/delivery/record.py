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

from mail.bounces.cause import counts_against_lead, is_hard
from mail.delivery.claim import Held
from mail.delivery.failures import recount
from mail.delivery.retries import JITTER, RetryPlan, retry_plan
from mail.models.delivery import DeliveryKind, DeliveryState
from mail.signals import Failure, announce
from mail.smtp.replies import RETRIES_EXHAUSTED, SWITCH_OFF_AT_ONCE, clean_text

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

# A result in hand is worth waiting for a database that restarts, or for its standby: without it the mail ends as 結果不明.
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one claimed delivery. state: sent, deferred, error, unknown, excluded (with `reason`)."""

    pk: int
    token: int
    state: DeliveryState
    code: int | None = None
    enhanced_status: str = ""
    reply: str = ""
    remote_host: str = ""
    failed_address: str = ""
    reason: str = ""
    attempted: bool = True  # the receiver's side was asked; what failed here before that counts as no attempt
    accepted: tuple[
        str, ...
    ] = ()  # envelope addresses that are settled now; what is deferred goes to the others only
    handed_over: bool = True  # its data went out: before that, nothing was sent and `sent_at` is nobody's
    at_once: bool = False  # deferred: another server's addresses are next, there is nothing to wait for
    cause: str = ""  # ERR-5, of what failed
    exhausted: int = RETRIES_EXHAUSTED  # the code when the retry period is over
    interval: float | None = None  # ERR-3 in minutes, of the destination; None: the system's
    period: float | None = None


# A deferral whose retry period is over becomes the error 41606 here, with the last reply kept (ERR-3).
# A row the sweeper called unknown may still learn its real result from the one who held it; it is never queued again.
# Events tell what is more than the plain way: a mail that was taken at the first attempt has everything in its row.
_RECORD = """
WITH given AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(states)s::text[], %(codes)s::int[],
                         %(enhanced)s::text[], %(replies)s::text[], %(hosts)s::text[], %(failed)s::text[],
                         %(reasons)s::text[], %(attempted)s::bool[], %(accepted)s::text[], %(at_once)s::bool[],
                         %(causes)s::text[], %(exhausted)s::int[], %(intervals)s::float8[], %(periods)s::float8[],
                         %(handed_over)s::bool[])
           AS g(id, token, state, code, enhanced, reply, host, failed, reason, attempted, accepted, at_once, cause,
                exhausted, interval, period, handed_over)
), done AS (
    UPDATE mail_delivery d
       SET state = CASE WHEN over.over THEN 'error' ELSE g.state END,
           code = CASE WHEN over.over THEN g.exhausted ELSE g.code END,
           enhanced_status = g.enhanced, reply = g.reply, remote_host = g.host, failed_address = g.failed,
           reason = CASE WHEN g.state = 'excluded' THEN g.reason ELSE d.reason END,
           accepted = CASE WHEN g.accepted = '' THEN d.accepted ELSE d.accepted || string_to_array(g.accepted, E'\n') END,
           cause = CASE WHEN over.over OR g.state = 'error' THEN g.cause ELSE '' END,
           attempts = d.attempts + g.attempted::int,
           sent_at = CASE WHEN g.handed_over OR d.accepted <> '{}' THEN d.sent_at END,
           first_attempt_at = CASE WHEN g.attempted THEN COALESCE(d.first_attempt_at, statement_timestamp()) ELSE d.first_attempt_at END,
           next_at = CASE WHEN g.at_once AND NOT over.over THEN statement_timestamp()
                          WHEN g.state = 'deferred' AND NOT over.over
                          THEN GREATEST(statement_timestamp() + interval '1 second', LEAST(
                                   statement_timestamp() + (1 + %(jitter)s * (2 * random() - 1)) * g.interval * interval '1 minute',
                                   COALESCE(d.first_attempt_at, statement_timestamp()) + g.period * interval '1 minute'))
                          ELSE d.next_at END,
           decided_at = CASE WHEN g.state = 'excluded' THEN statement_timestamp() ELSE d.decided_at END,
           lease_until = NULL,
           result_at = CASE WHEN g.state = 'deferred' AND NOT over.over THEN d.result_at ELSE statement_timestamp() END
      FROM given g
      JOIN mail_delivery me ON me.id = g.id
      CROSS JOIN LATERAL (SELECT g.state = 'deferred' AND NOT g.at_once
                             AND me.first_attempt_at + g.period * interval '1 minute' <= statement_timestamp() IS TRUE AS over) over
     WHERE d.id = g.id AND d.token = g.token
       AND ((d.state || '') IN ('claimed', 'handing_over') OR ((d.state || '') = 'unknown' AND g.state IN ('sent', 'error')))
    RETURNING d.id, d.lead_id, d.state, d.code, d.enhanced_status, d.reply, d.reason, d.failed_address, d.address,
              d.cause, d.kind, COALESCE(d.sent_at, d.result_at) AS at, d.state <> 'sent' OR d.attempts > 1 OR d.again > 0 OR me.state = 'unknown' AS told
), noted AS (
    INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
    SELECT id, statement_timestamp(), state, code, enhanced_status, CASE WHEN state = 'excluded' AND reply = '' THEN reason ELSE reply END
      FROM done WHERE told
)
SELECT done.id, done.lead_id, done.state, done.code, done.failed_address IN ('', done.address), l.email_failures,
       done.cause, done.kind, done.at
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
    deferred_anyhow = any(one.state == DeliveryState.DEFERRED and one.interval is None for one in results)
    plan = retry_plan() if deferred_anyhow else RetryPlan(0, 0)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "ids": [one.pk for one in results],
                "tokens": [one.token for one in results],
                "states": [str(one.state.value) for one in results],
                "codes": [one.code for one in results],
                "enhanced": [one.enhanced_status[:12] for one in results],
                "replies": [clean_text(one.reply) for one in results],
                "hosts": [clean_text(one.remote_host, 255) for one in results],
                "failed": [clean_text(one.failed_address, 320) for one in results],
                "reasons": [one.reason for one in results],
                "attempted": [one.attempted for one in results],
                "accepted": ["\n".join(one.accepted) for one in results],
                "handed_over": [one.handed_over for one in results],
                "at_once": [one.at_once for one in results],
                "causes": [one.cause for one in results],
                "exhausted": [one.exhausted for one in results],
                "jitter": JITTER,
                "intervals": [one.interval or plan.interval_minutes for one in results],
                "periods": [one.period or plan.period_minutes for one in results],
            },
        )
        rows = cursor.fetchall()
        _count_failures([row[:7] for row in rows])
        announce(_failures(rows))
    return {row[0] for row in rows}


def _failures(rows: list[tuple[Any, ...]]) -> list[Failure]:
    """What other apps are told (mail/signals.py): errors of leads' mails with a cause. A test mail is nobody's."""
    return [
        Failure(pk, lead, cause, is_hard(cause), at)
        for pk, lead, state, _code, _own, _n, cause, kind, at in rows
        if lead and cause and state == "error" and kind != DeliveryKind.TEST
    ]


def _count_failures(rows: list[tuple[Any, ...]]) -> None:
    failed = {lead for _id, lead, state, *_rest in rows if lead and state == "error"}
    recovered = {lead for _id, lead, state, _code, _own, n, _cause in rows if lead and state == "sent" and n}
    at_once = {
        lead
        for _id, lead, _state, code, own, _n, cause in rows
        if lead and own and code in SWITCH_OFF_AT_ONCE and counts_against_lead(cause)
    }
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
    missing = [one for one in results if one.pk not in written]
    if not missing:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.id FROM mail_delivery d JOIN unnest(%s::bigint[], %s::bigint[], %s::text[]) AS g(id, token, state) "
            "ON d.id = g.id AND d.token = g.token AND (d.state = g.state OR g.state = 'deferred' AND d.state = 'error')",
            [
                [one.pk for one in missing],
                [one.token for one in missing],
                [str(one.state.value) for one in missing],
            ],
        )
        return {row[0] for row in cursor.fetchall()}


def take_back(held: Sequence[Held]) -> None:
    """handing_over → queued, for rows whose dot was certainly not sent: the holder saw the intent's commit fail, or the
    session ended before the body. Only the holder may say this; the sweeper never does. No attempt is counted."""

    def act() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE mail_delivery d SET state = 'queued', lease_until = NULL, "
                "sent_at = CASE WHEN d.accepted = '{}' THEN NULL ELSE d.sent_at END "
                "FROM unnest(%s::bigint[], %s::bigint[]) AS held(id, token) "
                "WHERE d.id = held.id AND d.token = held.token AND (d.state || '') IN ('claimed', 'handing_over')",
                [[one.pk for one in held], [one.token for one in held]],
            )

    if held:
        _patiently(act)

"""MAG-3..5: failed magazine mails count against the reader of that magazine, by cause, and stop them at its threshold.

Each mail counts once (ReaderFailure), however often and by whomever its failure is told. A reader's counts are always the
number of their ReaderFailures without `reset_at`.

Not counted: what is our own fault (ERR-5), mails that could not be made, no DNS (41605), a refused envelope sender, another
address than the reader's own (CC). Noted, but never counted (they tell of the time before): mails that were sent before the
failures were reset (MAG-6) or before the reader came (back) after being removed, however late they are reported; mails of an
outage that was taken back; mails of readers who were removed since. A mail that failed, was sent again by hand and arrived
has failed once nevertheless: 累積.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from leads.merge import survivor_of
from mail.delivery.brake import receiving_domain
from mail.models import FailureGroup, Magazine
from mail.models.delivery import Cause
from mail.signals import Failure
from mail.smtp.replies import NO_ROUTE
from smp.lib.deadlocks import again_after_deadlock

GROUPS = {
    Cause.NO_MAILBOX: FailureGroup.NO_MAILBOX,
    Cause.NO_HOST: FailureGroup.NO_MAILBOX,
    Cause.MOVED: FailureGroup.NO_MAILBOX,
    Cause.NOT_ACCEPTED: FailureGroup.NO_MAILBOX,
    Cause.REFUSED: FailureGroup.REFUSED,
    Cause.FULL: FailureGroup.FULL,
    Cause.TEMPORARY: FailureGroup.TEMPORARY,
    Cause.SIZE: FailureGroup.OTHER,
    Cause.OTHER: FailureGroup.OTHER,
}
MISSED_FOR = timedelta(
    days=7
)  # a worker that died is missed sooner, and so is a system that was down for days
_AT_ONCE = 2000
_ALL = [group.value for group in FailureGroup]


def group_of(cause: str) -> FailureGroup | None:
    """MAG-4: whose threshold a cause counts for; None for what is our own fault (and for no cause at all)."""
    return GROUPS.get(Cause(cause)) if cause in Cause.values else None


def each_group(text: str, join: str = ", ") -> str:
    """The text once for each group: `@` is its name."""
    return join.join(text.replace("@", group) for group in _ALL)


# What is a failure of a reader's mail, of `d` and its job `j`.
_COUNTABLE = """
    d.kind = 'magazine' AND d.state = 'error' AND j.magazine_id IS NOT NULL AND d.lead_id IS NOT NULL
    AND d.code IS NOT NULL AND d.code <> %(no_route)s AND d.cause = ANY(%(causes)s)
    AND right(d.failed_address, length(%(own_domain)s)) <> %(own_domain)s
    AND NOT EXISTS (SELECT FROM mail_readerfailure known WHERE known.delivery_id = d.id)
"""

# A merge of these leads waits until their failures are counted, or is over.
_FAILED = f"""
SELECT d.id, d.lead_id, l.merged_into_id IS NOT NULL, d.address, d.failed_address, j.magazine_id
  FROM mail_delivery d JOIN mail_sendjob j ON j.id = d.job_id JOIN leads_lead l ON l.id = d.lead_id
 WHERE d.id = ANY(%(ids)s) AND {_COUNTABLE}
 ORDER BY l.id
   FOR KEY SHARE OF l
"""

# So that the counting statement sees what whoever held them has done: a reset, a removal.
_LOCK = """
SELECT r.id FROM mail_reader r
  JOIN (SELECT DISTINCT * FROM unnest(%(magazines)s::bigint[], %(leads)s::bigint[]) AS g(magazine_id, lead_id)) g
    USING (magazine_id, lead_id)
 ORDER BY r.id FOR NO KEY UPDATE OF r
"""

_COUNT = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::bigint[], %(leads)s::bigint[], %(domains)s::text[]) AS g(delivery_id, lead_id, domain)
), failed AS MATERIALIZED (
    SELECT g.*, j.magazine_id, d.cause, c."group", COALESCE(d.sent_at, d.result_at) AS at
      FROM given g
      JOIN mail_delivery d ON d.id = g.delivery_id
      JOIN mail_sendjob j ON j.id = d.job_id
      JOIN unnest(%(causes)s::text[], %(groups)s::text[]) AS c(cause, "group") ON c.cause = d.cause
), inserted AS (
    INSERT INTO mail_readerfailure (delivery_id, magazine_id, lead_id, "group", cause, domain, at, outage_id, reset_at)
    SELECT f.delivery_id, f.magazine_id, f.lead_id, f."group", f.cause, f.domain, f.at, o.id,
           CASE WHEN o.id IS NOT NULL OR r.id IS NULL OR EXISTS (
                    SELECT FROM mail_readerchange c
                     WHERE c.magazine_id = f.magazine_id AND c.lead_id = f.lead_id AND c.at >= f.at
                       AND (c.what = 'failures_reset' OR (c.what = 'registered' AND c.before = '')))
                THEN %(now)s END
      FROM failed f
      LEFT JOIN mail_reader r ON r.magazine_id = f.magazine_id AND r.lead_id = f.lead_id
      LEFT JOIN LATERAL (
           SELECT id FROM mail_outage o
            WHERE o.magazine_id = f.magazine_id AND o.domain = f.domain AND f.at >= o.since AND f.at < o.until
              AND o.groups @> to_jsonb(f."group")
            ORDER BY id LIMIT 1) o ON true
     ORDER BY f.delivery_id
    ON CONFLICT (delivery_id) DO NOTHING
    RETURNING delivery_id, magazine_id, lead_id, "group" AS kind, reset_at
), added AS (
    SELECT magazine_id, lead_id, {each_group("count(*) FILTER (WHERE kind = '@') AS @")},
           {each_group("max(delivery_id) FILTER (WHERE kind = '@') AS last_@")}
      FROM inserted WHERE reset_at IS NULL GROUP BY magazine_id, lead_id
), held AS (
    SELECT r.id, r.magazine_id, r.lead_id, r.state, {each_group("r.failures_@ + a.@ AS @, a.last_@")}
      FROM mail_reader r JOIN added a USING (magazine_id, lead_id) ORDER BY r.id FOR NO KEY UPDATE OF r
), judged AS (
    SELECT h.*, {each_group("m.stop_@")},
           CASE WHEN h.state <> 'deliverable' THEN ''
                {each_group("WHEN h.last_@ IS NOT NULL AND h.@ >= m.stop_@ THEN '@'", " ")}
                {each_group("WHEN h.@ >= m.stop_@ THEN '@'", " ")}
                ELSE '' END AS reached
      FROM held h JOIN mail_magazine m ON m.id = h.magazine_id
), done AS (
    UPDATE mail_reader r
       SET {each_group("failures_@ = judged.@")},
           state = CASE WHEN reached <> '' THEN 'error_stopped' ELSE r.state END,
           state_at = CASE WHEN reached <> '' THEN %(now)s ELSE r.state_at END,
           updated_at = CASE WHEN reached <> '' THEN %(now)s ELSE r.updated_at END
      FROM judged WHERE r.id = judged.id
), noted AS (
    INSERT INTO mail_readerchange (magazine_id, lead_id, at, what, way, before, after, "group", detail, delivery_id)
    SELECT magazine_id, lead_id, %(now)s, 'state', 'failure', state, 'error_stopped', reached,
           CASE reached {each_group("WHEN '@' THEN jsonb_build_object('failures', judged.@, 'threshold', stop_@)", " ")} END,
           COALESCE(CASE reached {each_group("WHEN '@' THEN last_@", " ")} END, GREATEST({each_group("last_@")}))
      FROM judged WHERE reached <> ''
)
SELECT count(*) FROM inserted
"""

_MISSED = f"""
SELECT d.id FROM mail_delivery d JOIN mail_sendjob j ON j.id = d.job_id
 WHERE d.result_at >= %(since)s AND d.id > %(after)s AND (%(magazine)s IS NULL OR j.magazine_id = %(magazine)s)
   AND {_COUNTABLE}
 ORDER BY d.id LIMIT {_AT_ONCE}
"""

_STOP = f"""
WITH reached AS MATERIALIZED (
    SELECT r.id, r.lead_id, {each_group("r.failures_@ AS @, m.stop_@")},
           CASE {each_group("WHEN r.failures_@ >= m.stop_@ THEN '@'", " ")} END AS "group"
      FROM mail_reader r JOIN mail_magazine m ON m.id = r.magazine_id
     WHERE r.magazine_id = %(magazine)s AND r.state = 'deliverable'
       AND ({each_group("r.failures_@ >= m.stop_@", " OR ")})
     ORDER BY r.id FOR NO KEY UPDATE OF r
), done AS (
    UPDATE mail_reader r SET state = 'error_stopped', state_at = %(now)s, updated_at = %(now)s
      FROM reached WHERE r.id = reached.id
)
INSERT INTO mail_readerchange (magazine_id, lead_id, at, what, way, before, after, "group", detail, job_id)
SELECT %(magazine)s, lead_id, %(now)s, 'state', 'start', 'deliverable', 'error_stopped', "group",
       CASE "group" {each_group("WHEN '@' THEN jsonb_build_object('failures', reached.@, 'threshold', stop_@)", " ")} END,
       %(job)s
  FROM reached
"""


def count_failures(sender: object = None, *, failures: Iterable[Failure], **_more: Any) -> None:
    """Receiver of mail.signals.delivery_failed. What it loses, because the process dies before, `count_missed` finds."""
    ids = [failure.delivery_id for failure in failures if failure.lead_id and group_of(failure.cause)]
    if ids:
        count(ids, now=timezone.now())


def count_missed(now: datetime, *, magazine_id: int | None = None) -> int:
    """Counts the failures of the last days that nobody counted: the signal comes after the commit, and a process may die in
    between. From the tick about each minute, and at each start for its magazine. Returns how many there were."""
    found, after = 0, 0
    while True:
        values = _common() | {"since": now - MISSED_FOR, "after": after, "magazine": magazine_id}
        with connection.cursor() as cursor:
            cursor.execute(_MISSED, values)
            ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return found
        found += count(ids, now=now)
        after = ids[-1]


@again_after_deadlock
def count(delivery_ids: Sequence[int], *, now: datetime) -> int:
    """Counts those of these deliveries that are uncounted failures of magazine mails, and stops whose threshold is reached.
    Any number of these may run at once, over the same deliveries too. Returns how many were new."""
    values = _common() | {"ids": sorted(set(delivery_ids)), "now": now}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_FAILED, values)
        rows = [row for row in cursor.fetchall() if _own(row[3], row[4])]
        if not rows:
            return 0
        values["ids"] = [row[0] for row in rows]
        values["leads"] = [_lead_of(row[1], merged=row[2]) for row in rows]
        values["domains"] = [receiving_domain(row[3])[:255] for row in rows]
        values["magazines"] = [row[5] for row in rows]
        cursor.execute(_LOCK, values)
        cursor.execute(_COUNT, values)
        counted: int = (cursor.fetchone() or (0,))[0]
    return counted


def stop_over_thresholds(magazine: Magazine, *, job_id: int | None, now: datetime) -> int:
    """MAG-5: at each start, inside its transaction: who has reached a threshold (it was made stricter, or they were set back
    without a reset) is stopped now, with the start's job in their history. Returns how many."""
    count_missed(now, magazine_id=magazine.pk)
    with connection.cursor() as cursor:
        cursor.execute(_STOP, {"magazine": magazine.pk, "job": job_id, "now": now})
        stopped: int = cursor.rowcount
    return stopped


def _common() -> dict[str, Any]:
    return {
        "no_route": NO_ROUTE,
        "own_domain": f"@{settings.BOUNCE_DOMAIN}",
        "causes": [cause.value for cause in GROUPS],
        "groups": [group.value for group in GROUPS.values()],
    }


def _own(address: str, failed: str) -> bool:
    """Whether the address that failed (as it went over the wire) is the reader's own."""
    if not failed or failed.lower() == address.lower():
        return True
    return (
        failed.rpartition("@")[0].lower() == address.rpartition("@")[0].lower()
        and receiving_domain(failed) == receiving_domain(address) != ""
    )


def _lead_of(lead_id: int, *, merged: bool) -> int:
    lead = survivor_of(lead_id) if merged else None
    return lead.pk if lead is not None else lead_id

"""Step 3 of the sending promise: claimed → handing_over, committed to disk before the final dot goes out.

From this commit on a mail may have been taken by the receiver; before it, it certainly was not. The same statement
looks for the last time at everything that may forbid the mail: a late opt-out (OPT-6), of magazine mail the reader's, a deleted
lead, 緊急停止, 一時停止.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from mail.delivery.claim import handing_over_lease
from mail.recipients.reasons import Reason


@dataclass(frozen=True, slots=True)
class Intent:
    """What will be handed over, for the ledger (RSV-4)."""

    pk: int
    token: int
    snapshot_id: int | None
    merge_values: str  # JSON
    subject: str
    sent_at: datetime  # the database's time, the Date header of the mail
    address: str


# What forbids a mail, in the order of EXC-1. Who stopped as a reader, or is none any more, left the magazine; who is stopped by
# errors only, since the start, did not. A test mail goes to an administrator: the lead lends only its values. A mail
# whose first part was taken (the lead's own address, ADDR-4) was handed over: it is not called back for the copies; in a
# stopped job the copies are left out by send_jobs.settle_stopped.
_FORBIDDEN = """
CASE WHEN d.accepted <> '{}' THEN ''
     WHEN l.deleted_at IS NOT NULL AND d.kind <> 'test' THEN 'deleted'
     WHEN l.unsubscribed_at IS NOT NULL AND d.kind <> 'test'
          AND (j.purpose = 'advertising' OR s.content ->> 'purpose' = 'advertising') THEN 'unsubscribed_late'
     WHEN (d.kind = 'magazine' OR d.kind = 'single' AND s.content ? 'magazine') AND NOT EXISTS (
          SELECT FROM mail_reader r WHERE r.magazine_id = COALESCE(j.magazine_id, (s.content ->> 'magazine')::bigint)
             AND r.lead_id = d.lead_id AND r.state <> 'stopped') THEN 'reader_left_late'
     WHEN j.state IN ('stopped', 'deleted') THEN 'stopped'
     WHEN d.step_mail_id IS NOT NULL
          AND EXISTS (SELECT FROM mail_stepmail m WHERE m.id = d.step_mail_id AND m.state = 'deleted') THEN 'step_deleted'
     ELSE '' END
"""

_INTEND = f"""
UPDATE mail_delivery d
   SET state = 'handing_over', snapshot_id = g.snapshot_id, merge_values = g.merge_values::jsonb, subject = g.subject,
       sent_at = g.sent_at, address = g.address, lease_until = statement_timestamp() + %(lease)s * interval '1 second'
  FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(snapshots)s::bigint[], %(values)s::text[], %(subjects)s::text[],
              %(times)s::timestamptz[], %(addresses)s::text[])
       AS g(id, token, snapshot_id, merge_values, subject, sent_at, address)
 WHERE d.id = g.id AND d.token = g.token AND (d.state || '') IN ('claimed', 'handing_over') AND d.lease_until + interval '0' > statement_timestamp()
   AND EXISTS (SELECT FROM mail_delivery me
                 LEFT JOIN leads_lead l ON l.id = me.lead_id
                 LEFT JOIN mail_sendjob j ON j.id = me.job_id
                 LEFT JOIN mail_templatesnapshot s ON s.id = g.snapshot_id
                WHERE me.id = g.id AND (j.id IS NULL OR j.state = 'sending') AND {_FORBIDDEN} = '')
RETURNING d.id
"""

# What was not returned above: settled by its reason, or given back (paused). A row whose lease was lost is not ours.
_SETTLE = f"""
WITH judged AS (
    SELECT d.id, d.token, l.unsubscribed_at, {_FORBIDDEN} AS reason
      FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(snapshots)s::bigint[]) AS g(id, token, snapshot_id)
      JOIN mail_delivery d ON d.id = g.id AND d.token = g.token
      LEFT JOIN leads_lead l ON l.id = d.lead_id
      LEFT JOIN mail_sendjob j ON j.id = d.job_id
      LEFT JOIN mail_templatesnapshot s ON s.id = g.snapshot_id
), settled AS (
    UPDATE mail_delivery d
       SET state = CASE WHEN judged.reason = '' THEN 'queued' ELSE 'excluded' END, reason = judged.reason,
           lease_until = NULL, unsubscribed_at = judged.unsubscribed_at,
           sent_at = CASE WHEN d.state = 'handing_over' AND d.accepted = '{{}}' THEN NULL ELSE d.sent_at END,
           decided_at = CASE WHEN judged.reason = '' THEN d.decided_at ELSE statement_timestamp() END
      FROM judged
     WHERE d.id = judged.id AND d.token = judged.token AND (d.state || '') IN ('claimed', 'handing_over')
    RETURNING d.id, judged.reason
), noted AS (
    INSERT INTO mail_deliveryevent (delivery_id, at, what, enhanced_status, text)
    SELECT id, statement_timestamp(), 'excluded', '', reason FROM settled WHERE reason <> ''
)
SELECT id, reason FROM settled
"""


def intend(intents: Sequence[Intent]) -> set[int]:
    """Commits the intents; returns the ids that may, and now must, be handed over. Every other id must not be sent:
    settle it with `settle_refused`. Asked again before the dot, because the server took its time, it looks anew at what
    forbids the mail.

    The commit is synchronous even where the server's default is not: measured, an asynchronous one sends dozens of
    mails twice after a crash of PostgreSQL.
    """
    if not intents:
        return set()
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', true) "
            "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
        cursor.execute(
            _INTEND,
            {
                "lease": handing_over_lease(),
                "ids": [one.pk for one in intents],
                "tokens": [one.token for one in intents],
                "snapshots": [one.snapshot_id for one in intents],
                "values": [one.merge_values for one in intents],
                "subjects": [one.subject[:1000] for one in intents],
                "times": [one.sent_at for one in intents],
                "addresses": [one.address for one in intents],
            },
        )
        return {row[0] for row in cursor.fetchall()}


def settle_refused(intents: Sequence[Intent]) -> dict[int, Reason | None]:
    """For what `intend` did not return: excluded with its reason (late opt-out, deleted lead, stopped), or back to
    queued (paused: None). Ids that are missing in the answer belong to somebody else by now."""
    if not intents:
        return {}
    values: dict[str, Any] = {
        "ids": [one.pk for one in intents],
        "tokens": [one.token for one in intents],
        "snapshots": [one.snapshot_id for one in intents],
    }
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, values)
        return {row[0]: Reason(row[1]) if row[1] else None for row in cursor.fetchall()}

"""What is waiting to be handed over."""

from collections.abc import Collection

from django.db import connection

_DUE = """
SELECT j.id FROM mail_sendjob j
 WHERE j.state = 'sending'
   AND EXISTS (SELECT FROM mail_delivery d
                WHERE d.job_id = j.id AND d.state IN ('queued', 'deferred')
                  AND (d.next_at IS NULL OR d.next_at <= statement_timestamp()))
UNION ALL
SELECT NULL
 WHERE EXISTS (SELECT FROM mail_delivery d
                WHERE d.job_id IS NULL AND d.state IN ('queued', 'deferred')
                  AND (d.next_at IS NULL OR d.next_at <= statement_timestamp()))
 ORDER BY 1 NULLS FIRST
"""


def jobs_with_due_mail() -> list[int | None]:
    """Ids of jobs that have something to hand over now, oldest first; None in front for mails without a job."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE)
        return [row[0] for row in cursor.fetchall()]


def mark_progress(job_ids: Collection[int]) -> None:
    """Somebody takes these jobs' mails: the watchdog looks at it (watchdog.py)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE mail_sendjob SET heartbeat_at = statement_timestamp() WHERE id = ANY(%s) AND state = 'sending'",
            [list(job_ids)],
        )

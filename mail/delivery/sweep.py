"""Step 5 of the sending promise: rows whose holder died.

claimed → queued: the final dot was certainly not sent. handing_over → unknown, never queued: nobody can know.
Fenced by FOR UPDATE SKIP LOCKED, which looks at a row again after locking it: two sweepers, or a sweeper and a slow
holder, cannot both win. Attempts are kept.
"""

from dataclasses import dataclass

from django.db import connection

BATCH = 1000

_SWEEP = """
WITH over AS (
    SELECT d.id, d.state, j.state IN ('stopped', 'deleted') AND d.accepted = '{}' AS stopped
      FROM mail_delivery d LEFT JOIN mail_sendjob j ON j.id = d.job_id
     WHERE d.state IN ('claimed', 'handing_over') AND d.lease_until < statement_timestamp()
     ORDER BY d.id
     LIMIT %(limit)s
       FOR UPDATE OF d SKIP LOCKED
), swept AS (
    UPDATE mail_delivery d
       SET state = CASE WHEN over.state = 'handing_over' THEN 'unknown' WHEN over.stopped THEN 'excluded' ELSE 'queued' END,
           reason = CASE WHEN over.state = 'claimed' AND over.stopped THEN 'stopped' ELSE d.reason END,
           attempts = d.attempts + (over.state = 'handing_over')::int,
           first_attempt_at = CASE WHEN over.state = 'handing_over' THEN COALESCE(d.first_attempt_at, d.sent_at)
                                   ELSE d.first_attempt_at END,
           decided_at = CASE WHEN over.state = 'claimed' AND over.stopped THEN statement_timestamp() ELSE d.decided_at END,
           result_at = CASE WHEN over.state = 'handing_over' THEN statement_timestamp() ELSE d.result_at END,
           lease_until = NULL
      FROM over
     WHERE d.id = over.id AND (d.state || '') = over.state
    RETURNING d.id, d.state
), noted AS (
    INSERT INTO mail_deliveryevent (delivery_id, at, what, enhanced_status, text)
    SELECT id, statement_timestamp(), CASE state WHEN 'queued' THEN 'swept' ELSE state END, '', '' FROM swept
)
SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'unknown'),
       count(*) FILTER (WHERE state = 'excluded')
  FROM swept
"""


@dataclass(frozen=True)
class Swept:
    queued: int = 0
    unknown: int = 0
    excluded: int = 0

    @property
    def total(self) -> int:
        return self.queued + self.unknown + self.excluded


def sweep(limit: int = BATCH) -> Swept:
    """Takes up to `limit` rows whose lease is over by the database's clock. Harmless at any time, from anywhere."""
    with connection.cursor() as cursor:
        cursor.execute(_SWEEP, {"limit": limit})
        row = cursor.fetchone()
    return Swept(*row)


def sweep_all() -> Swept:
    total = Swept()
    while (swept := sweep()).total:
        total = Swept(
            total.queued + swept.queued, total.unknown + swept.unknown, total.excluded + swept.excluded
        )
    return total

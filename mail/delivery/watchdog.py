"""The watchdog: mails that are due and that nobody takes. Seen by beat's tick, by `doctor` and on the home page.

A mailing at a slow, braked or absent destination is not stuck: its rows are put off, so they are not due. Somebody who
takes mails of a job says so in `heartbeat_at` a few times a minute (queue.py).
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

logger = logging.getLogger(__name__)

PATIENCE = timedelta(minutes=5)

# For each job the oldest mail that is due: the first entry of the index (job, next_at).
_STUCK = """
SELECT j.id, oldest.next_at
  FROM mail_sendjob j
 CROSS JOIN LATERAL (SELECT d.next_at FROM mail_delivery d
                      WHERE d.job_id = j.id AND d.state IN ('queued', 'deferred') AND d.next_at < %(before)s
                      ORDER BY d.next_at LIMIT 1) oldest
 WHERE j.state = 'sending' AND GREATEST(j.started_at, j.heartbeat_at) < %(before)s
UNION ALL
(SELECT NULL, d.next_at FROM mail_delivery d
  WHERE d.job_id IS NULL AND d.state IN ('queued', 'deferred') AND d.next_at < %(before)s
  ORDER BY d.next_at LIMIT 1)
 ORDER BY 1 NULLS FIRST
"""


@dataclass(frozen=True)
class Stuck:
    """A job (None: the mails without one) whose mails are due `since` then, and nobody takes them."""

    job_id: int | None
    since: datetime


def stuck(*, now: datetime) -> list[Stuck]:
    """One query; empty when all goes well."""
    with connection.cursor() as cursor:
        cursor.execute(_STUCK, {"before": now - PATIENCE})
        return [Stuck(*row) for row in cursor.fetchall()]


_told: dict[int | None, datetime] = {}


def watch(*, now: datetime) -> list[Stuck]:
    """From the tick: what is stuck, as errors in the log, each one every few minutes."""
    found = stuck(now=now)
    for one in found:
        if now - _told.get(one.job_id, now - 2 * PATIENCE) >= PATIENCE:
            _told[one.job_id] = now
            logger.error(
                "%s: mails are due since %s and no worker takes them; see manage.py doctor",
                f"job {one.job_id}" if one.job_id is not None else "mails without a job",
                one.since.isoformat(timespec="seconds"),
            )
    for job_id in set(_told) - {one.job_id for one in found}:
        del _told[job_id]
    return found

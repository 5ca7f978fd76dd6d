"""People's decisions to send mails of a job once more: those with an unknown outcome (ERR-4), and those that failed for
reasons that can pass. The same delivery rows go back to the queue, marked (`again`), so a job's counts still add up.

Opt-outs, deletions and stops since then are honoured at the intent, as for every mail (OPT-6). A single mail to one
lead, edited by hand, is mail/single_mail.py.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from mail.hints import hint
from mail.models.delivery import Cause
from mail.models.send_job import JobState, SendJob
from mail.models.template import Purpose
from mail.problems import alignment_of
from mail.send_jobs import Refused, count, job_label
from mail.smtp.replies import BOUNCED_LATER, NO_ROUTE, RETRIES_EXHAUSTED
from settings import audit
from settings.models import User

# Mails of a stopped or deleted mailing stay as they are.
STATES = (JobState.SENDING, JobState.PAUSED, JobState.DONE)
CAN_PASS = (Cause.FULL, Cause.TEMPORARY, Cause.OURS)

# MAG-1: of magazine mail, the reader is 配信可能 now.
_DELIVERABLE = """
(d.kind <> 'magazine' OR EXISTS (
    SELECT FROM mail_reader r JOIN mail_sendjob j ON j.magazine_id = r.magazine_id
     WHERE j.id = d.job_id AND r.lead_id = d.lead_id AND r.state = 'deliverable'))
"""
# FLAG, MAG-1: an address whose flag is 無効 by now, and a reader who is not 配信可能 any more, is left alone. Rows from before causes were stored go by their code.
_FAILED = f"""
d.state = 'error' AND d.kind IN ('wizard', 'magazine') AND d.code IS NOT NULL
AND (d.cause = ANY(%(causes)s) OR d.code IN (%(exhausted)s, %(no_route)s) AND d.cause NOT IN ('no_host', 'no_mailbox')
     OR d.cause = '' AND d.code BETWEEN 42400 AND 42499)
AND EXISTS (SELECT FROM leads_lead l WHERE l.id = d.lead_id AND l.deleted_at IS NULL AND l.email_valid)
AND {_DELIVERABLE}
"""
# Of who left meanwhile the row stays 結果不明: the mail may have arrived.
_UNKNOWN = f"d.state = 'unknown' AND {_DELIVERABLE}"

# The token is taken off: a late answer of the first hand-over can never be recorded as the second one's. After a
# bounce nobody is known to have it; otherwise those who took it already do not get it again (`accepted`).
_QUEUE = """
WITH chosen AS (
    SELECT d.id FROM mail_delivery d
     WHERE d.job_id = %(job)s AND {which} AND (%(only)s IS NULL OR d.id = %(only)s)
       FOR UPDATE
), queued AS (
    UPDATE mail_delivery d
       SET state = 'queued', token = NULL, lease_until = NULL, next_at = %(now)s, attempts = 0,
           first_attempt_at = NULL, again = d.again + 1, cause = '',
           accepted = CASE WHEN d.code = %(bounced)s THEN '{{}}' ELSE d.accepted END
      FROM chosen
     WHERE d.id = chosen.id
    RETURNING d.id
)
INSERT INTO mail_deliveryevent (delivery_id, at, what, enhanced_status, text)
SELECT id, %(now)s, 'again', '', %(who)s FROM queued
"""


def _values(**values: Any) -> dict[str, Any]:
    return {
        "causes": [cause.value for cause in CAN_PASS],
        "exhausted": RETRIES_EXHAUSTED,
        "no_route": NO_ROUTE,
    } | values


def count_retryable(job: SendJob) -> int:
    """How many failed mails of a job may be tried again: mailbox full, server trouble, retries exhausted, DNS that did
    not answer, our own configuration; not unknown mailboxes, refusals, or what could not be made."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM mail_delivery d WHERE d.job_id = %(job)s AND {_FAILED}",
            _values(job=job.pk),
        )
        return int(cursor.fetchone()[0])


def count_unknown(job: SendJob, *, delivery_id: int | None = None) -> int:
    """How many mails of a job with an unknown outcome may be sent again; with `delivery_id`, whether that one may."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM mail_delivery d WHERE d.job_id = %(job)s AND {_UNKNOWN} "
            "AND (%(only)s IS NULL OR d.id = %(only)s)",
            {"job": job.pk, "only": delivery_id},
        )
        return int(cursor.fetchone()[0])


def no_unknown_text(job: SendJob) -> str:
    """Why nothing can be sent again."""
    if job.magazine_id is None:
        return _("No mail of this mailing has an unknown outcome.")
    return _("No mail with an unknown outcome went to a reader who is deliverable now.")


def retry_failed(job: SendJob, *, user: User | None, now: datetime, ip: str | None = None) -> int:
    """Queues the failed mails whose reasons can pass. Returns how many; Refused when there are none."""
    return _queue_again(
        job,
        _FAILED,
        "job.retry_failed",
        _("No failed mail of this mailing failed for a reason that can pass."),
        user=user,
        now=now,
        ip=ip,
    )


def send_unknown_again(
    job: SendJob,
    *,
    user: User | None,
    now: datetime,
    ip: str | None = None,
    delivery_id: int | None = None,
) -> int:
    """ERR-4: queues the mails of this job whose outcome is unknown: all of them, or with `delivery_id` that one. The
    recipient may get it twice. Returns how many; Refused when there are none."""
    return _queue_again(
        job,
        _UNKNOWN,
        "job.resend_unknown",
        no_unknown_text(job),
        user=user,
        now=now,
        ip=ip,
        only=delivery_id,
    )


def _must_align(job: SendJob, *, now: datetime) -> None:
    """RATE-5 holds for a mailing's second attempt too: the domain's records may have gone since."""
    if job.snapshot is None or job.purpose != Purpose.ADVERTISING or not settings.REQUIRE_ALIGNMENT:
        return
    aligned = alignment_of(str(job.snapshot.content["from_address"]), now=now)
    if not aligned.ok:
        raise Refused("alignment", aligned.text)


def _queue_again(
    job: SendJob,
    which: str,
    action: str,
    nothing: str,
    *,
    user: User | None,
    now: datetime,
    ip: str | None,
    only: int | None = None,
) -> int:
    _must_align(job, now=now)  # before the row is locked
    with transaction.atomic():
        locked = SendJob.objects.select_for_update().filter(pk=job.pk, state__in=STATES).first()
        if locked is None:
            raise Refused("wrong_state", _("This mailing was ended; its mails cannot be sent again."))
        with connection.cursor() as cursor:
            cursor.execute(
                _QUEUE.format(which=which),
                _values(job=job.pk, only=only, now=now, who=str(user or ""), bounced=BOUNCED_LATER),
            )
            mails = int(cursor.rowcount)
        if not mails:
            raise Refused("nothing_to_send", nothing)
        if locked.state == JobState.DONE:
            SendJob.objects.filter(pk=job.pk).update(state=JobState.SENDING, finished_at=None)
        audit.record(
            action, user=user, target=job, target_label=job_label(job), detail={"mails": mails}, ip=ip
        )
        transaction.on_commit(lambda: hint("mail.tasks.deliver_job", job.pk))
    job.refresh_from_db()
    count(job)
    return mails

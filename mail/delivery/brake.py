"""RATE-2: a job that fails too often at a domain stops going there, and tells the administrators.

The counters are advice, the ledger is the truth: a batch that is counted twice or lost (a process killed in between)
moves the share a little and nothing else. Counted per job and domain of the recipients' addresses.

What this module does not do: slow a site down (throttle.py) or decide about a single mail.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import idna
from django.conf import settings
from django.db import connection, transaction
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.address import smtp_address
from mail.alerts import alert_admins
from mail.models.brake import JobDomain
from mail.models.delivery import Cause, DeliveryState
from mail.models.send_job import FINISHED, SendJob
from settings import audit
from settings.models import User
from settings.system_settings import Setting, get_setting, register_setting

logger = logging.getLogger(__name__)

SHARE = Setting(
    key="brake_share",
    label=gettext_lazy("Brake: share of failing mails per domain (%)"),
    type=int,
    default=20,
    minimum=1,
    maximum=100,
    help=gettext_lazy(
        "When this share of a mailing's mails to one domain has failed, the rest to that domain waits until somebody "
        "has looked at it. Receivers block senders whose mails fail often."
    ),
    section=gettext_lazy("Sending mail"),
)
MINIMUM = Setting(
    key="brake_minimum",
    label=gettext_lazy("Brake: not before so many mails have failed"),
    type=int,
    default=100,
    minimum=10,
    maximum=100_000,
    help=gettext_lazy(
        "So that small mailings are not braked. When the receiver says that the fault is ours (SPF, DKIM, DMARC, a blocked "
        "IP address), a tenth of this number is enough."
    ),
    section=gettext_lazy("Sending mail"),
)
OURS_SOONER = (
    10  # our own faults brake at a tenth of MINIMUM: they hit every mail, and each one makes them worse
)

# Seconds for which the engine puts a mail back whose domain is braked; `go_on` makes all of them due. Long enough not to
# move a big mailing's rows about all day, short enough for the few that a worker puts back just after that.
HOLD = 600.0
# Workers remember the brakes for a second or so: what were due at once would be claimed and put back for HOLD.
GRACE = timedelta(seconds=3)

# What says nothing about how welcome we are: it passes, or no server of the receiver was asked at all.
HARMLESS = frozenset({Cause.TEMPORARY, Cause.FULL, Cause.NO_HOST})


class Tally(NamedTuple):
    """Results of one batch at one domain. `ours` are those of the failed that are our own fault."""

    sent: int = 0
    failed: int = 0
    ours: int = 0

    def plus(self, state: str, cause: str) -> "Tally":
        """With one more result; whatever does not count leaves it as it is."""
        if state == DeliveryState.SENT:
            return self._replace(sent=self.sent + 1)
        if state == DeliveryState.ERROR and cause and cause not in HARMLESS:
            return self._replace(failed=self.failed + 1, ours=self.ours + (cause == Cause.OURS))
        return self


def register_brake_settings() -> None:
    """From AppConfig.ready()."""
    for setting in (SHARE, MINIMUM):
        register_setting(setting)


def receiving_domain(address: str) -> str:
    """The domain a mail to this address goes to, in lower-case A-labels; "" for what is no address."""
    try:
        return smtp_address(address).rpartition("@")[2].lower()
    except ValueError:
        return ""


# ---- counting -------------------------------------------------------------------------------------------------------

# Sorted, so that two workers with the same domains wait for each other instead of for ever. `sent` may be negative: a
# report turned 正常 into エラー. Beyond the window all numbers are halved, old results fade: otherwise a block that begins
# after 100,000 good mails would have to refuse 25,000 before anybody stopped.
_COUNT = """
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(domains)s::text[], %(sent)s::int[], %(failed)s::int[], %(ours)s::int[]) AS g(domain, sent, failed, ours)
)
INSERT INTO mail_jobdomain AS j (job_id, domain, sent, failed, ours, reply)
SELECT %(job)s, domain, GREATEST(sent, 0), failed, ours, '' FROM given ORDER BY domain
ON CONFLICT (job_id, domain) DO UPDATE
   SET sent = GREATEST(0, (j.sent >> (j.sent + j.failed > %(window)s)::int) + (SELECT g.sent FROM given g WHERE g.domain = j.domain)),
       failed = (j.failed >> (j.sent + j.failed > %(window)s)::int) + EXCLUDED.failed,
       ours = (j.ours >> (j.sent + j.failed > %(window)s)::int) + EXCLUDED.ours
RETURNING domain, sent, failed, ours, braked_at IS NOT NULL AND released_at IS NULL
"""


@dataclass(frozen=True)
class Limits:
    share: int  # percent
    minimum: int  # failing mails

    def reached(self, sent: int, failed: int, ours: int) -> bool:
        """Enough failures, and a large enough share of them; our own faults are judged by themselves, and sooner."""
        total = sent + failed
        return (failed >= self.minimum and failed * 100 >= self.share * total) or (
            ours * OURS_SOONER >= self.minimum and ours * 100 >= self.share * total
        )

    @property
    def window(self) -> int:
        """How many mails are judged; twice as many as it takes to reach both limits, so that halving never hides them."""
        return max(1000, 2 * self.minimum * 100 // self.share)


def limits() -> Limits:
    return Limits(int(get_setting(SHARE.key)), int(get_setting(MINIMUM.key)))


def count_results(job_id: int, results: Mapping[str, tuple[int, ...]], *, now: datetime) -> set[str]:
    """Adds a batch: `results` is {receiving domain: Tally, or (sent, failed)}. Returns the domains that braked by it.

    One short statement of its own; call it outside of the transaction that records the results."""
    tallies = {domain: Tally(*numbers) for domain, numbers in results.items() if domain and any(numbers)}
    if not tallies:
        return set()
    domains, at = sorted(tallies), limits()
    values: dict[str, Any] = {
        "job": job_id,
        "window": at.window,
        "domains": domains,
        "sent": [tallies[domain].sent for domain in domains],
        "failed": [tallies[domain].failed for domain in domains],
        "ours": [tallies[domain].ours for domain in domains],
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
        rows = cursor.fetchall()
    return {
        domain
        for domain, sent, failed, ours, braked in rows
        if tallies[domain].failed
        and not braked
        and at.reached(sent, failed, ours)
        and _brake(job_id, domain, at, now=now)
    }


def count_report(job_id: int, address: str, cause: str, *, now: datetime) -> bool:
    """A returned mail turned 正常 into エラー (ERR-1): it counts as failed from now on. True when that braked."""
    tally = Tally().plus(DeliveryState.ERROR, cause)
    domain = receiving_domain(address)
    if not domain or not tally.failed:
        return False
    return bool(count_results(job_id, {domain: tally._replace(sent=-1)}, now=now))


# ---- braking --------------------------------------------------------------------------------------------------------


def _brake(job_id: int, domain: str, at: Limits, *, now: datetime) -> bool:
    """True for the one of several workers whose UPDATE finds it not braked yet. A job that is over is left alone."""
    with transaction.atomic():
        row = (
            JobDomain.objects.select_for_update(of=("self",), no_key=True)
            .select_related("job__template")
            .filter(job_id=job_id, domain=domain)
            .exclude(braked_at__isnull=False, released_at__isnull=True)
            .first()
        )
        if row is None or row.job.state in FINISHED or not at.reached(row.sent, row.failed, row.ours):
            return False
        row.braked_at, row.released_at, row.released_by = now, None, None
        row.reply = most_frequent_reply(job_id, domain, ours=row.ours * OURS_SOONER >= at.minimum)
        row.save(update_fields=["braked_at", "released_at", "released_by", "reply"])
        audit.record(
            "job.brake",
            user=None,
            target=row.job,
            target_label=job_label(row.job),
            detail={"domain": domain, "failed": row.failed, "mails": row.sent + row.failed},
        )
        try:
            with transaction.atomic():
                _tell(row, now=now)
        except Exception:
            logger.exception("nobody could be told that job %s braked at %s", job_id, domain)
    logger.warning("job %s braked at %s: %s of %s failed", job_id, domain, row.failed, row.sent + row.failed)
    return True


def job_label(job: SendJob) -> str:
    return job.template.name if job.template is not None else str(job.pk)


def _tell(row: JobDomain, *, now: datetime) -> None:
    values: dict[str, Any] = {
        "job": job_label(row.job),
        "domain": row.domain,
        "failed": row.failed,
        "total": row.sent + row.failed,
        "reply": row.reply or "–",
        "url": settings.BASE_URL + reverse("job", args=[row.job_id]),
    }

    def subject() -> str:
        return _("Mailing braked: %(domain)s (%(job)s)") % values

    def text() -> str:
        return (
            _(
                "The mailing “%(job)s” was braked at %(domain)s: %(failed)s of the last %(total)s mails there have failed. The rest "
                "to this domain waits, mails to other domains go on.\n\nThe most frequent answer of the receiver:\n%(reply)s"
            )
            % values
            + "\n\n"
            + advice(row)
            + "\n\n"
            + str(values["url"])
        )

    alert_admins(subject, text, key=f"brake {row.job_id} {row.domain}", now=now)


def advice(row: JobDomain) -> str:
    """What to do now, in one or two sentences of the active language."""
    if row.ours * 2 >= row.failed:
        return _(
            "The receiver refuses us, not the recipients: check the sending domain (SPF, DKIM, DMARC) and the source IP "
            "address, then press “Go on sending”. Nobody's valid flag changes because of it."
        )
    return _(
        "Look at the failed mails. Old or bought address lists are the most frequent cause: stop the mailing and clean the "
        "list, or press “Go on sending” when the failures are explained."
    )


_REPLY = """
SELECT min(reply)
  FROM mail_delivery
 WHERE job_id = %(job)s AND state = 'error' AND lower(split_part(address, '@', -1)) = ANY(%(spellings)s)
   AND cause NOT IN ('temporary', 'full', 'no_host') AND (NOT %(ours)s OR cause = 'ours') AND reply <> ''
 GROUP BY code, enhanced_status
 ORDER BY count(*) DESC, code
 LIMIT 1
"""


def most_frequent_reply(job_id: int, domain: str, *, ours: bool = False) -> str:
    """Of the failed mails of this job at this domain (`ours`: of those that are our own fault), "" if there is none.
    Counted by code and status: servers put a new id into every answer."""
    with connection.cursor() as cursor:
        cursor.execute(_REPLY, {"job": job_id, "spellings": spellings(domain), "ours": ours})
        row = cursor.fetchone()
    return row[0] if row else ""


def spellings(domain: str) -> list[str]:
    """How a domain of A-labels may stand in stored addresses: as such, or as people type it."""
    try:
        return list({domain, idna.decode(domain).lower()})
    except idna.IDNAError:
        return [domain]


# ---- reading --------------------------------------------------------------------------------------------------------


def braked_domains(job_ids: Iterable[int]) -> dict[int, set[str]]:
    """{job id: the domains nothing more of it goes to at the moment}, an empty set for most. One query."""
    braked: dict[int, set[str]] = {job_id: set() for job_id in job_ids}
    rows = JobDomain.objects.filter(
        job_id__in=list(braked), braked_at__isnull=False, released_at__isnull=True
    )
    for job_id, domain in rows.values_list("job_id", "domain"):
        braked[job_id].add(domain)
    return braked


def brakes_of(job: SendJob) -> list[JobDomain]:
    """For people: where this job is braked now; a job that is over has no brakes. Longest first, one query."""
    if job.state in FINISHED:
        return []
    rows = JobDomain.objects.filter(job=job, braked_at__isnull=False, released_at__isnull=True)
    return list(rows.order_by("braked_at", "domain"))


# ---- going on -------------------------------------------------------------------------------------------------------

# Held mails were put back with a time to come; a retry that waits as well is simply tried a little sooner.
_DUE = """
UPDATE mail_delivery SET next_at = %(at)s
 WHERE job_id = %(job)s AND state IN ('queued', 'deferred') AND next_at > %(at)s
   AND lower(split_part(address, '@', -1)) = ANY(%(spellings)s)
"""


def go_on(job: SendJob, domain: str, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """「送信を続ける」: the waiting mails of the job to this domain are due again, and it is judged by what comes back
    from now on. False when it is not braked (any more), or the job is over: of two people one does it."""
    with transaction.atomic():
        # Before the mails' rows, as 緊急停止 does it.
        state = (
            SendJob.objects.select_for_update(no_key=True)
            .values_list("state", flat=True)
            .filter(pk=job.pk)
            .first()
        )
        row = (
            JobDomain.objects.select_for_update(no_key=True)
            .filter(job_id=job.pk, domain=domain, braked_at__isnull=False, released_at__isnull=True)
            .first()
        )
        if row is None or state is None or state in FINISHED:
            return False
        audit.record(
            "job.go_on",
            user=user,
            target=job,
            target_label=job_label(job),
            detail={"domain": domain, "failed": row.failed, "mails": row.sent + row.failed},
            ip=ip,
        )
        JobDomain.objects.filter(pk=row.pk).update(
            sent=0, failed=0, ours=0, released_at=now, released_by=user
        )
        with connection.cursor() as cursor:
            cursor.execute(_DUE, {"job": job.pk, "at": now + GRACE, "spellings": spellings(domain)})
    return True

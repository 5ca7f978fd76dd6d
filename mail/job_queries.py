"""What the screens ask about send jobs. Nothing here changes anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, IntegerField, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from leads.address import normalise_email
from leads.models import Lead
from leads.scope import narrow_to
from mail.models.delivery import Delivery, DeliveryState
from mail.models.send_job import FINISHED, RUNNING, WAITING, JobState, RecipientRule, SendJob, SendJobLead
from mail.modes import shown_in
from mail.send_jobs import BIG, JobCounts, stored_counts

MAX_ID = 2**63 - 1


def listed_jobs(campaign_id: int | None = None) -> QuerySet[SendJob]:
    """「ウィザード利用履歴」: every confirmed run of the wizard, no start of a magazine's story, of a campaign its own (APP-1); `tick_count` is the length of a by-user job's list (TGT-8)."""
    ticks = (
        SendJobLead.objects.filter(job=OuterRef("pk"))
        .order_by()
        .values("job")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return (
        shown_in(campaign_id, SendJob.objects.filter(magazine=None).exclude(state=JobState.DRAFT))
        .select_related("template", "created_by", "campaign")
        .annotate(tick_count=Coalesce(Subquery(ticks, output_field=IntegerField()), 0))
    )


def sent_numbers(jobs: Iterable[SendJob]) -> dict[int, int]:
    """TGT-9: the real number sent, per job id. Finished jobs, and big ones on their way, as last counted, the others
    now; one query."""
    jobs = list(jobs)
    stored = {
        job.pk: job.counts["state"].get(DeliveryState.SENT, 0)
        for job in jobs
        if (job.state in FINISHED and "state" in job.counts and "stale" not in job.counts)
        or (job.state == JobState.SENDING and stored_counts(job).in_scope >= BIG)
    }
    live = (
        Delivery.objects.filter(
            job_id__in=[job.pk for job in jobs if job.pk not in stored], state=DeliveryState.SENT
        )
        .order_by()
        .values_list("job_id")
        .annotate(n=Count("*"))
    )
    return stored | dict(live)


@dataclass(frozen=True)
class Progress:
    """`total` mails were addressed, `done` of them have an end; `left` is the estimate of what remains, if there is one."""

    total: int
    done: int
    left: timedelta | None


def progress_of(job: SendJob, counts: JobCounts, *, now: datetime) -> Progress:
    """The estimate goes by the average since the start; none before a hundredth is done, or when nothing runs."""
    done = counts.addressed - counts.open
    left = None
    if (
        job.state == JobState.SENDING
        and job.started_at
        and counts.open
        and done >= max(1, counts.addressed // 100)
    ):
        left = (now - job.started_at) * (counts.open / done)
    return Progress(total=counts.addressed, done=done, left=left)


@dataclass(frozen=True)
class Retries:
    count: int
    next_at: datetime | None


def retries_of(job: SendJob) -> Retries:
    """How many mails wait for another try, and when the next one is due (ERR-3)."""
    found = Delivery.objects.filter(job=job, state=DeliveryState.DEFERRED).aggregate(
        n=Count("*"), at=Min("next_at")
    )
    return Retries(found["n"], found["at"])


def changed_permissions(job: SendJob) -> QuerySet[Delivery]:
    """TGT-2, TGT-4: leads of a by-user job whose DM許可 is another one now than when it was decided."""
    if job.rule != RecipientRule.BY_USER:
        return Delivery.objects.none()
    return (
        Delivery.objects.filter(job=job)
        .exclude(lead__dm_permission=F("dm_permission"))
        .select_related("lead")
        .order_by("lead_id")
    )


def changes_soon(job: SendJob, *, now: datetime) -> bool:
    """Whether a page of this job should keep asking: it runs, or its start is due within a minute."""
    due = job.scheduled_at is None or job.scheduled_at <= now + timedelta(minutes=1)
    return job.state in RUNNING or (job.state in WAITING and due)


def template_changed(job: SendJob) -> bool:
    """RSV-1: the template was saved after the reservation, and the job has not started: it will go out as it is now."""
    return bool(
        job.state in WAITING
        and job.template
        and job.reserved_at
        and job.template.updated_at > job.reserved_at
    )


def leads_named(text: str, *, campaign_id: int | None = None, limit: int = 10) -> list[Lead]:
    """The leads somebody means by an id or an address, deleted ones too, newest first (EXC-4: equal after normalising);
    of a campaign its applicants."""
    text = text.strip()
    leads = narrow_to(Lead.objects.all(), campaign_id)
    if text.isascii() and text.isdigit():
        return list(leads.filter(pk=int(text))) if int(text) <= MAX_ID else []
    norm = normalise_email(text)
    return list(leads.filter(email_norm=norm).order_by("-pk")[:limit]) if norm and "\0" not in norm else []


def text_filter(words: str) -> Q:
    """The history's search by text: id, template, subject, search condition."""
    found = Q()
    for word in words.split()[:5]:
        one = (
            Q(template__name__icontains=word)
            | Q(template__subject__icontains=word)
            | Q(search_name__icontains=word)
        )
        if word.isascii() and word.isdigit() and int(word) <= MAX_ID:
            one |= Q(pk=int(word))
        found &= one
    return found

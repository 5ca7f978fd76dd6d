"""What the screens ask about the starts of stories: 「配信履歴」 and 「配信履歴詳細」. Nothing here changes anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail.models import Delivery, Magazine, ReaderChange, ReaderState, SendJob
from mail.models.delivery import DeliveryState
from mail.models.magazine import FailureGroup
from mail.models.send_job import FINISHED, WAITING, JobState
from mail.recipients.reasons import DECIDED_AT_START
from mail.send_jobs import BIG, JobCounts, stored_counts

PUNCTUAL = timedelta(seconds=60)  # the tick looks every two seconds; a start is called late after this


def starts_of(magazine: Magazine) -> QuerySet[SendJob]:
    """Every start of the magazine's stories, reserved and deleted ones too, newest first."""
    jobs = SendJob.objects.filter(magazine=magazine).exclude(state=JobState.DRAFT)
    return jobs.select_related("story__date_item", "template", "created_by", "magazine").order_by("-pk")


def reservations_of(magazine: Magazine) -> QuerySet[SendJob]:
    """Extra issues that wait for their time, the next one first."""
    return starts_of(magazine).filter(state__in=WAITING).order_by("scheduled_at", "pk")


def counts_of(jobs: Iterable[SendJob]) -> dict[int, JobCounts]:
    """TGT-12, per job id: finished jobs, and big ones on their way, as last counted, the others now; one query."""
    jobs = list(jobs)
    stored = {
        job.pk: stored_counts(job)
        for job in jobs
        if (job.state in FINISHED and "state" in job.counts and "stale" not in job.counts)
        or (job.state == JobState.SENDING and stored_counts(job).in_scope >= BIG)
    }
    by_state: dict[int, dict[str, int]] = {job.pk: {} for job in jobs if job.pk not in stored}
    by_reason: dict[int, dict[str, int]] = {job_id: {} for job_id in by_state}
    rows = Delivery.objects.filter(job_id__in=list(by_state)).order_by()
    for job_id, state, reason, number in rows.values_list("job_id", "state", "reason").annotate(n=Count("*")):
        assert job_id is not None
        by_state[job_id][state] = by_state[job_id].get(state, 0) + number
        if reason:
            by_reason[job_id][reason] = by_reason[job_id].get(reason, 0) + number
    return stored | {
        job_id: JobCounts(
            in_scope=sum(states.values()),
            addressed=sum(states.values())
            - sum(by_reason[job_id].get(reason, 0) for reason in DECIDED_AT_START),
            by_state=states,
            by_reason=by_reason[job_id],
        )
        for job_id, states in by_state.items()
    }


def excluded(counts: JobCounts) -> int:
    return counts.by_state.get(DeliveryState.EXCLUDED, 0)


# ---- one start


def planned_at(job: SendJob) -> datetime | None:
    """The time it was planned for; None where it was started by hand at once."""
    return job.scheduled_at or job.occurrence_at


def delay_text(job: SendJob) -> str:
    """TGT-11: why the start was later than planned; "" when it was not. One query for a late one."""
    planned = planned_at(job)
    if planned is None or job.started_at is None or job.started_at - planned <= PUNCTUAL:
        return ""
    others = (
        SendJob.objects.filter(started_at__gte=planned, started_at__lt=job.started_at)
        .exclude(pk=job.pk)
        .count()
    )
    if others:
        return ngettext(
            "%(n)s other mailing started at that time and was decided first.",
            "%(n)s other mailings started at that time and were decided first.",
            others,
        ) % {"n": others}
    return _(
        "The system did not work at that time, or the start could not go on; it was made up for as soon as possible."
    )


@dataclass(frozen=True)
class StoppedGroup:
    """MAG-5: readers stopped by their failures when this start was judged."""

    group: str
    label: str
    count: int


def stopped_at_start(job: SendJob) -> QuerySet[ReaderChange]:
    changes = ReaderChange.objects.filter(job_id=job.pk)
    changes = changes.filter(after=ReaderState.ERROR_STOPPED)
    return changes.select_related("lead").order_by("group", "lead_id", "pk")


def stopped_groups(job: SendJob) -> list[StoppedGroup]:
    found = dict(stopped_at_start(job).order_by().values_list("group").annotate(n=Count("*")))
    return [
        StoppedGroup(group.value, str(group.label), found[group.value])
        for group in FailureGroup
        if group.value in found
    ]

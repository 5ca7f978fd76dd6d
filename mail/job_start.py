"""The start of a job: waiting → resolving → sending, in the moment its recipients are decided (TGT-3, TGT-10).

What this module does not do: any other change of state (mail/send_jobs.py), or deciding about single leads (mail/recipients/).
"""

import logging
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q

from mail.alignment import Alignment
from mail.click_count import with_counting
from mail.hints import hint
from mail.magazines.failures import stop_over_thresholds
from mail.merge_fields import values_for
from mail.message import Skeleton, snapshot_content, store_snapshot
from mail.models.delivery import Delivery, DeliveryState
from mail.models.send_job import WAITING, JobState, RecipientRule, SendJob
from mail.models.story import Story, StoryKind
from mail.models.template import TemplateSnapshot
from mail.problems import unexpected_text
from mail.recipients.plan import plan_of
from mail.recipients.resolve import release_reserved, resolve
from mail.send_jobs import LOCKED_BEFORE_START, count, finish_if_empty, job_label, problems, sender_alignment
from mail.stories.content import counting_of, snapshot_of
from mail.stories.turns import turns_decided
from settings import audit

logger = logging.getLogger(__name__)

_WITH = ("template", "created_by", "story__magazine", "story__template", "story__date_item")


def due(now: datetime) -> list[int]:
    """Jobs whose time has come, and those whose start was cut off by a dying process."""
    return list(
        SendJob.objects.filter(
            Q(state__in=WAITING) & (Q(scheduled_at=None) | Q(scheduled_at__lte=now))
            | Q(state=JobState.RESOLVING)
        )
        .order_by("scheduled_at", "id")
        .values_list("id", flat=True)
    )


def start_due(now: datetime) -> list[int]:
    """The beat tick: marks what has entered its last 30 minutes, and hints the workers to run what is due."""
    SendJob.objects.filter(state=JobState.RESERVED, scheduled_at__lte=now + LOCKED_BEFORE_START).update(
        state=JobState.PREPARING
    )
    started = due(now)
    for job_id in started:
        hint("mail.tasks.run_job", job_id)
    return started


def run(job_id: int, *, now: datetime) -> bool:
    """Starts a due job: its recipients are decided now (TGT-3, TGT-10), its template is taken now (RSV-1).

    Safe to call at any time, any number of times, from anywhere; True when this call started it. The decision and
    the change to "sending" are one transaction: a process that dies on the way leaves nothing, and the tick calls again.
    """
    taken = SendJob.objects.filter(
        Q(scheduled_at=None) | Q(scheduled_at__lte=now), pk=job_id, state__in=WAITING
    ).update(state=JobState.RESOLVING, started_at=now)
    if not taken and not SendJob.objects.filter(pk=job_id, state=JobState.RESOLVING).exists():
        return False
    try:
        waiting = SendJob.objects.select_related(*_WITH).get(pk=job_id)
        aligned = sender_alignment(waiting, now=now)
        counts = waiting.count_clicks or (waiting.story is not None and waiting.story.count_clicks)
        if counts and waiting.template is not None:
            _counted(waiting)  # registers what is new to the register before the long transaction
        job = _start(job_id, now=now, aligned=aligned)
    except (OperationalError, InterfaceError):  # the database is away or busy: the tick calls again
        raise
    except Exception:
        logger.exception("job %s could not be started", job_id)
        with transaction.atomic():
            job = SendJob.objects.select_for_update().filter(pk=job_id, state=JobState.RESOLVING).first()
            if job is not None:
                _halt(job, unexpected_text())
        return False
    if job is None:
        return False
    count(job)
    finish_if_empty(job.pk, now=now)
    return True


def _start(job_id: int, *, now: datetime, aligned: Alignment | None) -> SendJob | None:
    """resolving → sending in one transaction; None when another process is at it, or the job was stopped or halted."""
    with transaction.atomic():
        job = (
            SendJob.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("template")
            .filter(pk=job_id, state=JobState.RESOLVING)
            .first()
        )
        if job is None:
            return None
        if job.story_id is not None:
            job.story = _held_story(job.story_id)
        if halted := next(
            (problem for problem in problems(job, now=now, aligned=aligned) if problem.severity == "error"),
            None,
        ):
            _halt(job, halted.text)
            return None
        assert job.template is not None
        job.started_at = now
        job.halt_reason = ""
        content, job.links_changed = _counted(job)
        job.snapshot = store_snapshot(content)
        if job.rule == RecipientRule.BY_USER:
            job.purpose = job.template.purpose
            release_reserved(job, now=now)
            _keep_merge_values(job, job.snapshot, now=now)
        else:
            if job.story is not None:
                stop_over_thresholds(job.story.magazine, job_id=job.pk, now=now)  # MAG-5
            plan = plan_of(job)
            resolve(job, plan, now=now)
            job.purpose, job.condition, job.skip_duplicates = (
                plan.purpose,
                plan.condition,
                plan.skip_duplicates,
            )
            job.decided_at = now
            if job.story is not None and job.story.kind == StoryKind.STEP:
                turns_decided(job.story.magazine_id, job.story.pk, job.pk, now=now)
        job.state = JobState.SENDING
        job.save()
        transaction.on_commit(lambda: hint("mail.tasks.deliver_job", job.pk))
    return job


def _held_story(story_id: int) -> Story:
    """Whoever changes the story does it before this start or after it."""
    stories = Story.objects.select_for_update(of=("self",), no_key=True)
    return stories.select_related("magazine", "template", "date_item").get(pk=story_id)


def _counted(job: SendJob) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """TRK-5: the template as it is now, with those of the chosen URLs that stand in it; and what changed. A story says at each
    start what it counts."""
    assert job.template is not None
    if job.story is not None:
        content = snapshot_of(job.story)
        for name, value in counting_of(job.story).items():
            setattr(job, name, value)
    else:
        content = snapshot_content(job.template)
    return with_counting(content, job, campaign_id=job.campaign_id, user=job.created_by)


def _keep_merge_values(job: SendJob, snapshot: TemplateSnapshot, *, now: datetime) -> None:
    """TGT-2: a by-user job says what was true at its start, however long it waits, pauses or retries (500 rows at most)."""
    waiting = list(job.deliveries.filter(state=DeliveryState.QUEUED).select_related("lead"))
    leads = [delivery.lead for delivery in waiting if delivery.lead]
    values = values_for(leads, now=now, names=Skeleton(snapshot.content).names, campaign_id=job.campaign_id)
    for delivery in waiting:
        delivery.merge_values = values[delivery.lead_id or 0]
    Delivery.objects.bulk_update(waiting, ["merge_values"])


def _halt(job: SendJob, reason: str) -> None:
    job.state = JobState.HALTED
    job.halt_reason = reason
    job.save(update_fields=["state", "halt_reason"])
    audit.record("job.halt", user=None, target=job, target_label=job_label(job), detail={"reason": reason})

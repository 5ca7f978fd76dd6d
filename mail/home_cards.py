"""What the home page says about mail: what runs, what comes next, how the last jobs went, what needs somebody."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from mail.brake_queries import braked_jobs
from mail.delivery.watchdog import Stuck, stuck
from mail.magazines.overview import error_stops
from mail.models import Delivery, SendJob, StepMail, StepState, StepWait, Story, StoryState, WaitState
from mail.models.delivery import OPEN, DeliveryState
from mail.models.send_job import RUNNING, WAITING, JobState
from mail.models.story import StoryKind
from mail.modes import shown_in
from mail.send_jobs import BIG, stored_counts
from smp.lib.home import Card, QuickAction, register_card, register_quick_action
from smp.lib.mode import BOTH, campaign_of

SHOWN = 5
LOOKS_BACK = timedelta(days=30)
ERROR_STOPS = timedelta(days=7)


def register() -> None:
    register_card(Card("running", "mail/home_running.html", running_card, position=10, wide=True, modes=BOTH))
    register_card(
        Card("attention", "mail/home_attention.html", attention_card, position=20, wide=True, modes=BOTH)
    )
    register_card(Card("reserved", "mail/home_reserved.html", reserved_card, position=20, modes=BOTH))
    register_card(Card("steps", "mail/home_steps.html", steps_card, position=25, modes=BOTH))
    register_card(Card("error_stops", "mail/home_error_stops.html", error_stops_card, position=27))
    register_card(Card("results", "mail/home_results.html", results_card, position=30, modes=BOTH))
    register_quick_action(QuickAction(_("Write a template"), "template_new", position=30, modes=BOTH))
    register_quick_action(QuickAction(_("Send wizard"), "wizard", position=40, modes=BOTH))


def _jobs(request: HttpRequest) -> QuerySet[SendJob]:
    """Of a campaign its own; in the all-campaign mode every job, with the campaign named (APP-1)."""
    return shown_in(
        campaign_of(request), SendJob.objects.select_related("template", "campaign", "magazine", "story")
    )


def running_card(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """Jobs on their way with what the rows say now: two queries, whatever their number."""
    jobs = list(_jobs(request).filter(state__in=(*RUNNING, JobState.PAUSED)).order_by("-pk")[:SHOWN])
    if not jobs:
        return None
    # A big job as the tick last counted it, ten seconds ago at most.
    big = [job for job in jobs if job.state == JobState.SENDING and stored_counts(job).in_scope >= BIG]
    states: dict[int, dict[str, int]] = {job.pk: {} for job in jobs} | {
        job.pk: stored_counts(job).by_state for job in big
    }
    counted = (
        Delivery.objects.filter(job__in=[job for job in jobs if job not in big])
        .order_by()
        .values_list("job_id", "state")
        .annotate(n=Count("*"))
    )
    for job_id, state, number in counted:
        if job_id is not None:
            states[job_id][state] = number
    lines = []
    for job in jobs:
        by_state = states[job.pk]
        waiting = sum(by_state.get(state, 0) for state in OPEN)
        done = {
            name: by_state.get(name, 0)
            for name in (DeliveryState.SENT, DeliveryState.ERROR, DeliveryState.UNKNOWN)
        }
        lines.append(
            {
                "job": job,
                "sent": done[DeliveryState.SENT],
                "error": done[DeliveryState.ERROR],
                "unknown": done[DeliveryState.UNKNOWN],
                "waiting": waiting,
                "total": waiting + sum(done.values()),
            }
        )
    return {"lines": lines}


def attention_card(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """Halted, stuck and braked jobs (RATE-2), step mails and stories that cannot go on, and jobs of the last 30 days with mails whose
    outcome is unknown (ERR-4). At most seven queries."""
    halted = list(_jobs(request).filter(state=JobState.HALTED).order_by("-pk")[:SHOWN])
    unknown = list(
        _jobs(request)
        .filter(started_at__gte=now - LOOKS_BACK, counts__state__unknown__gt=0)
        .order_by("-pk")[:SHOWN]
    )
    braked = braked_jobs(SHOWN, campaign_id=campaign_of(request))
    waiting = stuck_lines(stuck(now=now), campaign_id=campaign_of(request))
    troubled = list(
        _steps(request).filter(state=StepState.ACTIVE).exclude(trouble="").order_by("-pk")[:SHOWN]
    )
    stories = []
    if campaign_of(request) is None:  # magazines belong to no campaign
        troubles = Story.objects.filter(state=StoryState.RUNNING).exclude(trouble="")
        stories = list(troubles.select_related("magazine").order_by("-pk")[:SHOWN])
    if not halted and not unknown and not braked and not waiting and not troubled and not stories:
        return None
    return {
        "halted": halted,
        "stuck": waiting,
        "troubled": troubled,
        "stories": stories,
        "braked": [
            {"job": job, "domains": ", ".join(domains[:5]), "more": len(domains) > 5}
            for job, domains in braked
        ],
        "unknown": [{"job": job, "number": job.counts["state"]["unknown"]} for job in unknown],
    }


def stuck_lines(waiting: list[Stuck], *, campaign_id: int | None = None) -> list[dict[str, Any]]:
    """Mails that are due and that no worker takes: the job (None: mails without one) and since when. One query if there
    are any. Inside a campaign its jobs only."""
    if not waiting:
        return []
    jobs = shown_in(campaign_id, SendJob.objects.select_related("template", "campaign")).in_bulk(
        [one.job_id for one in waiting if one.job_id]
    )
    lines = [{"job": jobs.get(one.job_id or 0), "since": one.since} for one in waiting]
    return [line for line in lines if line["job"] or campaign_id is None][:SHOWN]


def reserved_card(request: HttpRequest, now: datetime) -> dict[str, Any]:
    jobs = _jobs(request).filter(state__in=WAITING, scheduled_at__isnull=False)
    return {"jobs": list(jobs.order_by("scheduled_at")[:SHOWN])}


def _steps(request: HttpRequest) -> QuerySet[StepMail]:
    return shown_in(campaign_of(request), StepMail.objects.select_related("campaign"))


def steps_card(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """How many step mails are in operation, and how many people wait; nothing where there is none. Three queries."""
    steps = _steps(request).filter(state=StepState.ACTIVE)
    active = steps.count()
    if not active:
        return None
    newest = list(steps.order_by("-pk")[:SHOWN])
    waiting = dict(
        StepWait.objects.filter(step_mail__in=newest, state=WaitState.WAITING)
        .order_by()
        .values_list("step_mail")
        .annotate(n=Count("*"))
    )
    return {
        "active": active,
        "lines": [{"step": step, "waiting": waiting.get(step.pk, 0)} for step in newest],
    }


def error_stops_card(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """MAG-3: readers stopped by errors within a week, by magazine; nothing where there are none. Two queries."""
    lines = error_stops(since=now - ERROR_STOPS)
    return {"lines": lines[:SHOWN], "days": ERROR_STOPS.days, "since": now - ERROR_STOPS} if lines else None


def results_card(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """From the counts kept with a finished job."""
    jobs = _jobs(request).filter(state__in=(JobState.DONE, JobState.STOPPED), finished_at__isnull=False)
    # A step story starts for few readers many times a day: its numbers stand on its own page.
    jobs = jobs.exclude(story__kind=StoryKind.STEP)
    lines = []
    for job in jobs.order_by("-finished_at")[:SHOWN]:
        by_state = job.counts.get("state", {})
        parts = {name: by_state.get(name, 0) for name in ("sent", "error", "unknown")}
        lines.append({"job": job, "total": sum(parts.values()), **parts})
    return {"lines": lines}

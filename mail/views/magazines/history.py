"""「配信履歴」 and 「配信履歴詳細」: the starts of a magazine's stories. What is done to one is in mail/views/jobs.py."""

from typing import Any

import django_filters
from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET

from mail import send_again, send_jobs
from mail.brake_queries import brakes_shown
from mail.job_queries import leads_named
from mail.magazines.filters import describe_filter
from mail.models import Magazine, SendJob, Story
from mail.models.delivery import DeliveryState
from mail.models.send_job import FINISHED, JobState
from mail.models.story import StoryKind
from mail.models.template import MailForm
from mail.recipients.explain import explain
from mail.returned_list import complaints_about, failures_by_cause
from mail.stories import history
from mail.stories.words import timing_text
from mail.views.jobs import live_numbers, reason_rows
from mail.views.magazines.inside import magazine_of
from settings import audit
from settings.permissions import needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response

DATE = forms.DateInput(attrs={"type": "date"})


class StartFilter(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(
        label=gettext_lazy("Kind"), field_name="story__kind", choices=StoryKind.choices,
        empty_label=gettext_lazy("All"),
    )  # fmt: skip
    story = django_filters.ModelChoiceFilter(
        label=gettext_lazy("Story"), queryset=Story.objects.none(), empty_label=gettext_lazy("All")
    )
    state = django_filters.ChoiceFilter(
        label=gettext_lazy("Sending status"),
        choices=[choice for choice in JobState.choices if choice[0] != JobState.DRAFT],
        empty_label=gettext_lazy("All"),
    )
    since = django_filters.DateFilter(
        label=pgettext_lazy("start of a delivery", "Started from"),
        field_name="started_at",
        lookup_expr="date__gte",
        widget=DATE,
    )
    until = django_filters.DateFilter(
        label=pgettext_lazy("start of a delivery", "Started until"),
        field_name="started_at",
        lookup_expr="date__lte",
        widget=DATE,
    )

    class Meta:
        model = SendJob
        fields: list[str] = []

    def __init__(self, *args: Any, magazine: Magazine, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.filters["story"].queryset = Story.objects.filter(magazine=magazine).order_by("kind", "name")


def rows_of(jobs: list[SendJob]) -> list[dict[str, Any]]:
    """For tables: each start with its numbers; one query for all."""
    now, counts = timezone.now(), history.counts_of(jobs)
    return [
        {
            "job": job,
            "state": send_jobs.displayed_state(job, now),
            "counts": counts[job.pk],
            "sent": counts[job.pk].sent,
            "errors": counts[job.pk].by_state.get(DeliveryState.ERROR, 0),
            "excluded": history.excluded(counts[job.pk]),
            "planned": history.planned_at(job),
        }
        for job in jobs
    ]


@needs_view
@require_GET
def magazine_history(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    found = StartFilter(request.GET, queryset=history.starts_of(magazine), magazine=magazine)
    page = Paginator(found.qs, rows_per_page()).get_page(request.GET.get("page"))
    jobs = list(page.object_list)
    return render(
        request,
        "mail/magazines/history.html",
        {
            "magazine": magazine,
            "filter": found,
            "page": page,
            "rows": rows_of(jobs),
            "measured": [job.pk for job in jobs if job.started_at and (job.count_clicks or job.count_opens)],
        },
    )


@needs_view
@require_GET
def magazine_history_export(request: HttpRequest, magazine_id: int) -> StreamingHttpResponse:
    """The list as filtered, as CSV (CSV-3)."""
    magazine = magazine_of(magazine_id)
    found = StartFilter(request.GET, queryset=history.starts_of(magazine), magazine=magazine).qs
    detail = {"filter": dict(request.GET.lists())}
    audit.record(
        "magazine.history_export", user=request.user, target=magazine, detail=detail, ip=client_ip(request)
    )
    header = [
        _("ID"), _("Delivery date"), _("Time of the start"), _("Planned for"), _("Kind"), _("Story"), _("Subject"), _("Sending status"),
        _("In question"), _("Sent"), _("Error"), _("Not sent"),
    ]  # fmt: skip

    def lines() -> Any:
        paginator = Paginator(found, 500)
        for number in paginator.page_range:
            for row in rows_of(list(paginator.page(number).object_list)):
                job, started = row["job"], row["job"].started_at
                local = timezone.localtime(started) if started else None
                yield [
                    job.pk, local.date() if local else "", f"{local:%H:%M:%S}" if local else "", row["planned"], job.story.get_kind_display(),
                    job.story.name, job.template.subject, row["state"].label, row["counts"].in_scope, row["sent"], row["errors"],
                    row["excluded"],
                ]  # fmt: skip

    return csv_response("deliveries.csv", header, lines())


def _start_of(magazine_id: int, job_id: int) -> SendJob:
    """404 for a start of another magazine."""
    return get_object_or_404(history.starts_of(magazine_of(magazine_id)), pk=min(job_id, 2**63 - 1))


@needs_view
@require_GET
def magazine_job(request: HttpRequest, magazine_id: int, job_id: int) -> HttpResponse:
    """「配信履歴詳細」: when it really started, what became of whom and why, what was sent (TGT-10..12, MAG-5)."""
    job = _start_of(magazine_id, job_id)
    now = timezone.now()
    live = live_numbers(job, request)
    brakes = brakes_shown(job)
    state = live["state"]
    deletable, why_not = send_jobs.may_delete(job, now)
    reasons = reason_rows(job, live["counts"])
    asked = request.GET.get("lead", "").strip()[:320]
    stopped = history.stopped_groups(job)
    context = live | {
        "magazine": job.magazine,
        "story": job.story,
        "timing": timing_text(job.story) if job.story else "",
        "planned": history.planned_at(job),
        "delay": history.delay_text(job),
        "brakes": brakes,
        "brake_count": len(brakes),
        "reasons": reasons,
        "left_out": sum(row["count"] for row in reasons),
        "stopped": stopped,
        "stopped_count": sum(group.count for group in stopped),
        "filter_words": describe_filter(job.condition),
        "causes": failures_by_cause(job) if live["errors"] else [],
        "complaints": complaints_about(job),
        "content": content_of(job),
        "may_pause": job.state == JobState.SENDING,
        "may_resume": job.state in {JobState.PAUSED, JobState.HALTED},
        "may_stop": job.state not in FINISHED,
        "may_resend": live["unknown"] and job.state in send_again.STATES,
        "retryable": send_again.count_retryable(job)
        if live["errors"] and job.state in send_again.STATES
        else 0,
        "waiting": state in {JobState.RESERVED, JobState.PREPARING},
        "may_delete": deletable,
        "why_not_deletable": why_not,
        "asked": asked,
        "answers": [{"lead": lead, "explanation": explain(job, lead, now=now)} for lead in leads_named(asked)]
        if asked
        else [],
    }
    return render(request, "mail/magazines/magazine_job.html", context)


def content_of(job: SendJob) -> dict[str, Any] | None:
    """What was sent, merge fields unfilled; None before the start."""
    if job.snapshot is None:
        return None
    content = dict(job.snapshot.content)
    return {
        "subject": content["subject"],
        "from_name": content["from_name"],
        "from_address": content["from_address"],
        "charset": content["charset"],
        "attachments": [part["name"] for part in content.get("attachments", [])],
        "text": content.get("text_body", "") if content["form"] != MailForm.HTML else "",
        "html": content["form"] != MailForm.TEXT,
    }


@needs_view
@require_GET
def magazine_job_stopped(request: HttpRequest, magazine_id: int, job_id: int) -> HttpResponse:
    """MAG-5: who was stopped by their failures when this start was judged; `?group=` one cause."""
    job = _start_of(magazine_id, job_id)
    changes = history.stopped_at_start(job)
    groups = history.stopped_groups(job)
    group = request.GET.get("group", "")
    if group:
        changes = changes.filter(group=group)
    page = Paginator(changes, rows_per_page()).get_page(request.GET.get("page"))
    return render(
        request,
        "mail/magazines/magazine_job_stopped.html",
        {"magazine": job.magazine, "job": job, "page": page, "groups": groups, "group": group},
    )

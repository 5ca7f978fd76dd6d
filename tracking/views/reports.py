"""「開封・クリックレポート」 of a mailing or a step mail (TRK-3), the mails behind its numbers, and their files."""

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_GET

from mail.models import SendJob, StepMail, StepState
from mail.models.send_job import JobState
from mail.models.template import MailForm
from mail.modes import shown_in
from mail.views.jobs import in_menu_of_job
from settings import audit
from settings.permissions import both_modes, needs_view
from smp.lib.charts import Column, Series, columns
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of
from tracking import reports
from tracking.report_times import Bucket

BIGGEST_ID = 2**63 - 1
ROWS = 500  # mailings of one list


# ---- which mailing or step mail, narrowed to the mode (APP-1)
def reported_job(request: HttpRequest, job_id: int) -> SendJob:
    jobs = SendJob.objects.exclude(state=JobState.DRAFT).select_related(
        "template", "snapshot", "campaign", "magazine", "story"
    )
    job = get_object_or_404(shown_in(campaign_of(request), jobs), pk=min(job_id, BIGGEST_ID))
    in_menu_of_job(request, job)
    return job


def reported_step(request: HttpRequest, step_id: int) -> StepMail:
    steps = StepMail.objects.exclude(state=StepState.DRAFT).select_related("template", "campaign")
    return get_object_or_404(shown_in(campaign_of(request), steps), pk=min(step_id, BIGGEST_ID))


def job_context(job: SendJob) -> dict[str, Any]:
    return {
        "title": str(job.template),
        "id": job.pk,
        "job": job,
        "campaign": job.campaign,
        "scope": reports.scope_of_job(job),
        "counting": job.count_clicks or job.count_opens,
        "urls": {name: reverse(f"job_{name}", args=[job.pk]) for name in ("report", "report_export", "report_mails", "report_mails_export")},
    }  # fmt: skip


def step_context(step: StepMail) -> dict[str, Any]:
    return {
        "title": step.name,
        "id": step.pk,
        "step": step,
        "campaign": step.campaign,
        "scope": reports.scope_of_step(step),
        "counting": step.count_clicks or step.count_opens,
        "urls": {name: reverse(f"step_{name}", args=[step.pk]) for name in ("report", "report_export", "report_mails", "report_mails_export")},
    }  # fmt: skip


# ---- the report
@both_modes
@needs_view
@require_GET
def job_report(request: HttpRequest, job_id: int) -> HttpResponse:
    return _report(request, job_context(reported_job(request, job_id)))


@both_modes
@needs_view
@require_GET
def step_report(request: HttpRequest, step_id: int) -> HttpResponse:
    return _report(request, step_context(reported_step(request, step_id)))


def _report(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    report = reports.report(context["scope"], now=timezone.now())
    context |= {"report": report, "rules_url": rules_url()}
    context |= notes(context["scope"], context["counting"])
    measured = report.scope.opens or report.scope.clicks
    if measured and report.times.hours:
        context["hours_most"] = _most(report.times.hours)
        context["hours_chart"] = _chart(
            _("The first 48 hours, by the hour"), report.times.hours, report.scope, "%m-%d %H:%M"
        )
    if measured and len(report.times.days) > 1:
        months = report.times.months
        title = _("By the month") if months else _("By the day")
        context |= {"days_title": title, "days_most": _most(report.times.days)}
        context["days_chart"] = _chart(title, report.times.days, report.scope, "%Y-%m" if months else "%m-%d")
    return render(request, "tracking/report.html", context)


def notes(scope: reports.Scope, counting: bool) -> dict[str, Any]:
    """Why a rate is missing, or lower than it is (TRK-2, TRK-3)."""
    return {
        "multipart": scope.opens and scope.form == MailForm.MULTIPART,
        "text": scope.form == MailForm.TEXT,
        "opens_off": scope.form not in ("", MailForm.TEXT) and not scope.opens,
        "clicks_off": scope.form != "" and not scope.clicks,
        "not_sent": scope.form == "",
        "not_counting": not counting,
    }


def rules_url() -> str:
    """The page that says how machines are told apart."""
    try:
        return reverse("hit_rules")
    except NoReverseMatch:
        return ""


def _most(buckets: list[Bucket]) -> int:
    return max(max(one.opened, one.clicked) for one in buckets)


def _chart(title: str, buckets: list[Bucket], scope: reports.Scope, pattern: str) -> Any:
    series = []
    if scope.opens:
        series.append(Series(pgettext("report", "Opened"), "run"))
    if scope.clicks:
        series.append(Series(pgettext("report", "Clicked"), "ok"))
    found = [
        Column(
            f"{one.since:{pattern}}",
            ([one.opened] if scope.opens else []) + ([one.clicked] if scope.clicks else []),
        )
        for one in buckets
    ]
    words = _("First opens and first clicks of each recipient; the numbers stand in the table below.")
    return columns(title, words, found, series, classes="chart tall")


@both_modes
@needs_view
@require_GET
def job_rates(request: HttpRequest, job_id: int) -> HttpResponse:
    """The summary on the page of a mailing, which loads it by itself; opened alone it leads to the report."""
    return _rates(request, job_context(reported_job(request, job_id)))


@both_modes
@needs_view
@require_GET
def jobs_rates(request: HttpRequest) -> HttpResponse:
    """Opens and clicks of several mailings (`?job=`, up to a page of them), for the cells `opened-<id>` and `clicked-<id>` of
    a list that loads them by itself. The same number of queries for one and many."""
    texts = request.GET.getlist("job")[:ROWS]
    asked = [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19]
    jobs = shown_in(campaign_of(request), SendJob.objects.exclude(state=JobState.DRAFT))
    scopes = reports.scopes_of_jobs(jobs.filter(pk__in=asked))
    numbers = reports.numbers_of("job_id", [scope.id for scope in scopes])
    rows = [
        {
            "scope": scope,
            "numbers": numbers[scope.id],
            "mails_url": reverse("job_report_mails", args=[scope.id]),
        }
        for scope in scopes
    ]
    return render(request, "tracking/jobs_rates.html", {"rows": rows})


@both_modes
@needs_view
@require_GET
def step_rates(request: HttpRequest, step_id: int) -> HttpResponse:
    """The same on the page of a step mail."""
    return _rates(request, step_context(reported_step(request, step_id)))


def _rates(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    scope = context["scope"]
    numbers = reports.numbers_of(scope.column, [scope.id])[scope.id]
    context |= {"numbers": numbers, "rates": reports.rates(scope, numbers), "rules_url": rules_url()}
    return render(request, "tracking/rates.html", context | notes(scope, context["counting"]))


# ---- its files
@both_modes
@needs_view
@require_GET
def job_report_export(request: HttpRequest, job_id: int) -> StreamingHttpResponse:
    return _export(request, job_context(reported_job(request, job_id)))


@both_modes
@needs_view
@require_GET
def step_report_export(request: HttpRequest, step_id: int) -> StreamingHttpResponse:
    return _export(request, step_context(reported_step(request, step_id)))


def _export(request: HttpRequest, context: dict[str, Any]) -> StreamingHttpResponse:
    """The whole report as one table: what, name, numerator, denominator, per cent, formula (CSV-3)."""
    report = reports.report(context["scope"], now=timezone.now())
    audit_export(request, context, what="report")
    header = [
        pgettext("report", "What"),
        _("Name"),
        _("Numerator"),
        _("Denominator"),
        "%",
        _("Formula, URL or note"),
    ]
    return csv_response(f"report-{context['id']}.csv", header, _report_lines(report))


def _per_cent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def _report_lines(report: reports.Report) -> Iterator[list[Any]]:
    numbers, delivered = report.numbers, report.numbers.delivered
    yield [pgettext("report", "Delivered"), "", delivered, "", "", ""]
    for rate in report.rates:
        yield [
            rate.label,
            "",
            rate.numerator,
            rate.denominator,
            _per_cent(rate.numerator, rate.denominator),
            rate.formula,
        ]
    for label, count, hits in (
        (_("Opens taken for machines"), numbers.machine_opened, numbers.machine_opens),
        (_("Clicks taken for machines"), numbers.machine_clicked, numbers.machine_clicks),
    ):
        yield [label, "", count, "", "", _("%(n)s hits, left out of the rates") % {"n": hits}]
    for link in report.links:
        note = _("%(url)s (%(n)s clicks together)") % {"url": link.url, "n": link.clicks}
        yield [
            pgettext("report", "Link"),
            link.name,
            link.people,
            delivered,
            _per_cent(link.people, delivered),
            note,
        ]
    for domain in reports.domains_of(report.scope, limit=None):  # the page shows the biggest
        for label, count, measured in (
            (pgettext("report", "Opened"), domain.opened, report.scope.opens),
            (pgettext("report", "Clicked"), domain.clicked, report.scope.clicks),
        ):
            if measured:
                yield [
                    f"{pgettext('report', 'Receiving domain')}: {label}",
                    domain.name,
                    count,
                    domain.delivered,
                    _per_cent(count, domain.delivered),
                    "",
                ]
    for title, buckets in (
        (_("Hour"), report.times.hours),
        (_("Month") if report.times.months else _("Day"), report.times.days),
    ):
        for one in buckets:
            if report.scope.opens:
                yield [
                    f"{title}: {pgettext('report', 'Opened')}",
                    f"{one.since:%Y-%m-%d %H:%M}",
                    one.opened,
                    "",
                    "",
                    "",
                ]
            if report.scope.clicks:
                yield [
                    f"{title}: {pgettext('report', 'Clicked')}",
                    f"{one.since:%Y-%m-%d %H:%M}",
                    one.clicked,
                    "",
                    "",
                    "",
                ]


def audit_export(request: HttpRequest, context: dict[str, Any], **detail: Any) -> None:
    audit.record(
        "report.export", user=request.user, target=context.get("job") or context.get("step"), detail=detail,
        ip=client_ip(request), campaign_id=campaign_of(request),
    )  # fmt: skip

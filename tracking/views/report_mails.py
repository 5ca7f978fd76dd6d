"""The mails behind a number of a report (TRK-3): as a list, and as a file."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from settings.permissions import both_modes, needs_view
from settings.system_settings import rows_per_page
from smp.lib.csv_export import csv_response
from tracking import reports
from tracking.report_mails import QUESTIONS, Question, count_mails, mails_behind, with_leads, words_of
from tracking.views.reports import (
    audit_export,
    job_context,
    reported_job,
    reported_step,
    rules_url,
    step_context,
)


@both_modes
@needs_view
@require_GET
def job_report_mails(request: HttpRequest, job_id: int) -> HttpResponse:
    return _mails(request, job_context(reported_job(request, job_id)))


@both_modes
@needs_view
@require_GET
def step_report_mails(request: HttpRequest, step_id: int) -> HttpResponse:
    return _mails(request, step_context(reported_step(request, step_id)))


@both_modes
@needs_view
@require_GET
def job_report_mails_export(request: HttpRequest, job_id: int) -> StreamingHttpResponse:
    return _mails_export(request, job_context(reported_job(request, job_id)))


@both_modes
@needs_view
@require_GET
def step_report_mails_export(request: HttpRequest, step_id: int) -> StreamingHttpResponse:
    return _mails_export(request, step_context(reported_step(request, step_id)))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _moment(text: str) -> datetime | None:
    """An hour of Japan's time, as the links of a report write it: 2026-11-24T10."""
    try:
        return datetime.strptime(text[:13], "%Y-%m-%dT%H").replace(tzinfo=timezone.get_default_timezone())
    except ValueError:
        return None


def question_of(request: HttpRequest) -> Question:
    """What the address asks for; 404 for what no report asks."""
    asked = request.GET
    what, link = asked.get("what", "delivered"), asked.get("link", "")
    if what not in QUESTIONS or (link and _number(link) is None):
        raise Http404
    domain = asked.get("domain", "").replace("\0", "")[:255].lower()
    return Question(
        what, _number(link), domain, _moment(asked.get("since", "")), _moment(asked.get("until", ""))
    )


def _mails(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    question, scope, size = question_of(request), context["scope"], rows_per_page()
    rows = mails_behind(
        scope.column, scope.id, question, before=_number(request.GET.get("before", "")), limit=size + 1
    )
    context |= {
        "asked": question,
        "words": words_of(
            question,
            campaign_id=context["campaign"] and context["campaign"].pk,
            language=get_language() or "ja",
        ),
        "rows": with_leads(rows[:size]),
        "count": count_mails(scope.column, scope.id, question),
        "older": rows[size - 1].delivery_id if len(rows) > size else None,
        "questions": [(key, label) for key, (label, _sql) in QUESTIONS.items() if _asked_here(key, scope)],
        "rules_url": rules_url(),
    }
    return render(request, "tracking/report_mails.html", context)


def _asked_here(question: str, scope: reports.Scope) -> bool:
    """Questions about opens make no sense where none were measured."""
    opens = scope.opens or "open" not in question
    return opens and (scope.clicks or "click" not in question)


def _mails_export(request: HttpRequest, context: dict[str, Any]) -> StreamingHttpResponse:
    question, scope = question_of(request), context["scope"]
    audit_export(request, context, what=question.what)
    lines = mails_behind(scope.column, scope.id, question)
    header = [
        _("Lead ID"), _("Name"), _("Company"), _("E-mail address"), _("Result"), _("First opened at"), pgettext("report", "Opens"),
        _("First clicked at"), pgettext("report", "Clicks"), _("Opens taken for machines"), _("Clicks taken for machines"), _("Mail ID"),
    ]  # fmt: skip

    def rows() -> Iterator[list[Any]]:
        for start in range(0, len(lines), 1000):
            for line in with_leads(lines[start : start + 1000]):
                yield [
                    line.lead_id, line.lead or "", line.lead.company if line.lead else "", line.address, line.state_label,
                    line.first_open, line.opens, line.first_click, line.clicks, line.machine_opens, line.machine_clicks,
                    line.delivery_id,
                ]  # fmt: skip

    return csv_response(f"report-{context['id']}-{question.what}.csv", header, rows())

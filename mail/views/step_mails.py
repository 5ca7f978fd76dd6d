"""「ステップメール」: the list, one step mail with everything that became of its origins, 停止, 再開 and 削除. The rules are in
mail/step_mail.py; setting one up is in step_setup.py."""

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leads.search import describe_condition
from mail import send_jobs, step_mail
from mail.click_count import changes_since
from mail.forms.step_filter import StepMailFilter
from mail.forms.step_mails import shared_searches, usable_templates
from mail.job_queries import leads_named
from mail.models import StepMail, StepState, WaitState
from mail.modes import shown_in, usable_in
from mail.recipients.reasons import Reason
from mail.step_queries import (
    LOADED,
    decisions_of,
    drafts_of,
    explanations_of,
    listed_steps,
    numbers_of,
    waits_of,
)
from mail.step_words import main_sentence, origin_text, other_sentences, timing_text
from settings import audit
from settings.permissions import both_modes, needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of, url_in
from smp.lib.once import once

SORTS = {"id": "pk", "name": "name", "timing": "wait_minutes", "since": "active_since"}
SHOWN = 10


def _filtered(request: HttpRequest) -> tuple[StepMailFilter, Any]:
    campaign_id = campaign_of(request)
    found = StepMailFilter(request.GET, queryset=listed_steps(campaign_id), campaign_id=campaign_id)
    sort = request.GET.get("sort", "")
    field = SORTS.get(sort.removeprefix("-"), "")
    order = [f"{'-' if sort.startswith('-') else ''}{field}", "-pk"] if field else ["-pk"]
    return found, found.qs.order_by(*order)


def _rows(steps: list[StepMail]) -> list[dict[str, Any]]:
    numbers = numbers_of(steps)
    return [
        {"step": step, "numbers": numbers[step.pk], "origin": origin_text(step), "timing": timing_text(step)}
        for step in steps
    ]


@both_modes
@needs_view
@require_GET
def step_mails(request: HttpRequest) -> HttpResponse:
    campaign_id = campaign_of(request)
    found, queryset = _filtered(request)
    page = Paginator(queryset, rows_per_page()).get_page(request.GET.get("page"))
    rows = _rows(list(page.object_list))
    drafts = list(drafts_of(request.user, campaign_id)[:50]) if request.user.may_edit else []
    return render(
        request,
        "mail/step_mails.html",
        {
            "filter": found, "page": page, "rows": rows, "drafts": drafts,
            "has_searches": bool(rows) or shared_searches(campaign_id).exists(),
            "has_templates": bool(rows) or usable_templates(campaign_id).exists(),
        },
    )  # fmt: skip


@both_modes
@needs_view
@require_GET
def step_mails_export(request: HttpRequest) -> StreamingHttpResponse:
    """The list as filtered, as CSV (CSV-3)."""
    _form, queryset = _filtered(request)
    blue = campaign_of(request) is None
    header = [
        _("ID"), _("Name of the step mail"), _("Origin"), _("Search condition"), _("Template"), pgettext("step mail", "Timing"), _("State"),
        _("Waiting to be due"), _("Number sent"), pgettext("number of mails", "Left out"), _("Reasons for leaving out"), _("Ended before"),
        _("Reasons for ending"), _("In operation since"), _("Made by"),
    ]  # fmt: skip
    if blue:
        header.append(_("Campaign"))
    audit.record(
        "step_mail.export", user=request.user, detail={"filter": dict(request.GET.lists())}, ip=client_ip(request),
        campaign_id=campaign_of(request),
    )  # fmt: skip

    def reasons(rows: list[Any]) -> str:
        return " / ".join(f"{row.label}: {row.count}" for row in rows)

    def lines() -> Iterator[list[Any]]:
        paginator = Paginator(queryset, 500)
        for number in paginator.page_range:
            for row in _rows(list(paginator.page(number).object_list)):
                step, counted = row["step"], row["numbers"]
                yield [
                    step.pk, step.name, row["origin"], step.search, step.template, row["timing"], step.get_state_display(),
                    counted.counts.waiting, counted.counts.sent, counted.counts.excluded, reasons(counted.excluded),
                    counted.counts.stopped,
                    reasons(counted.stopped), step.active_since, step.created_by,
                    *([step.campaign or _("All campaigns")] if blue else []),
                ]  # fmt: skip

    return csv_response("step-mails.csv", header, lines())


def shown_step(request: HttpRequest, step_id: int) -> StepMail:
    """One that the mode shows; 404 for a draft and for one of another campaign (APP-1)."""
    steps = shown_in(campaign_of(request), StepMail.objects.exclude(state=StepState.DRAFT))
    return get_object_or_404(steps.select_related(*LOADED), pk=step_id)


def own_step(request: HttpRequest, step_id: int) -> StepMail:
    """One of this very mode: what may be changed here (APP-1)."""
    steps = usable_in(campaign_of(request), StepMail.objects.exclude(state=StepState.DRAFT))
    return get_object_or_404(steps.select_related(*LOADED), pk=step_id)


@both_modes
@needs_view
@require_GET
def step_mail_page(request: HttpRequest, step_id: int) -> HttpResponse:
    step = shown_step(request, step_id)
    if step.campaign_id != campaign_of(request):  # among all campaigns: into the mode it belongs to
        return redirect(url_in(step.campaign_id, "step_mail", step.pk))
    now = timezone.now()
    asked = request.GET.get("lead", "").replace("\0", "").strip()[:320]
    numbers = numbers_of([step])[step.pk]
    answers = [
        {"lead": lead, "explanations": explanations_of(step, lead, now=now)}
        for lead in (leads_named(asked, campaign_id=step.campaign_id) if asked else [])
    ]
    return render(
        request,
        "mail/step_mail.html",
        {
            "step": step, "numbers": numbers, "sentence": main_sentence(step), "others": other_sentences(step),
            "condition": describe_condition(step.search.condition, inside=step.campaign_id) if step.search else "",
            "waiting": list(waits_of(step, state=WaitState.WAITING)[:SHOWN]) if numbers.counts.waiting else [],
            "stopped": list(waits_of(step, state=WaitState.STOPPED)[:SHOWN]) if numbers.counts.stopped else [],
            "links": changes_since(step) if step.state != StepState.DELETED else None,
            "decisions": decisions_of(step, limit=SHOWN), "reason_labels": dict(Reason.choices),
            "asked": asked, "answers": answers,
            "now": now,
        },
    )  # fmt: skip


@both_modes
@needs_view
@require_GET
def step_mail_waits(request: HttpRequest, step_id: int) -> HttpResponse:
    """The people behind a number: `?state=` waiting or stopped, `?reason=` why they were stopped."""
    step = own_step(request, step_id)
    state, reason = request.GET.get("state", WaitState.WAITING.value), request.GET.get("reason", "")
    if state not in {WaitState.WAITING, WaitState.STOPPED} or (reason and reason not in Reason.values):
        raise Http404
    page = Paginator(waits_of(step, state=state, reason=reason), rows_per_page()).get_page(
        request.GET.get("page")
    )
    return render(
        request,
        "mail/step_mail_waits.html",
        {
            "step": step, "page": page, "waits": list(page.object_list), "state": state, "reason": reason,
            "numbers": numbers_of([step])[step.pk], "reason_labels": dict(Reason.choices), "now": timezone.now(),
        },
    )  # fmt: skip


def _act(request: HttpRequest, step_id: int, act: Callable[..., Any], done: str) -> HttpResponse:
    step = own_step(request, step_id)
    try:
        act(step, user=request.user, now=timezone.now(), ip=client_ip(request))
    except send_jobs.Refused as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, done)
    return redirect("step_mail", step.pk)


@both_modes
@needs_edit
@require_POST
@once
def step_mail_stop(request: HttpRequest, step_id: int) -> HttpResponse:
    return _act(
        request, step_id, step_mail.stop,
        _("Stopped. Who is waiting stays waiting; nothing is decided or sent until you resume."),
    )  # fmt: skip


@both_modes
@needs_edit
@require_POST
@once
def step_mail_resume(request: HttpRequest, step_id: int) -> HttpResponse:
    return _act(request, step_id, step_mail.go_on, _("In operation again."))


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def step_mail_delete(request: HttpRequest, step_id: int) -> HttpResponse:
    """「削除」: a page of its own that says what ends with it."""
    if request.method == "POST":
        return _act(
            request, step_id, step_mail.delete,
            _("Deleted. Who was waiting gets nothing; what was sent stays in the history."),
        )  # fmt: skip
    step = own_step(request, step_id)
    if step.state == StepState.DELETED:
        messages.error(request, _("This step mail was already deleted."))
        return redirect("step_mail", step.pk)
    return render(
        request, "mail/step_mail_delete.html", {"step": step, "numbers": numbers_of([step])[step.pk]}
    )

"""「ウィザード利用履歴」 and the page of one job. The rules are in mail/send_jobs.py; the numbers come from the decision rows."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leads.models import DmPermission, Lead
from leads.search import describe_condition, leads_matching
from mail import send_again, send_jobs
from mail.brake_queries import brakes_shown
from mail.click_count import changes_since
from mail.delivery.brake import braked_domains, brakes_of
from mail.filters import JobFilter
from mail.job_queries import (
    changed_permissions,
    changes_soon,
    leads_named,
    listed_jobs,
    progress_of,
    retries_of,
    sent_numbers,
    template_changed,
)
from mail.models import SendJob
from mail.models.delivery import DeliveryState
from mail.models.send_job import FINISHED, JobState, RecipientRule
from mail.models.template import MailForm
from mail.modes import shown_in
from mail.recipients.explain import explain
from mail.recipients.reasons import DECIDED_AT_START, Reason
from mail.results import ADDRESSED, ResultGroup
from mail.returned_list import complaints_about, failures_by_cause
from mail.stories import starts
from mail.views.delivery_views import html_part
from settings import audit
from settings.permissions import both_modes, needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of, url_in
from smp.lib.once import once

SORTS = {"id": "pk", "created": "created_at", "scheduled": "scheduled_at", "started": "started_at"}


def confirmed_job(request: HttpRequest, job_id: int) -> SendJob:
    """One that the mode shows (APP-1): inside a campaign its own only, otherwise any."""
    jobs = SendJob.objects.exclude(state=JobState.DRAFT).select_related(
        "template", "snapshot", "created_by", "campaign", "magazine", "story"
    )
    job = get_object_or_404(shown_in(campaign_of(request), jobs), pk=job_id)
    in_menu_of_job(request, job)
    return job


def in_menu_of_job(request: HttpRequest, job: SendJob) -> None:
    """A start of a magazine belongs to the menu of that magazine, not to the wizard's history (smp/navigation.py)."""
    if job.magazine_id is not None:
        request.menu_page = "magazine_history"
        request.menu_inside = {"magazine_id": job.magazine_id}


def permission_labels(job: SendJob) -> list[str]:
    return [str(DmPermission(value).label) for value in job.dm_permissions]


def _rows(jobs: list[SendJob]) -> list[dict[str, Any]]:
    now, sent = timezone.now(), sent_numbers(jobs)
    braked = braked_domains(job.pk for job in jobs if job.state not in FINISHED)
    return [
        {
            "job": job,
            "state": send_jobs.displayed_state(job, now),
            "sent": sent.get(job.pk, 0),
            "braked": len(braked.get(job.pk, ())),
            "permissions": permission_labels(job),
            "by_user": job.rule == RecipientRule.BY_USER,
        }
        for job in jobs
    ]


def _filtered(request: HttpRequest) -> tuple[JobFilter, Any]:
    campaign_id = campaign_of(request)
    found = JobFilter(request.GET, queryset=listed_jobs(campaign_id), campaign_id=campaign_id)
    sort = request.GET.get("sort", "")
    field = SORTS.get(sort.removeprefix("-"), "")
    order = [f"{'-' if sort.startswith('-') else ''}{field}", "-pk"] if field else ["-pk"]
    return found, found.qs.order_by(*order)


@both_modes
@needs_view
@require_GET
def jobs(request: HttpRequest) -> HttpResponse:
    found, queryset = _filtered(request)
    page = Paginator(queryset, rows_per_page()).get_page(request.GET.get("page"))
    return render(
        request, "mail/jobs.html", {"filter": found, "page": page, "rows": _rows(list(page.object_list))}
    )


@both_modes
@needs_view
@require_GET
def jobs_export(request: HttpRequest) -> StreamingHttpResponse:
    """The list as filtered, as CSV (CSV-3)."""
    _form, queryset = _filtered(request)
    header = [
        _("ID"), _("Registered at"), _("Template"), _("How recipients are given"), _("Search condition"), _("DM permission"),
        _("Also send to people who already received it"), _("Reserved for"), _("Sending started at"), _("Sending status"),
        _("Number sent"), _("Made by"),
    ]  # fmt: skip
    blue = campaign_of(request) is None
    if blue:
        header.append(_("Campaign"))
    audit.record(
        "job.export", user=request.user, detail={"filter": dict(request.GET.lists())}, ip=client_ip(request)
    )

    def lines() -> Iterator[list[Any]]:
        paginator = Paginator(queryset, 500)
        for number in paginator.page_range:
            for row in _rows(list(paginator.page(number).object_list)):
                job = row["job"]
                yield [
                    job.pk, job.created_at, job.template, job.get_rule_display(),
                    _("By user (%(n)s people)") % {"n": job.tick_count} if row["by_user"] else job.search_name,
                    "・".join(row["permissions"]), _("Send to them too") if job.include_sent else _("Leave them out"),
                    job.scheduled_at or _("At once"), job.started_at, row["state"].label, row["sent"], job.created_by,
                    *([job.campaign or _("All campaigns")] if blue else []),
                ]  # fmt: skip

    return csv_response("send-jobs.csv", header, lines())


def live_numbers(job: SendJob, request: HttpRequest) -> dict[str, Any]:
    """What changes while a job runs: state, numbers, progress, retries."""
    now = timezone.now()
    counts = send_jobs.shown_counts(job)
    state = send_jobs.displayed_state(job, now)
    by_state = counts.by_state
    deliveries = f"{reverse('deliveries')}?job={job.pk}"

    def link(state: str) -> str:
        return f"{deliveries}&state={state}"

    numbers = [
        {"label": _scope_label(job), "count": counts.in_scope, "url": deliveries, "kind": ""},
        {"label": _("Addressed"), "count": counts.addressed, "url": link(ADDRESSED), "kind": ""},
        {"label": DeliveryState.SENT.label, "count": by_state.get(DeliveryState.SENT, 0), "url": link(DeliveryState.SENT), "kind": ""},
        {"label": DeliveryState.ERROR.label, "count": by_state.get(DeliveryState.ERROR, 0), "url": link(DeliveryState.ERROR), "kind": "bad"},
        {
            "label": DeliveryState.UNKNOWN.label, "count": by_state.get(DeliveryState.UNKNOWN, 0),
            "url": link(DeliveryState.UNKNOWN), "kind": "unknown",
        },
        {"label": _("Still to come"), "count": counts.open, "url": link(ResultGroup.WAITING), "kind": ""},
    ]  # fmt: skip
    return {
        "job": job, "state": state, "counts": counts, "numbers": numbers, "progress": progress_of(job, counts, now=now),
        "retries": retries_of(job), "running": changes_soon(job, now=now), "decided": bool(counts.in_scope) or job.decided_at is not None,
        "sent": by_state.get(DeliveryState.SENT, 0), "errors": by_state.get(DeliveryState.ERROR, 0),
        "unknown": by_state.get(DeliveryState.UNKNOWN, 0), "deferred_url": link(DeliveryState.DEFERRED),
        "late": sum(number for reason, number in counts.by_reason.items() if reason not in DECIDED_AT_START),
    }  # fmt: skip


def _scope_label(job: SendJob) -> str:
    if job.magazine_id is not None:
        return _("Readers in question")
    return _("Ticked leads") if job.rule == RecipientRule.BY_USER else _("Match the search condition")


def reason_rows(job: SendJob, counts: Any) -> list[dict[str, Any]]:
    """「送られない人と理由」, in EXC-1's order; what came after the decision says so."""
    decided = _("at the reservation") if job.rule == RecipientRule.BY_USER else _("at the start")
    order = {reason: index for index, reason in enumerate(Reason)}
    return [
        {
            "label": Reason(reason).label,
            "count": number,
            "reason": reason,
            "when": decided if reason in DECIDED_AT_START else _("afterwards"),
        }
        for reason, number in sorted(counts.by_reason.items(), key=lambda item: order[Reason(item[0])])
    ]


def _changed_links(job: SendJob) -> dict[str, Any] | None:
    """TRK-5: what of the choice changed since the reservation, as it is now until the start, and as it was then
    afterwards; None when nothing did."""
    waiting = job.snapshot_id is None and job.state not in FINISHED
    changes: dict[str, Any] | None = changes_since(job) if waiting else job.links_changed
    return changes if changes and any(changes.values()) else None


@both_modes
@needs_view
@require_GET
def job(request: HttpRequest, job_id: int) -> HttpResponse:
    job = confirmed_job(request, job_id)
    if job.magazine_id is not None:  # a start of a story has a page of its own
        return redirect("magazine_job", job.magazine_id, job.pk)
    now = timezone.now()
    live = live_numbers(job, request)
    brakes = brakes_shown(job)
    state = live["state"]
    deletable, why_not = send_jobs.may_delete(job, now)
    by_user = job.rule == RecipientRule.BY_USER
    asked = request.GET.get("lead", "").strip()[:320]
    reasons = reason_rows(job, live["counts"])
    changed_links = _changed_links(job) if job.count_clicks else None
    return render(
        request,
        "mail/job.html",
        live
        | {
            "by_user": by_user,
            "links_changed": changed_links,
            "counted": [
                item | {"gone": changed_links is not None and item["url"] in changed_links.get("gone", [])}
                for item in job.counted_urls or []
            ],
            "brakes": brakes,
            "brake_count": len(brakes),
            "condition": describe_condition(job.condition, inside=job.campaign_id)
            if job.condition is not None and not by_user
            else "",
            "permissions": permission_labels(job),
            "tick_count": job.ticked.count() if by_user else 0,
            "changed": changed_permissions(job).count() if by_user and state not in FINISHED else 0,
            "template_changed": template_changed(job),
            "reasons": reasons,
            "left_out": sum(row["count"] for row in reasons),
            "causes": failures_by_cause(job) if live["errors"] else [],
            "complaints": complaints_about(job),
            "may_pause": job.state == JobState.SENDING,
            "may_resume": job.state in {JobState.PAUSED, JobState.HALTED},
            "retryable": send_again.count_retryable(job)
            if live["errors"] and job.state in send_again.STATES
            else 0,
            "may_resend": live["unknown"] and job.state in send_again.STATES,
            "may_stop": job.state not in FINISHED,
            "waiting": state in {JobState.RESERVED, JobState.PREPARING},
            "may_delete": deletable,
            "why_not_deletable": why_not,
            "asked": asked,
            "answers": [
                {"lead": lead, "explanation": explain(job, lead, now=now)}
                for lead in leads_named(asked, campaign_id=campaign_of(request))
            ]
            if asked
            else [],
        },
    )


@both_modes
@needs_view
@require_GET
def job_progress(request: HttpRequest, job_id: int) -> HttpResponse:
    """The live part, asked for every two seconds while the job runs; when its state or its brakes changed, the page loads
    again."""
    job = confirmed_job(request, job_id)
    live = live_numbers(job, request) | {"brake_count": len(brakes_of(job))}
    response = render(request, "mail/job_progress.html", live)
    if request.GET.get("state") != live["state"] or request.GET.get("brakes", "0") != str(
        live["brake_count"]
    ):
        response["HX-Refresh"] = "true"
    return response


def _sent_content(job: SendJob) -> dict[str, Any]:
    if job.snapshot is None:
        raise Http404
    return dict(job.snapshot.content)


@both_modes
@needs_view
@require_GET
def job_content(request: HttpRequest, job_id: int) -> HttpResponse:
    """The template as it was when the job started (RSV-1, RSV-4), merge fields unfilled; before that, the template's page."""
    job = confirmed_job(request, job_id)
    if job.snapshot_id is None:
        return redirect(url_in(job.campaign_id, "template", job.template_id))
    content = _sent_content(job)
    addresses = [
        (_("To"), "to"), (_("CC"), "cc"), (_("BCC"), "bcc"), (_("Reply-To"), "reply_to"), (_("Errors to"), "errors_to"),
    ]  # fmt: skip
    return render(
        request,
        "mail/job_content.html",
        {
            "job": job,
            "template_url": url_in(job.campaign_id, "template", job.template_id),
            "content": content,
            "addresses": [(label, content.get(field)) for label, field in addresses if content.get(field)],
            "attachments": [part["name"] for part in content.get("attachments", [])],
            "text": content.get("text_body") if content["form"] != MailForm.HTML else "",
            "html": content.get("html_body") if content["form"] != MailForm.TEXT else "",
        },
    )


@both_modes
@needs_view
@require_GET
def job_html(request: HttpRequest, job_id: int) -> HttpResponse:
    """The HTML part alone, for the sandboxed frame: somebody's HTML, so nothing runs and nothing is loaded."""
    content = _sent_content(confirmed_job(request, job_id))
    if content["form"] == MailForm.TEXT:
        raise Http404
    return html_part(content["html_body"])


def _act(request: HttpRequest, job_id: int, act: Callable[..., Any], done: str) -> HttpResponse:
    job = confirmed_job(request, job_id)
    try:
        act(job, user=request.user, now=timezone.now(), ip=client_ip(request))
    except send_jobs.Refused as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, done)
    return redirect("job", job.pk)


@both_modes
@needs_edit
@require_POST
@once
def job_pause(request: HttpRequest, job_id: int) -> HttpResponse:
    return _act(request, job_id, send_jobs.pause, _("Paused. Nothing more is handed over until you resume."))


@both_modes
@needs_edit
@require_POST
@once
def job_resume(request: HttpRequest, job_id: int) -> HttpResponse:
    return _act(request, job_id, send_jobs.resume, _("Resumed."))


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def job_stop(request: HttpRequest, job_id: int) -> HttpResponse:
    """「緊急停止」 (RSV-3): a page of its own, so that nobody stops a mailing by a slip."""
    if request.method == "POST":
        return _act(
            request, job_id, send_jobs.stop, _("Stopped. What was not handed over yet will not be sent.")
        )
    job = confirmed_job(request, job_id)
    if job.state in FINISHED:
        messages.error(request, _("This mailing is over; there is nothing left to stop."))
        return redirect("job", job.pk)
    return render(request, "mail/job_stop.html", {"job": job, "counts": send_jobs.counts_now(job)})


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def job_delete(request: HttpRequest, job_id: int) -> HttpResponse:
    """「削除」 of a reservation, up to thirty minutes before its time (RSV-2)."""
    if request.method == "POST":
        of_story = confirmed_job(request, job_id).story_id is not None
        return _act(
            request,
            job_id,
            starts.delete_reservation if of_story else send_jobs.delete_reservation,
            _("The reservation was deleted. Nothing will be sent."),
        )
    job = confirmed_job(request, job_id)
    deletable, why_not = send_jobs.may_delete(job, timezone.now())
    if not deletable:
        messages.error(request, why_not)
        return redirect("job", job.pk)
    return render(request, "mail/job_delete.html", {"job": job})


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def job_resend_unknown(request: HttpRequest, job_id: int) -> HttpResponse:
    """ERR-4: mails whose outcome is unknown are sent again only because somebody says so, on a page that says what it
    means: all of the mailing, or with `?mail=ID` that one."""
    only = request.GET.get("mail", "")
    if only and not (only.isascii() and only.isdigit() and len(only) < 19):
        raise Http404
    delivery_id = int(only) if only else None
    if request.method == "POST":
        return _act(
            request,
            job_id,
            partial(send_again.send_unknown_again, delivery_id=delivery_id),
            _("The mails with an unknown outcome are sent again."),
        )
    job = confirmed_job(request, job_id)
    unknown = send_again.count_unknown(job, delivery_id=delivery_id)
    if not unknown:
        messages.error(request, send_again.no_unknown_text(job))
        return redirect("job", job.pk)
    return render(
        request, "mail/job_resend_unknown.html", {"job": job, "unknown": unknown, "delivery_id": delivery_id}
    )


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def job_retry_failed(request: HttpRequest, job_id: int) -> HttpResponse:
    """「失敗したメールを再送信」: only those that failed for reasons that can pass, after a confirmation."""
    if request.method == "POST":
        return _act(
            request, job_id, send_again.retry_failed, _("The failed mails that can pass are sent again.")
        )
    job = confirmed_job(request, job_id)
    mails = send_again.count_retryable(job)
    if not mails or job.state not in send_again.STATES:
        messages.error(request, _("No failed mail of this mailing failed for a reason that can pass."))
        return redirect("job", job.pk)
    return render(request, "mail/job_retry_failed.html", {"job": job, "mails": mails})


@both_modes
@needs_view
@require_GET
def job_leads(request: HttpRequest, job_id: int) -> HttpResponse:
    """TGT-8: the list of leads of a by-user job, as it was ticked."""
    job = confirmed_job(request, job_id)
    if job.rule != RecipientRule.BY_USER:
        return redirect("job", job.pk)
    leads = Lead.objects.filter(pk__in=job.ticked.values("lead_id")).order_by("-pk")
    return _lead_list(
        request,
        job,
        leads,
        _("The leads of this mailing"),
        _("Ticked in the wizard; fixed since the reservation."),
    )


@both_modes
@needs_view
@require_GET
def job_matching(request: HttpRequest, job_id: int) -> HttpResponse:
    """「いま検索する」: who matches the condition now, as it was when the job was confirmed (TGT-8)."""
    job = confirmed_job(request, job_id)
    if job.rule != RecipientRule.BY_SEARCH or job.condition is None or job.magazine_id is not None:
        return redirect("job", job.pk)
    try:
        leads = leads_matching(job.condition, now=timezone.now(), campaign_id=job.campaign_id).order_by("-pk")
        return _lead_list(
            request, job, leads, _("Leads that match now"),
            _("The condition of this mailing, searched on today's data. Who was really addressed is on the page of the mailing."),
        )  # fmt: skip
    except ValidationError as invalid:
        messages.error(request, " ".join(invalid.messages))
        return redirect("job", job.pk)


def _lead_list(request: HttpRequest, job: SendJob, leads: Any, title: str, text: str) -> HttpResponse:
    page = Paginator(leads, rows_per_page()).get_page(request.GET.get("page"))
    return render(request, "mail/job_leads.html", {"job": job, "page": page, "title": title, "text": text})


@both_modes
@needs_view
@require_GET
def job_changed(request: HttpRequest, job_id: int) -> HttpResponse:
    """Leads of a by-user reservation whose DM許可 changed since: they are mailed all the same (TGT-2, TGT-4)."""
    job = confirmed_job(request, job_id)
    page = Paginator(changed_permissions(job), rows_per_page()).get_page(request.GET.get("page"))
    labels = dict(DmPermission.choices)
    rows = [
        {
            "delivery": delivery,
            "lead": delivery.lead,
            "then": labels.get(delivery.dm_permission, ""),
            "now": delivery.lead.get_dm_permission_display(),
        }
        for delivery in page.object_list
    ]
    return render(request, "mail/job_changed.html", {"job": job, "page": page, "rows": rows})

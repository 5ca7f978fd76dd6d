"""「送信ウィザード」: condition → (leads, by user) → (links, with click count: wizard_links.py) → confirmation → done. Every
run is one draft row (RSV-5)."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leads.lead_list import simple_search
from leads.models import DmPermission, Lead, SavedSearch
from leads.scope import leads_in
from leads.search import describe_condition, leads_matching
from mail import send_jobs
from mail.forms.wizard import WizardForm
from mail.models import Magazine, MailTemplate, SendJob
from mail.models.magazine import ReaderState
from mail.models.send_job import JobState, RecipientRule
from mail.models.template import Purpose
from mail.modes import usable_in
from mail.recipients.plan import plan_of
from mail.recipients.reasons import DECIDED_AT_START, OF_READERS
from mail.recipients.resolve import (
    ExpectedPage,
    expected_cancelled,
    expected_counts,
    expected_page,
    expected_stopped,
    stopped_in_magazines,
)
from mail.template_check import lacks_legal_notice
from mail.templates import legal_footer
from mail.views.expected import PAGE, offset_of, page_number, rows_context
from settings.permissions import both_modes, needs_edit
from smp.lib.client_ip import client_ip
from smp.lib.mode import campaign_of
from smp.lib.once import once

# Among the addressed, MAG-12: "stopped-<magazine>-<state>".
STOPPED, STOPPED_STATES = "stopped-", (ReaderState.STOPPED, ReaderState.ERROR_STOPPED)
CANCELLED = "cancelled"  # among the addressed of a campaign's job; no reason of EXC-1
STEPS = ("condition", "leads", "links", "confirm", "done")


def drafts_of(request: HttpRequest) -> QuerySet[SendJob]:
    """Unfinished runs of the mode this user may open: their own; a privileged administrator's may be anybody's."""
    drafts = usable_in(campaign_of(request), SendJob.objects.filter(state=JobState.DRAFT))
    return drafts if request.user.may_administer else drafts.filter(created_by=request.user)


def wizard_run(request: HttpRequest, job_id: int) -> SendJob:
    """The run behind a wizard page: a draft this user may open, or a confirmed job, of this very mode (APP-1). 404 for
    anything else."""
    jobs = SendJob.objects.select_related("template", "search", "created_by", "campaign")
    job = usable_in(campaign_of(request), jobs).filter(pk=job_id).first()
    if job is None or (
        job.state == JobState.DRAFT
        and not (request.user.may_administer or job.created_by_id == request.user.pk)
    ):
        raise Http404
    return job


def steps(job: SendJob | None, here: str) -> list[dict[str, Any]]:
    """The numbered steps above every page: what is done, where we are, what comes."""
    labels = {
        "condition": _("Condition and template"),
        "leads": _("Check the people"),
        "links": _("Click count URLs"),
        "confirm": _("Confirm"),
        "done": _("Done"),
    }
    wanted = {
        "leads": job is not None and job.rule == RecipientRule.BY_USER,
        "links": job is not None and job.count_clicks,
    }
    shown = [step for step in STEPS if step == here or wanted.get(step, True)]
    at = shown.index(here)
    return [
        {
            "number": index + 1,
            "label": labels[step],
            "state": "done" if index < at else "now" if index == at else "later",
        }
        for index, step in enumerate(shown)
    ]


def _next_page(job: SendJob) -> HttpResponse:
    """After page 1."""
    return redirect("wizard_leads" if job.rule == RecipientRule.BY_USER else _after_leads(job), job.pk)


def _after_leads(job: SendJob) -> str:
    """TRK-1: by user, the links are chosen after the check of the people."""
    return "wizard_links" if job.count_clicks else "wizard_confirm"


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def wizard(request: HttpRequest) -> HttpResponse:
    """The entry: page 1 for a new run (`?search=ID`, `?template=ID` fill it in), and the unfinished runs."""
    now = timezone.now()
    if request.method == "POST":
        form = WizardForm(request.POST, user=request.user, now=now, campaign_id=campaign_of(request))
        if form.is_valid():
            values = form.draft_values()
            job = send_jobs.create_draft(
                user=request.user, token=form.cleaned_data["token"], campaign_id=campaign_of(request),
                **{name: value for name, value in values.items() if name != "search"}, search=values["search"],
            )  # fmt: skip
            # The same page posted twice finds the run it made the first time (RSV-5); the token of somebody else's or
            # of another mode finds nothing.
            job = wizard_run(request, job.pk)
            if job.state != JobState.DRAFT:
                return redirect("wizard_done", job.pk)
            return _next_page(_change(job, form))
    else:
        form = WizardForm(
            user=request.user, now=now, campaign_id=campaign_of(request), initial=_prefill(request)
        )
    drafts = (
        drafts_of(request)
        .select_related("template", "created_by")
        .annotate(tick_count=Count("ticked"))
        .order_by("-pk")[:50]
    )
    return render(
        request,
        "mail/wizard_condition.html",
        {"form": form, "steps": steps(None, "condition"), "drafts": drafts, "job": None},
    )


def _prefill(request: HttpRequest) -> dict[str, Any]:
    """From a link of the search or template list; a wrong id is just not filled in."""
    found: dict[str, Any] = {}
    for name, model in (("search", SavedSearch), ("template", MailTemplate)):
        text = request.GET.get(name, "")
        rows = usable_in(campaign_of(request), model.objects.all())
        if (
            text.isascii()
            and text.isdigit()
            and len(text) < 19
            and (row := rows.filter(pk=int(text)).first())
        ):
            found[name] = row.pk
    return found


def _change(job: SendJob, form: WizardForm) -> SendJob:
    values = form.draft_values()
    if values["search"] is None:  # by user with ticked leads
        values.update(search_name="", condition=None)
    if DmPermission.UNWANTED not in values["dm_permissions"]:
        values["unwanted_confirmed"] = False
    return send_jobs.change_draft(job, **values)


@both_modes
@needs_edit
@require_POST
@once
def wizard_from_leads(request: HttpRequest) -> HttpResponse:
    """From a list of leads: the ticked ones become a by-user run (TGT-5)."""
    ids = {
        int(text)
        for text in request.POST.getlist("lead")
        if text.isascii() and text.isdigit() and len(text) < 19
    }
    if not ids:
        messages.error(request, _("Tick at least one lead."))
        return redirect("leads")
    if len(ids) > send_jobs.BY_USER_LIMIT:
        messages.error(request, send_jobs.too_many_text(len(ids)))
        return redirect("wizard")
    job = send_jobs.create_draft(
        user=request.user, rule=RecipientRule.BY_USER, lead_ids=ids, campaign_id=campaign_of(request)
    )
    return redirect("wizard_condition", job.pk)


@both_modes
@needs_edit
@require_GET
def wizard_templates(request: HttpRequest) -> HttpResponse:
    """The choices of the template field whose name or subject has the typed words (htmx; the field works without)."""
    found = usable_in(campaign_of(request), MailTemplate.objects.filter(archived_at=None))
    for word in request.GET.get("words", "").replace("\0", "").split()[:5]:
        found = found.filter(Q(name__icontains=word) | Q(subject__icontains=word))
    return render(
        request,
        "mail/wizard_templates.html",
        {"templates": found.only("pk", "name")[:500], "chosen": request.GET.get("template", "")},
    )


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def wizard_condition(request: HttpRequest, job_id: int) -> HttpResponse:
    job = wizard_run(request, job_id)
    if job.state != JobState.DRAFT:
        return redirect("wizard_done", job.pk)
    ticked = job.ticked.count()
    form = WizardForm(
        request.POST or None,
        user=request.user,
        now=timezone.now(),
        campaign_id=job.campaign_id,
        job=job,
        ticked=ticked,
    )
    if request.method == "POST" and form.is_valid():
        try:
            return _next_page(_change(job, form))
        except send_jobs.Refused as refused:
            messages.error(request, refused.message)
            return redirect("wizard_done", job.pk)
    return render(
        request,
        "mail/wizard_condition.html",
        {"form": form, "job": job, "steps": steps(job, "condition"), "ticked": ticked},
    )


def _leads_to_tick(request: HttpRequest, job: SendJob, show: str) -> QuerySet[Lead]:
    """TGT-5: those who match page 1's condition, or those who are ticked; narrowed by the text typed above the list."""
    if show == "ticked" or job.condition is None:
        found = leads_in(job.campaign_id).filter(pk__in=job.ticked.values("lead_id"))
    else:
        found = leads_matching(job.condition, now=timezone.now(), campaign_id=job.campaign_id)
    found = simple_search(found, request.GET.get("q", "")[:200])
    return found.order_by("-pk")


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def wizard_leads(request: HttpRequest, job_id: int) -> HttpResponse:
    """「ユーザーの確認」: checkboxes over the leads in question; ticks are kept on the server, page by page."""
    job = wizard_run(request, job_id)
    if job.state != JobState.DRAFT:
        return redirect("wizard_done", job.pk)
    ticked = set(job.ticked.values_list("lead_id", flat=True))
    error = ""
    if request.method == "POST":
        ticked = _posted_ticks(request, ticked)
        try:
            if request.POST.get("go") == "by_search":
                return _next_page(send_jobs.change_draft(job, rule=RecipientRule.BY_SEARCH))
            send_jobs.tick(job, ticked)
        except send_jobs.Refused as refused:
            error = refused.message
        else:
            go = request.POST.get("go", "")
            if go == "next" and ticked:
                return redirect(_after_leads(job), job.pk)
            if go == "next":
                error = _("Tick at least one lead.")
            elif not request.htmx:
                return redirect(f"{request.path}?{_list_query(request, go)}")
    if request.htmx and request.method == "POST":
        count = len(ticked) if error else job.ticked.count()
        return render(
            request,
            "mail/wizard_ticked.html",
            {"count": count, "limit": send_jobs.BY_USER_LIMIT, "error": error},
        )
    # By search no single lead can be picked (TGT-7): the page then only offers to change the rule.
    show = "ticked" if request.GET.get("show") == "ticked" or job.condition is None else "matching"
    try:
        page = Paginator(_leads_to_tick(request, job, show), PAGE).get_page(request.GET.get("page"))
        leads = list(page.object_list)
    except ValidationError as invalid:  # the condition names something that is gone
        messages.error(request, " ".join(invalid.messages))
        return redirect("wizard_condition", job.pk)
    return render(
        request,
        "mail/wizard_leads.html",
        {
            "job": job, "steps": steps(job, "leads"), "page": page, "leads": leads, "ticked": ticked, "show": show,
            "count": len(ticked), "limit": send_jobs.BY_USER_LIMIT, "error": error, "q": request.GET.get("q", ""),
        },
    )  # fmt: skip


def _posted_ticks(request: HttpRequest, ticked: set[int]) -> set[int]:
    """The ticks after this page: of the leads it showed, those that came back ticked; all others as they were."""

    def ids(name: str) -> set[int]:
        return {
            int(text)
            for text in request.POST.getlist(name)
            if text.isascii() and text.isdigit() and len(text) < 19
        }

    go = request.POST.get("go", "")
    if go == "clear":
        return set()
    shown, now_ticked = ids("shown"), ids("lead")
    if go == "tick_page":
        now_ticked = shown
    elif go == "untick_page":
        now_ticked = set()
    return (ticked - shown) | now_ticked


def _list_query(request: HttpRequest, go: str) -> str:
    query = request.GET.copy()
    if go.startswith("page-"):
        query["page"] = go.removeprefix("page-")
    elif go.startswith("show-"):
        query["show"] = go.removeprefix("show-")
        query.pop("page", None)
    return str(query.urlencode())


def ready_for_confirmation(job: SendJob) -> str | None:
    """The page that must be filled in first, or None."""
    if job.template_id is None or (job.rule == RecipientRule.BY_SEARCH and job.condition is None):
        return "wizard_condition"
    if job.rule == RecipientRule.BY_USER and not job.ticked.exists():
        return "wizard_leads"
    if job.count_clicks and job.counted_urls is None:
        return "wizard_links"
    return None


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def wizard_confirm(request: HttpRequest, job_id: int) -> HttpResponse:
    """「送信内容の確認」: the dry run per reason (EXC-6), the checks, and the one click that sends or reserves."""
    job = wizard_run(request, job_id)
    if job.state != JobState.DRAFT:  # a reload, a double click, or the other administrator was first (RSV-5)
        return redirect("wizard_done", job.pk)
    if first := ready_for_confirmation(job):
        return redirect(first, job.pk)
    now = timezone.now()
    if request.method == "POST":
        try:
            unwanted = DmPermission.UNWANTED in job.dm_permissions
            if unwanted:  # asked anew each time: the number shown beside it may have changed
                send_jobs.change_draft(
                    job, unwanted_confirmed=request.POST.get("unwanted_confirmed") == "yes"
                )
            send_jobs.confirm(
                job, user=request.user, now=now, ip=client_ip(request), seen=request.POST.get("seen", "")
            )
            return redirect("wizard_done", job.pk)
        except send_jobs.Refused as refused:
            if refused.code == "only_draft":
                return redirect("wizard_done", job.pk)
            messages.error(request, refused.message)
            job.refresh_from_db()
    plan = plan_of(job)
    try:
        counts = expected_counts(plan, now=now)
    except ValidationError as invalid:
        messages.error(request, " ".join(invalid.messages))
        return redirect("wizard_condition", job.pk)
    cancelled = expected_cancelled(plan, now=now, limit=1, offset=0).total if job.campaign_id else 0
    # A campaign knows nothing of the magazines, which belong to all campaigns (APP-1).
    stopped = stopped_in_magazines(plan, now=now) if job.campaign_id is None else []
    problems = send_jobs.problems(job, now=now)
    unwanted = DmPermission.UNWANTED in job.dm_permissions
    return render(
        request,
        "mail/wizard_confirm.html",
        {
            "job": job, "steps": steps(job, "confirm"), "plan": plan, "counts": counts, "funnel": _funnel(counts),
            "seen": send_jobs.fingerprint(job), "problems": problems, "refused": any(problem.severity == "error" for problem in problems),
            "condition": describe_condition(job.condition, inside=job.campaign_id) if job.condition is not None else "",
            "by_user": job.rule == RecipientRule.BY_USER, "ticked_unused": _unused_ticks(job),
            "permissions": [DmPermission(value).label for value in job.dm_permissions],
            "unwanted": unwanted, "refusers": send_jobs.refusers_expected(job, now=now) if unwanted else 0,
            "advertising": plan.purpose == Purpose.ADVERTISING,
            "legal_help": job.template is not None and lacks_legal_notice(job.template),
            "legal_lines": legal_footer().strip(), "cancelled": cancelled, "stopped": stopped,
            "applicants": leads_in(job.campaign_id).count() if job.campaign_id else None,
        },
    )  # fmt: skip


def _stopped_label(who: str) -> str:
    """MAG-12: `who` is "stopped-<magazine>-<state>"; "" for anything else."""
    magazine_id, _dash, state = who.removeprefix(STOPPED).partition("-")
    if not (
        who.startswith(STOPPED)
        and magazine_id.isascii()
        and magazine_id.isdecimal()
        and len(magazine_id) < 18
        and state in STOPPED_STATES
    ):
        return ""
    magazine = Magazine.objects.filter(pk=int(magazine_id)).first()
    if magazine is None:
        return ""
    return _("Expected to be sent, although “%(state)s” in the magazine “%(magazine)s”") % {
        "state": ReaderState(state).label,
        "magazine": magazine,
    }


def _unused_ticks(job: SendJob) -> int:
    return job.ticked.count() if job.rule == RecipientRule.BY_SEARCH else 0


def _funnel(counts: Any) -> list[dict[str, Any]]:
    """The reasons in EXC-1's order with their width in thousandths of everyone in scope."""
    whole = counts.in_scope or 1
    return [
        {
            "reason": reason.value,
            "label": reason.label,
            "count": number,
            "width": max(4, 1000 * number // whole),
        }
        for reason in DECIDED_AT_START
        if (number := counts.by_reason.get(reason))
    ]


def _expected_leads(job: SendJob, who: str, *, offset: int) -> ExpectedPage:
    plan, now = plan_of(job), timezone.now()
    if who == CANCELLED:
        return expected_cancelled(plan, now=now, limit=PAGE, offset=offset)
    if who.startswith(STOPPED):
        magazine_id, state = who.removeprefix(STOPPED).split("-")
        return expected_stopped(plan, int(magazine_id), state, now=now, limit=PAGE, offset=offset)
    reason = None if who == "in_scope" else "" if who == "addressed" else who
    return expected_page(plan, reason, now=now, limit=PAGE, offset=offset)


@both_modes
@needs_edit
@require_GET
def wizard_expected(request: HttpRequest, job_id: int) -> HttpResponse:
    """The leads behind one number of the dry run: `?who=` in_scope, addressed, or a reason."""
    job = wizard_run(request, job_id)
    if job.state != JobState.DRAFT:
        return redirect("job", job.pk)
    if first := ready_for_confirmation(job):
        return redirect(first, job.pk)
    who = request.GET.get("who", "addressed")
    labels = {"in_scope": _("Everyone in scope"), "addressed": _("Expected to be sent")} | {
        reason.value: str(reason.label) for reason in DECIDED_AT_START if reason not in OF_READERS
    }
    if job.campaign_id is not None:
        labels[CANCELLED] = _("Expected to be sent, although cancelled")
    elif label := _stopped_label(who):
        labels[who] = label
    if who not in labels:
        raise Http404
    number = page_number(request)
    try:
        found = _expected_leads(job, who, offset=offset_of(number))
    except ValidationError as invalid:
        messages.error(request, " ".join(invalid.messages))
        return redirect("wizard_condition", job.pk)
    if number > 1 and not found.rows:  # the list became shorter since
        return redirect(f"{request.path}?who={who}")
    context = {"job": job, "steps": steps(job, "confirm"), "who": who, "label": labels[who], "labels": labels}
    return render(request, "mail/wizard_expected.html", context | rows_context(found, number))


@both_modes
@needs_edit
@require_GET
def wizard_done(request: HttpRequest, job_id: int) -> HttpResponse:
    """Shown once confirmed, on every reload, and to whoever clicked second."""
    job = wizard_run(request, job_id)
    if job.state == JobState.DRAFT:
        return redirect("wizard_confirm", job.pk)
    return render(
        request,
        "mail/wizard_done.html",
        {"job": job, "steps": steps(job, "done"), "state": send_jobs.displayed_state(job, timezone.now())},
    )


@both_modes
@needs_edit
@require_POST
@once
def wizard_discard(request: HttpRequest, job_id: int) -> HttpResponse:
    """Throws an unfinished run away."""
    job = wizard_run(request, job_id)
    if job.state != JobState.DRAFT:
        return redirect("wizard_done", job.pk)
    send_jobs.delete_draft(job)
    messages.success(request, _("The unfinished mailing was deleted."))
    return redirect("wizard")

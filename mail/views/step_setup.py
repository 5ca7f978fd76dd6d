"""Setting up a step mail: 「送信設定」 → (「クリックカウントURL指定」) → 「ステップメール配信」 → confirmation (STEP-1..6). Each run is one
draft row, however often its pages are posted."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leads.models import DmPermission
from leads.search import describe_condition
from leads.searches import visible_searches
from mail import send_jobs, step_mail
from mail.click_count import choose
from mail.forms.click_count import ClickCountForm
from mail.forms.step_mails import StepSettingsForm, StepTimingForm, shared_searches, usable_templates
from mail.message import snapshot_content
from mail.models import StepMail, StepOrigin, StepState
from mail.modes import usable_in
from mail.step_mail import NAME_MAX
from mail.step_queries import LOADED, applications_before, fingerprint, matching_now
from mail.step_settings import BEFORE_KNOWN
from mail.step_words import main_sentence, other_sentences, pattern_sentence
from mail.template_check import lacks_legal_notice
from mail.templates import legal_footer
from settings.permissions import both_modes, needs_edit
from settings.system_settings import get_setting
from smp.lib.client_ip import client_ip
from smp.lib.mode import campaign_of
from smp.lib.once import once

PAGES = ("settings", "clicks", "timing", "confirm")


def setup_run(request: HttpRequest, step_id: int) -> StepMail:
    """The step mail behind a page of its set-up: of this mode (APP-1); a draft of somebody else only for privileged
    administrators. 404 for anything else."""
    steps = usable_in(campaign_of(request), StepMail.objects.select_related(*LOADED))
    step = steps.filter(pk=step_id).first()
    if step is None or (
        step.state == StepState.DRAFT
        and not (request.user.may_administer or step.created_by_id == request.user.pk)
    ):
        raise Http404
    return step


def bar(step: StepMail | None, here: str) -> list[dict[str, Any]]:
    """The numbered steps above every page."""
    labels = {
        "settings": _("Sending settings"),
        "clicks": _("Click count URLs"),
        "timing": _("Step mail delivery"),
        "confirm": _("Confirm"),
    }
    shown = [page for page in PAGES if page != "clicks" or here == "clicks" or (step and step.count_clicks)]
    at = shown.index(here)
    return [
        {"number": place + 1, "label": labels[page], "state": "done" if place < at else "now" if place == at else "later"}
        for place, page in enumerate(shown)
    ]  # fmt: skip


def _prefill(request: HttpRequest) -> dict[str, Any]:
    """From a link of the search or template list; a wrong id is just not filled in."""
    found: dict[str, Any] = {}
    allowed = {
        "search": shared_searches(campaign_of(request)),
        "template": usable_templates(campaign_of(request)),
    }
    for name, rows in allowed.items():
        text = request.GET.get(name, "")
        if text.isascii() and text.isdigit() and len(text) < 19 and rows.filter(pk=int(text)).exists():
            found[name] = int(text)
    return found


def _after_settings(step: StepMail) -> HttpResponse:
    return redirect("step_mail_clicks" if step.count_clicks else "step_mail_timing", step.pk)


def _refused(form: forms.Form, refusal: send_jobs.Refused | ValidationError) -> None:
    """What the rules refuse stands at the top of the form, or beside its field."""
    if isinstance(refusal, send_jobs.Refused):
        form.add_error(None, refusal.message)
    elif hasattr(refusal, "error_dict"):
        for name, texts in refusal.message_dict.items():
            form.add_error(name if name in form.fields else None, texts)
    else:
        form.add_error(None, refusal)


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def step_mail_new(request: HttpRequest) -> HttpResponse:
    """「新規登録」: 「送信設定」 of a new one (`?search=ID`, `?template=ID` fill it in)."""
    campaign_id = campaign_of(request)
    form = StepSettingsForm(request.POST or None, campaign_id=campaign_id, initial=_prefill(request))
    if request.method == "POST" and form.is_valid():
        try:
            made = step_mail.create_draft(
                user=request.user, campaign_id=campaign_id, token=form.cleaned_data["token"], **form.values()
            )
            # The same page posted twice finds the row it made the first time; a token of somebody else's finds nothing.
            step = setup_run(request, made.pk)
            if step.state != StepState.DRAFT:
                return redirect("step_mail", step.pk)
            return _after_settings(step_mail.change_draft(step, **form.values()))
        except (send_jobs.Refused, ValidationError) as refusal:
            _refused(form, refusal)
    return _settings_page(request, form, None)


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def step_mail_settings(request: HttpRequest, step_id: int) -> HttpResponse:
    """「送信設定」 of one that is being set up, or of one that was started."""
    step = setup_run(request, step_id)
    if step.state == StepState.DELETED:
        return redirect("step_mail", step.pk)
    form = StepSettingsForm(request.POST or None, campaign_id=step.campaign_id, step=step)
    if request.method == "POST" and form.is_valid():
        template_before = step.template_id
        try:
            changed = _save(request, step, form.values())
            if changed.state == StepState.DRAFT:
                return _after_settings(changed)
            recount = changed.count_clicks and (
                changed.counted_urls is None or changed.template_id != template_before
            )
            return redirect("step_mail_clicks" if recount else "step_mail", step.pk)
        except (send_jobs.Refused, ValidationError) as refusal:
            _refused(form, refusal)
            step = setup_run(request, step_id)
    return _settings_page(request, form, step)


def _save(request: HttpRequest, step: StepMail, values: dict[str, Any]) -> StepMail:
    """A draft is just changed; a change of what was started is checked and audited."""
    if step.state == StepState.DRAFT:
        return step_mail.change_draft(step, **values)
    changed = step_mail.change(step, user=request.user, now=timezone.now(), ip=client_ip(request), **values)
    messages.success(request, _("Saved."))
    return changed


def _settings_page(request: HttpRequest, form: StepSettingsForm, step: StepMail | None) -> HttpResponse:
    campaign_id = campaign_of(request)
    has_searches = shared_searches(campaign_id).exists()
    return render(
        request,
        "mail/step_settings.html",
        {
            "form": form, "step": step, "bar": bar(step, "settings"), "started": step and step.state != StepState.DRAFT,
            "has_searches": has_searches, "has_templates": usable_templates(campaign_id).exists(),
            "private": 0 if has_searches else visible_searches(request.user, campaign_id).filter(shared=False).count(),
        },
    )  # fmt: skip


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def step_mail_clicks(request: HttpRequest, step_id: int) -> HttpResponse:
    """「クリックカウントURL指定」 (TRK-1, TRK-2), as in the send wizard."""
    step = setup_run(request, step_id)
    if step.state == StepState.DELETED:
        return redirect("step_mail", step.pk)
    if step.template is None or not step.count_clicks:
        return redirect("step_mail_settings", step.pk)
    form = ClickCountForm(
        request.POST or None,
        content=snapshot_content(step.template),
        counting=step,
        campaign_id=step.campaign_id,
    )
    started = step.state != StepState.DRAFT
    if request.method == "POST" and form.is_valid():
        try:
            if started:
                chosen = [{"url": url, "name": name} for url, name in form.choice["urls"].items()]
                _save(request, step, {"counted_urls": chosen, "count_opens": form.choice["opens"]})
            else:
                choose(step, **form.choice, user=request.user, ip=client_ip(request))
            return redirect("step_mail" if started else "step_mail_timing", step.pk)
        except (send_jobs.Refused, ValidationError) as refusal:
            _refused(form, refusal)
    return render(
        request,
        "mail/step_clicks.html",
        {"form": form, "step": step, "started": started, "bar": bar(step, "clicks")},
    )


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def step_mail_timing(request: HttpRequest, step_id: int) -> HttpResponse:
    """「ステップメール配信」: 起点 and 「送信タイミング」."""
    step = setup_run(request, step_id)
    if step.state == StepState.DELETED:
        return redirect("step_mail", step.pk)
    form = StepTimingForm(request.POST or None, step=step)
    started = step.state != StepState.DRAFT
    if request.method == "POST" and form.is_valid():
        try:
            _save(request, step, form.values())
            return redirect("step_mail" if started else "step_mail_confirm", step.pk)
        except (send_jobs.Refused, ValidationError) as refusal:
            _refused(form, refusal)
    return render(
        request,
        "mail/step_timing.html",
        {"form": form, "step": step, "started": started, "bar": bar(step, "timing")},
    )


@both_modes
@needs_edit
@require_GET
def step_mail_pattern(request: HttpRequest) -> HttpResponse:
    """What the URL being typed means (htmx; the page says it too after it was posted)."""
    pattern = request.GET.get("url_pattern", "").replace("\0", "")[:2000]
    try:
        context = {"meaning": pattern_sentence(pattern) if pattern.strip() else ""}
    except ValidationError as wrong:
        context = {"wrong": " ".join(wrong.messages)}
    return render(request, "mail/step_pattern.html", context | {"pattern": pattern})


def _first_missing(step: StepMail) -> str | None:
    """The page that must be filled in first, or None."""
    if step.template is None or step.search is None:
        return "step_mail_settings"
    if step.count_clicks and step.counted_urls is None:
        return "step_mail_clicks"
    if step.origin == StepOrigin.PAGE_VIEW and not step.url_pattern:
        return "step_mail_timing"
    return None


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def step_mail_confirm(request: HttpRequest, step_id: int) -> HttpResponse:
    """The whole in plain sentences, what stands in the way, and the one click that puts it into operation."""
    step = setup_run(request, step_id)
    if step.state != StepState.DRAFT:  # a reload, a double click, or the other administrator was first
        return redirect("step_mail", step.pk)
    if missing := _first_missing(step):
        return redirect(missing, step.pk)
    now = timezone.now()
    unwanted = DmPermission.UNWANTED in step.dm_permissions
    if request.method == "POST":
        try:
            return _start(request, step, unwanted)
        except send_jobs.Refused as refused:
            step = setup_run(request, step_id)
            if step.state != StepState.DRAFT:
                return redirect("step_mail", step.pk)
            messages.error(request, refused.message)
    try:
        matching, refusers = matching_now(step, now=now)
    except ValidationError as invalid:  # the condition names something that is gone
        messages.error(request, " ".join(invalid.messages))
        return redirect("step_mail_settings", step.pk)
    # That the box below is not ticked yet is no problem to be mended elsewhere.
    problems = [one for one in step_mail.problems(step, now=now) if one.code != "unwanted_not_confirmed"]
    assert step.search is not None and step.template is not None
    return render(
        request,
        "mail/step_confirm.html",
        {
            "step": step, "bar": bar(step, "confirm"), "sentence": main_sentence(step), "others": other_sentences(step),
            "meaning": pattern_sentence(step.url_pattern) if step.url_pattern else "",
            "condition": describe_condition(step.search.condition, inside=step.campaign_id),
            "matching": matching, "refusers": refusers, "unwanted": unwanted, "problems": problems,
            "refused": any(problem.severity == "error" for problem in problems),
            "before": applications_before(step), "before_known": get_setting(BEFORE_KNOWN), "seen": fingerprint(step),
            "legal_help": lacks_legal_notice(step.template), "legal_lines": legal_footer().strip(),
        },
    )  # fmt: skip


def _start(request: HttpRequest, step: StepMail, unwanted: bool) -> HttpResponse:
    """Refused when the draft is not what the page showed any more."""
    if request.POST.get("seen") != fingerprint(step):
        raise send_jobs.Refused("changed", _(
            "This step mail was changed in another window or by somebody else. It is not in operation. Check what is shown "
            "now, then confirm again."
        ))  # fmt: skip
    if unwanted:  # asked anew each time: the number shown beside it may have changed
        confirmed = request.POST.get("unwanted_confirmed") == "yes"
        step_mail.change_draft(step, unwanted_confirmed=confirmed)
    if step_mail.start(step, user=request.user, now=timezone.now(), ip=client_ip(request)):
        messages.success(request, _("The step mail is in operation."))
    return redirect("step_mail", step.pk)


@both_modes
@needs_edit
@require_POST
@once
def step_mail_copy(request: HttpRequest, step_id: int) -> HttpResponse:
    """A draft with the same choices; what cannot be chosen any more is left open."""
    step = setup_run(request, step_id)
    values: dict[str, Any] = {
        name: getattr(step, name)
        for name in (
            "url_pattern", "wait_minutes", "dm_permissions", "include_sent", "count_clicks", "count_opens", "counted_urls",
        )
    }  # fmt: skip
    if step.template and not step.template.archived_at:
        values["template"] = step.template
    if step.search and step.search.shared:
        values["search"] = step.search
    name = _("%(name)s (copy)") % {"name": step.name}
    copied = step_mail.create_draft(
        user=request.user, campaign_id=step.campaign_id, name=name[:NAME_MAX], **values
    )
    messages.info(request, _("This is a copy that is not in operation yet. Check it page by page."))
    return redirect("step_mail_settings", copied.pk)


@both_modes
@needs_edit
@require_POST
@once
def step_mail_discard(request: HttpRequest, step_id: int) -> HttpResponse:
    """Throws an unfinished set-up away."""
    step = setup_run(request, step_id)
    try:
        step_mail.discard(step, user=request.user, now=timezone.now(), ip=client_ip(request))
    except send_jobs.Refused as refused:  # somebody else was faster
        messages.error(request, refused.message)
    else:
        messages.success(request, _("The unfinished step mail was deleted."))
    return redirect("step_mails")

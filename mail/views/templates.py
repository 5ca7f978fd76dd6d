"""「テンプレート一覧」, the editor, the preview and the test send. Rules: mail/templates.py, mail/test_send.py."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leads.address import normalise_email
from leads.models import Lead
from leads.scope import leads_in
from mail.address_fields import AddressFieldError
from mail.forms.templates import TemplateFilterForm, TemplateForm, TestSendForm
from mail.mail_kinds import kinds_sent_with
from mail.merge_fields import MergeField, merge_fields
from mail.merging import TemplateError
from mail.message import BuiltMail, MergeProblem, Skeleton, as_test, field_label, snapshot_content
from mail.models import MailTemplate, TemplateAttachment
from mail.models.send_job import JobState, SendJob
from mail.modes import usable_in
from mail.template_check import check_template, lacks_legal_notice, unencodable_in
from mail.templates import (
    AttachmentRefused,
    Conflict,
    archive_template,
    body_fields,
    copy_template,
    legal_footer,
    listed_templates,
    new_template,
    restore_template,
    save_template,
    starts_soon,
    step_mails_with,
    waiting_jobs,
)
from mail.test_send import TestRefused, merge_values, send_test, test_lead
from mail.views.delivery_views import DEAD_LINKS
from mail.views.wizard import wizard_run
from settings.permissions import both_modes, campaign_mode, needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.mode import campaign_of
from smp.lib.once import once

SORTS = {"name", "updated_at", "last_used_at", "sent_count"}
# Somebody else's HTML: no scripts, no forms, no frames, nothing from this site but what the mail itself brings.
PREVIEW_POLICY = (
    "default-src 'none'; img-src data: https:; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
)


@both_modes
@needs_view
@require_GET
def templates(request: HttpRequest) -> HttpResponse:
    form = TemplateFilterForm(request.GET)
    found = listed_templates(campaign_of(request), archived=form.is_valid() and form.cleaned_data["archived"])
    if form.is_valid():
        if words := form.cleaned_data["q"].replace("\0", ""):
            found = found.filter(Q(name__icontains=words) | Q(subject__icontains=words))
        for field in ("form", "purpose"):
            if form.cleaned_data[field]:
                found = found.filter(**{field: form.cleaned_data[field]})
    sort = request.GET.get("sort", "")
    if sort.removeprefix("-") in SORTS:
        found = found.order_by(sort, "-pk")
    page = Paginator(found.select_related("updated_by"), rows_per_page()).get_page(request.GET.get("page"))
    return render(
        request, "mail/templates.html", {"page_obj": page, "templates": page.object_list, "form": form}
    )


def _template(request: HttpRequest, template_id: int) -> MailTemplate:
    """One of the mode's own; 404 for those of another one (APP-1)."""
    templates = MailTemplate.objects.select_related("created_by", "updated_by")
    return get_object_or_404(usable_in(campaign_of(request), templates), pk=template_id)


@both_modes
@needs_view
@require_GET
def template(request: HttpRequest, template_id: int) -> HttpResponse:
    """One template: what stands in its way, the preview with a lead's data, and how it was used."""
    now = timezone.now()
    shown = _template(request, template_id)
    lead, why = _preview_lead(request)
    mail, refusal = _build(shown, lead, now)
    jobs = waiting_jobs(shown)
    lost = (
        {field_label(field): items for field, items in unencodable_in(shown).items()}
        if shown.charset == "iso-2022-jp"
        else {}
    )
    problems = check_template(shown)
    context = {
        "template": shown,
        "problems": problems,
        "must_mend": any(problem.severity == "error" for problem in problems),
        "drafts": SendJob.objects.filter(
            template=shown, state=JobState.DRAFT, created_by=request.user
        ).order_by("-pk")[:3],
        "legal_help": lacks_legal_notice(shown),
        "legal_lines": legal_footer().strip(),
        "lead": lead,
        "why": why,
        "mail": mail,
        "refusal": refusal,
        "headers": headers_of(mail) if mail else [],
        "shown_bodies": body_fields(shown.form),
        "automatic": kinds_sent_with(shown),
        "waiting": jobs,
        "waiting_counts": any(job.count_clicks for job in jobs),
        "soon": starts_soon(jobs, now),
        "lost": lost,
        "attachments": shown.attachments.defer("content"),
        "usage": listed_templates(shown.campaign_id, archived=shown.archived_at is not None).get(pk=shown.pk),
    }
    return render(request, "mail/template.html", context)


@both_modes
@needs_view
@require_GET
def template_html(request: HttpRequest, template_id: int) -> HttpResponse:
    """The merged HTML alone, for the sandboxed frame of the preview."""
    shown = _template(request, template_id)
    lead, _why = _preview_lead(request)
    mail, _refusal = _build(shown, lead, timezone.now())
    response = HttpResponse(mail.html + DEAD_LINKS if mail else "", content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = PREVIEW_POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def _preview_lead(request: HttpRequest) -> tuple[Lead | None, str]:
    """The lead named by `lead` (an ID, an address or a name), otherwise the one a test mail would use (TEST-2)."""
    words = request.GET.get("lead", "").replace("\0", "").strip()[:200]
    if not words:
        return test_lead(campaign_id=campaign_of(request))
    leads = leads_in(campaign_of(request)).order_by("-id")
    number = words.lstrip("#")
    lead = (
        leads.filter(pk=int(number)).first()
        if number.isascii() and number.isdigit() and len(number) < 18
        else None
    )
    if lead is None and "@" in words:
        lead = leads.filter(email_norm=normalise_email(words)).first()
    elif lead is None:
        lead = leads.filter(Q(last_name=words) | Q(company=words)).first()
    if lead is None:
        parts = words.replace("\u3000", " ").split(" ", 1)
        lead = leads.filter(last_name=parts[0], first_name=parts[-1]).first() if len(parts) == 2 else None
    if lead is None:
        lead, why = test_lead(campaign_id=campaign_of(request))
        return lead, _("No lead was found for “%(words)s”.") % {"words": words} + " " + why
    return lead, _("The lead you chose.")


def _build(shown: MailTemplate, lead: Lead | None, now: datetime) -> tuple[BuiltMail | None, str]:
    """(the mail as it would be sent now, "") or (None, why it cannot be made)."""
    try:
        content = snapshot_content(shown) | {"attachments": []}
        address = None
        if lead is None:
            content, address = as_test(content) | {"subject": content["subject"]}, "test@example.com"
        skeleton = Skeleton(content)
        values = merge_values(skeleton, lead, now=now, campaign_id=shown.campaign_id)
        return skeleton.build(
            values, delivery_id=0, lead_id=lead.pk if lead else None, sent_at=now, address=address
        ), ""
    except (TemplateError, AddressFieldError, MergeProblem) as error:
        return None, str(error)


def headers_of(mail: BuiltMail) -> list[tuple[str, str]]:
    """The header fields as they will be, unfolded, with encoded words left as they are on the wire."""
    block = mail.data.split(b"\r\n\r\n", 1)[0].decode("ascii").replace("\r\n ", "\n ")
    fields: list[list[str]] = []
    for line in block.split("\r\n"):
        name, _colon, value = line.partition(": ")
        fields.append([name, value])
    return [(name, value) for name, value in fields]


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def template_new(request: HttpRequest) -> HttpResponse:
    return _edit(request, new_template(campaign_of(request)))


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def template_edit(request: HttpRequest, template_id: int) -> HttpResponse:
    return _edit(request, _template(request, template_id))


def _edit(request: HttpRequest, edited: MailTemplate) -> HttpResponse:
    waiting = waiting_jobs(edited)
    form = TemplateForm(request.POST or None, request.FILES or None, instance=edited)
    if request.method == "POST" and form.is_valid():
        try:
            saved = save_template(
                form.save(commit=False),
                user=request.user,
                seen_at=form.cleaned_data["seen_at"],
                files=form.new_files,
                removed=form.removed_ids,
                ip=client_ip(request),
            )
        except Conflict as conflict:
            form.add_error(None, str(conflict))
            stored = _template(request, edited.pk)
            # Saving once more is the way to overwrite, after looking.
            form.data = form.data.copy()
            form.data["seen_at"] = stored.updated_at.isoformat()
        except AttachmentRefused as refused:
            form.add_error("files", str(refused))
        else:
            messages.success(request, _("The template was saved."))
            return redirect("template", saved.pk)
    context = {
        "form": form,
        "template": edited,
        "groups": picker(merge_fields()),
        "waiting": waiting,
        "waiting_counts": any(job.count_clicks for job in waiting),
        "soon": starts_soon(waiting, timezone.now()),
    }
    return render(request, "mail/template_edit.html", context)


def picker(fields: list[MergeField]) -> list[dict[str, Any]]:
    """[{"label": group, "fields": [{"insert": "{{ 姓 }}", "label": "Last name", "aliases": "last_name"}]}]"""
    groups: dict[str, list[dict[str, str]]] = {}
    for field in fields:
        entry = {
            "insert": "{{ " + field.name + " }}",
            "label": str(field.label),
            "aliases": ", ".join(field.aliases),
        }
        groups.setdefault(str(field.group), []).append(entry)
    return [{"label": label, "fields": entries} for label, entries in groups.items()]


@both_modes
@needs_edit
@require_POST
@once
def template_copy(request: HttpRequest, template_id: int) -> HttpResponse:
    copy = copy_template(
        _template(request, template_id),
        campaign_id=campaign_of(request),
        user=request.user,
        ip=client_ip(request),
    )
    messages.success(request, _("The template was copied."))
    return redirect("template_edit", copy.pk)


@campaign_mode
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def templates_of_all(request: HttpRequest) -> HttpResponse:
    """「全キャンペーンのテンプレートからコピー」: those of the all-campaign mode, each with a button that copies it into this
    campaign. The copy is this campaign's own; the original stays as it is."""
    general = listed_templates(None)
    if request.method == "POST":
        text = request.POST.get("template", "")
        wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
        copy = copy_template(
            get_object_or_404(general, pk=wanted),
            campaign_id=campaign_of(request),
            user=request.user,
            ip=client_ip(request),
        )
        messages.success(request, _("The template was copied into this campaign."))
        return redirect("template_edit", copy.pk)
    if words := request.GET.get("q", "").replace("\0", "").strip()[:200]:
        general = general.filter(Q(name__icontains=words) | Q(subject__icontains=words))
    page = Paginator(general, rows_per_page()).get_page(request.GET.get("page"))
    return render(
        request,
        "mail/templates_of_all.html",
        {"page_obj": page, "templates": page.object_list, "q": words},
    )


@both_modes
@needs_edit
@require_POST
def template_archive(request: HttpRequest, template_id: int) -> HttpResponse:
    shown = _template(request, template_id)
    if archive_template(shown, user=request.user, now=timezone.now(), ip=client_ip(request)):
        messages.success(request, _("The template was archived. Histories keep it."))
        return redirect("templates")
    if automatic := kinds_sent_with(shown):
        text = _(
            "It is the wording of an automatic mail (%(mails)s). Choose another one in the mail settings first."
        )
        messages.error(request, text % {"mails": ", ".join(automatic)})
    elif steps := step_mails_with(shown):
        text = _(
            "A step mail uses this template (%(names)s). Choose another one there, or delete the step mail."
        )
        messages.error(request, text % {"names": ", ".join(steps)})
    else:
        messages.error(request, _("A reserved mailing uses this template. Delete the reservation first."))
    return redirect("template", shown.pk)


@both_modes
@needs_edit
@require_POST
def template_restore(request: HttpRequest, template_id: int) -> HttpResponse:
    shown = _template(request, template_id)
    restore_template(shown, user=request.user, ip=client_ip(request))
    messages.success(request, _("The template is back in the list."))
    return redirect("template", shown.pk)


@both_modes
@needs_view
@require_GET
def template_attachment(request: HttpRequest, template_id: int, attachment_id: int) -> HttpResponse:
    """Downloads a file; never shown inside this site, whatever it says it is."""
    file = get_object_or_404(TemplateAttachment, pk=attachment_id, template=_template(request, template_id))
    response = HttpResponse(bytes(file.content), content_type="application/octet-stream")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(file.file_name, safe='')}"
    return response


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def template_test_send(request: HttpRequest, template_id: int) -> HttpResponse:
    """TEST-1. `lead` (repeatable): leads ticked before (TEST-3). `job`: the wizard run it came from, for its ticks and the way back."""
    shown = _template(request, template_id)
    source = request.POST if request.method == "POST" else request.GET
    ticked = [
        int(value)
        for value in source.getlist("lead")
        if value.isascii() and value.isdigit() and len(value) < 18
    ][:500]
    job = _job(request, source.get("job", ""))
    if job and not ticked:
        ticked = list(job.ticked.values_list("lead_id", flat=True)[:500])
    back = reverse("wizard_confirm", args=[job.pk]) if job else reverse("template", args=[shown.pk])
    form = TestSendForm(request.POST or None, initial={"addresses": request.user.email})
    if request.method == "POST" and form.is_valid():
        try:
            sent = send_test(
                shown,
                addresses=form.cleaned_data["addresses"],
                user=request.user,
                now=timezone.now(),
                ticked_ids=ticked,
                ip=client_ip(request),
            )
        except TestRefused as refused:
            form.add_error(None, str(refused))
        else:
            where = ", ".join(delivery.address for delivery in sent)
            messages.success(request, _("The test mail is on its way to %(where)s.") % {"where": where})
            return redirect(back)
    lead, why = test_lead(ticked, campaign_id=shown.campaign_id)
    context = {
        "template": shown,
        "form": form,
        "lead": lead,
        "why": why,
        "ticked": ticked,
        "job": job,
        "back": back,
    }
    return render(request, "mail/template_test_send.html", context)


def _job(request: HttpRequest, text: str) -> SendJob | None:
    return wizard_run(request, int(text)) if text.isascii() and text.isdigit() and len(text) < 18 else None

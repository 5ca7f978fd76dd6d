"""RES-1 「再送信」: the simple mail screen → 「送信内容確認」 → 「メール送信」 → done."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from mail.forms.single_mail import SingleMailForm
from mail.models import Delivery
from mail.models.delivery import DeliveryKind
from mail.models.template import Charset
from mail.sent_mail import decode_addresses
from mail.single_mail import (
    Draft,
    DraftRefused,
    NotResendable,
    content_of,
    draft_mail,
    draft_values,
    prefill,
    read_draft,
    refused_because,
    send_draft,
    warnings,
    write_draft,
)
from mail.templates import AttachmentRefused
from mail.views.delivery_views import get_delivery, html_part
from settings.permissions import both_modes, needs_edit, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.once import once


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def single_mail(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """The simple mail screen. Nothing is sent from here."""
    original = get_delivery(request, delivery_id)
    now = timezone.now()
    draft = read_draft(original, request.GET.get("draft", ""))
    try:
        values = draft_values(draft) if draft else prefill(original, now=now)
    except NotResendable as problem:
        messages.error(request, str(problem))
        return redirect("delivery", original.pk)
    attachments = (draft.content if draft else content_of(original)).get("attachments", [])
    form = SingleMailForm(
        request.POST or None,
        request.FILES or None,
        initial=values,
        attachments=attachments,
        sender=values["from_address"],
    )
    if request.method == "POST" and form.is_valid():
        try:
            written = write_draft(
                original,
                form.cleaned_data,
                kept=form.kept_numbers,
                files=form.new_files,
                attachments=attachments,
                now=now,
            )
            return redirect(_with_draft("single_mail_confirm", written))
        except DraftRefused as refused:
            for field, sentence in refused.problems:
                form.add_error(field or None, sentence)
        except AttachmentRefused as refused:
            form.add_error("files", str(refused))
    context = {
        "delivery": original,
        "form": form,
        "notes": warnings(original, str(values["to"])) if request.method == "GET" else [],
        "refusal": refused_because(original.lead, content_of(original)),
    }
    return render(request, "mail/single_mail.html", context, status=422 if form.errors else 200)


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def single_mail_confirm(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """「送信内容確認」; its button 「メール送信」 queues the mail."""
    original, draft = _draft(request, delivery_id)
    if draft is None:
        messages.error(request, _("This confirmation is too old. Check the mail again."))
        return redirect("single_mail", original.pk)
    if request.method == "POST":
        try:
            sent = send_draft(draft, user=request.user, now=timezone.now(), ip=client_ip(request))
        except DraftRefused as refused:
            messages.error(request, str(refused))
            return redirect("delivery", original.pk)
        return redirect("single_mail_done", sent.pk)
    try:
        mail = draft_mail(draft, now=timezone.now())
        notes = warnings(original, str(draft_values(draft)["to"]))
    except (NotResendable, ValueError) as problem:
        messages.error(request, str(problem))
        return redirect("delivery", original.pk)
    context: dict[str, Any] = {
        "delivery": original,
        "mail": decode_addresses(mail),
        "charset": Charset(draft.content["charset"]).label,
        "notes": notes,
        "attachments": [part["name"] for part in draft.content["attachments"]],
        "back": _with_draft("single_mail", draft),
        "html_url": _with_draft("single_mail_html", draft),
    }
    return render(request, "mail/single_mail_confirm.html", context)


@both_modes
@needs_edit
@require_GET
def single_mail_html(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """The HTML part of a draft, for the sandboxed frame."""
    _original, draft = _draft(request, delivery_id)
    if draft is None:
        raise Http404
    return html_part(draft_mail(draft, now=timezone.now()).html)


@both_modes
@needs_view
@require_GET
def single_mail_done(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """「送信完了」, with the way to the new mail and its result."""
    sent = get_delivery(request, delivery_id)
    if sent.kind != DeliveryKind.SINGLE:
        raise Http404
    return render(request, "mail/single_mail_done.html", {"delivery": sent})


def _draft(request: HttpRequest, delivery_id: int) -> tuple[Delivery, Draft | None]:
    original = get_delivery(request, delivery_id)
    return original, read_draft(original, request.GET.get("draft", ""))


def _with_draft(view: str, draft: Draft) -> str:
    return f"{reverse(view, args=[draft.original.pk])}?{urlencode({'draft': draft.token})}"

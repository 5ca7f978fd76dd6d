"""NAV-2 「メール設定」 in both modes. Rules: mail/mail_kinds.py, mail/automatic_settings.py.

In the all-campaign mode only privileged administrators change it, inside a campaign its own administrators too.
"""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mail import mail_kinds
from mail.automatic_settings import held_for, previews, send_test_of, template_from_standard
from mail.automatic_texts import LANGUAGES
from mail.forms.mail_settings import AutomaticMailForm
from mail.forms.templates import MailSettingsForm, TestSendForm
from mail.mail_kinds import MailKind, in_force, mail_kind, save_settings, settings_of
from mail.models import MailSettings
from mail.test_send import TestRefused, test_lead
from settings.permissions import both_modes, needs_edit, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.mode import campaign_of
from smp.lib.once import once


@both_modes
@needs_view
@require_GET
def mail_settings(request: HttpRequest) -> HttpResponse:
    campaign_id = campaign_of(request)
    kinds = mail_kinds.mail_kinds(campaign_id)
    automatic = [kind for kind in kinds if kind.automatic]
    held = in_force([kind.key for kind in automatic], [campaign_id])
    own = set(MailSettings.objects.filter(campaign=campaign_id).values_list("kind", flat=True))
    context = {
        "rows": [
            {"kind": kind, "settings": settings_of(kind.key, campaign_id)}
            for kind in kinds
            if not kind.automatic
        ],
        "automatic": [
            {"kind": kind, "held": held[kind.key, campaign_id], "own": kind.key in own} for kind in automatic
        ],
        "may_change": may_change(request),
        "staff_addresses": request.campaign.staff_addresses if campaign_id else "",
    }
    return render(request, "mail/mail_settings.html", context)


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def mail_settings_edit(request: HttpRequest, kind: str) -> HttpResponse:
    known, campaign_id = _kind(request, kind)
    stored = settings_of(kind, campaign_id)
    form: MailSettingsForm
    context: dict[str, Any] = {"kind": known}
    if known.automatic:
        held = held_for(known, campaign_id)
        form = AutomaticMailForm(request.POST or None, instance=stored, kind=known, held=held)
        lead, why = test_lead(campaign_id=campaign_id)
        context |= {
            "held": held,
            "previews": previews(
                held, lead, campaign_id=campaign_id, languages=_languages(known), now=timezone.now()
            ),
            "lead": lead,
            "why": why,
        }
    else:
        form = MailSettingsForm(request.POST or None, instance=stored, kind=known)
    if request.method == "POST" and form.is_valid():
        values = (
            form.values()
            if isinstance(form, AutomaticMailForm)
            else {name: form.cleaned_data[name] for name in form.fields}
        )
        save_settings(known, values, user=request.user, campaign_id=campaign_id, ip=client_ip(request))
        messages.success(request, _("The mail settings were saved."))
        return redirect("mail_settings")
    return render(
        request, "mail/mail_settings_edit.html", context | {"form": form}, status=422 if form.errors else 200
    )


@both_modes
@needs_edit
@require_POST
def mail_settings_switch(request: HttpRequest, kind: str) -> HttpResponse:
    """[ON] / [OFF]. Pressed twice it stays what the button said."""
    known, campaign_id = _kind(request, kind)
    wanted = request.POST.get("enabled")
    if not (known.automatic and known.switchable) or wanted not in {"on", "off"}:
        raise Http404
    save_settings(
        known, {"enabled": wanted == "on"}, user=request.user, campaign_id=campaign_id, ip=client_ip(request)
    )
    text = _("“%(mail)s” is ON now.") if wanted == "on" else _("“%(mail)s” is OFF now.")
    messages.success(request, text % {"mail": known.label})
    return redirect("mail_settings")


@both_modes
@needs_edit
@require_POST
@once
def mail_settings_template(request: HttpRequest, kind: str) -> HttpResponse:
    """Makes a template of the standard text, to be edited."""
    known, campaign_id = _kind(request, kind)
    if not known.automatic:
        raise Http404
    language = request.POST.get("language", "")
    template = template_from_standard(
        known,
        campaign=request.campaign if campaign_id else None,
        language=language if language in _languages(known) else LANGUAGES[0],
        user=request.user,
        now=timezone.now(),
        ip=client_ip(request),
    )
    messages.success(
        request, _("The standard text is a template now, and chosen for this mail. Edit it here.")
    )
    return redirect("template_edit", template.pk)


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def mail_settings_test(request: HttpRequest, kind: str) -> HttpResponse:
    known, campaign_id = _kind(request, kind)
    if not known.automatic:
        raise Http404
    languages = _languages(known)
    asked = (request.POST or request.GET).get("language", "")
    language = asked if asked in languages else languages[0]
    form = TestSendForm(request.POST or None, initial={"addresses": request.user.email})
    if request.method == "POST" and form.is_valid():
        try:
            sent = send_test_of(
                known,
                campaign_id=campaign_id,
                language=language,
                addresses=form.cleaned_data["addresses"],
                user=request.user,
                now=timezone.now(),
                ip=client_ip(request),
            )
        except TestRefused as refused:
            form.add_error(None, str(refused))
        else:
            where = ", ".join(delivery.address for delivery in sent)
            messages.success(request, _("The test mail is on its way to %(where)s.") % {"where": where})
            return redirect("mail_settings_edit", known.key)
    held = held_for(known, campaign_id)
    lead, why = test_lead(campaign_id=campaign_id)
    shown = previews(held, lead, campaign_id=campaign_id, languages=[language], now=timezone.now())
    context = {
        "kind": known, "form": form, "lead": lead, "why": why, "language": language, "preview": shown[0],
        "languages": [] if held.template else languages,
    }  # fmt: skip
    return render(request, "mail/mail_settings_test.html", context, status=422 if form.errors else 200)


def may_change(request: HttpRequest) -> bool:
    return bool(request.user.may_edit if campaign_of(request) else request.user.may_administer)


def _kind(request: HttpRequest, key: str) -> tuple[MailKind, int | None]:
    """The kind, of this mode, for somebody who may change it."""
    if not may_change(request):
        raise PermissionDenied(_("Your role does not allow this. Ask a privileged administrator."))
    known = mail_kind(key, campaign_of(request))
    if known is None:
        raise Http404
    return known, campaign_of(request)


def _languages(kind: MailKind) -> tuple[str, ...]:
    """Staff read Japanese."""
    return LANGUAGES[:1] if kind.staff else LANGUAGES

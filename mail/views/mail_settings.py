"""NAV-2 「メール設定」. Rules: mail/mail_kinds.py."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from mail import mail_kinds
from mail.forms.templates import MailSettingsForm
from mail.mail_kinds import mail_kind, save_settings, settings_of
from settings.permissions import needs_administer, needs_view
from smp.lib.client_ip import client_ip


@needs_view
@require_GET
def mail_settings(request: HttpRequest) -> HttpResponse:
    rows = [{"kind": kind, "settings": settings_of(kind.key)} for kind in mail_kinds.mail_kinds()]
    return render(request, "mail/mail_settings.html", {"rows": rows})


@needs_administer
@require_http_methods(["GET", "POST"])
def mail_settings_edit(request: HttpRequest, kind: str) -> HttpResponse:
    known = mail_kind(kind)
    if known is None:
        raise Http404
    form = MailSettingsForm(request.POST or None, instance=settings_of(kind), kind=known)
    if request.method == "POST" and form.is_valid():
        values = {name: form.cleaned_data[name] for name in form.fields}
        save_settings(known, values, user=request.user, ip=client_ip(request))
        messages.success(request, _("The mail settings were saved."))
        return redirect("mail_settings")
    return render(request, "mail/mail_settings_edit.html", {"form": form, "kind": known})

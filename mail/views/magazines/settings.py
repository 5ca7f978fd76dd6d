"""「基本設定」 of a magazine: sender and footer, leaving and coming back, thresholds (MAG-2, MAG-4, MAG-9)."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from mail.forms.magazines.magazine import MagazineSettingsForm, legal_gaps
from mail.links import empty_mail_address
from mail.magazines import magazines as domain
from mail.magazines.reader_list import over_thresholds_q, readers_of, would_stop
from mail.models import FailureGroup, Magazine
from mail.refused import Refused
from mail.views.magazines.inside import magazine_in_use
from settings.permissions import needs_edit
from smp.lib.client_ip import client_ip


@needs_edit
@require_http_methods(["GET", "POST"])
def magazine_settings(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_in_use(magazine_id)
    # A copy for the form, which writes into it what was typed.
    form = MagazineSettingsForm(
        request.POST if request.method == "POST" else None, instance=magazine_in_use(magazine_id)
    )
    asks: dict[str, Any] = {}
    status = 200
    if request.method == "POST" and form.is_valid():
        asks = _asks(magazine, form) if request.POST.get("confirmed") != "1" else {}
        if not asks:
            try:
                domain.save_magazine(
                    form.values(), magazine=magazine, user=request.user, now=timezone.now(), ip=client_ip(request),
                    seen_at=form.cleaned_data["seen_at"],
                )  # fmt: skip
            except ValidationError as problem:
                form.add_problems(problem)
            except Refused as refused:
                form.add_error(None, refused.message)
                status = 409
            else:
                messages.success(request, _("Saved. It holds for deliveries that start from now on."))
                return redirect("magazine_settings", magazine.pk)
    return render(
        request,
        "mail/magazines/magazine_settings.html",
        {
            "magazine": magazine, "form": form, "asks": asks,
            "gaps": legal_gaps(magazine.footer_text, magazine.footer_html, from_name=magazine.from_name),
            "empty_mail_address": empty_mail_address(magazine.pk),
            "over": readers_of(magazine).filter(over_thresholds_q(magazine)).count(),
        },
        status=status,
    )  # fmt: skip


def _asks(magazine: Magazine, form: MagazineSettingsForm) -> dict[str, Any]:
    """What has to be confirmed before it is stored: whom stricter thresholds stop, and a blacklist switched off."""
    asks: dict[str, Any] = {}
    stopped = would_stop(magazine, dict(form.stricter()))
    if stopped:
        asks["stopped"] = [
            {"label": FailureGroup(group).label, "limit": form.stricter()[group], "group": group, "readers": number}
            for group, number in stopped.items()
        ]  # fmt: skip
    if form.switches_blacklist_off:
        asks["blacklist"] = True
    return asks

"""「ブラックリスト」 of a magazine (MAG-9): how many, whether one address is on it, and taking one off.

Addresses are asked for by POST: they stand in no address line, log or history of a browser.
"""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from leads.address import normalise_email
from leads.models import Lead
from mail.forms.magazines.blacklist import CheckForm, ReleaseForm
from mail.magazines import blacklist as domain
from mail.models import BlacklistedAddress, Magazine, ReaderChange, ReaderState
from mail.refused import Refused
from mail.views.magazines.inside import magazine_in_use
from settings.permissions import needs_edit
from smp.lib.client_ip import client_ip

LEFT = (ReaderState.STOPPED.value, "")  # what a reader became who left, or was removed


@needs_edit
@require_http_methods(["GET", "POST"])
def blacklist(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """POST asks about an address and changes nothing."""
    magazine = magazine_in_use(magazine_id)
    form = CheckForm(request.POST if request.method == "POST" else None)
    answer = _answer(magazine, form.cleaned_data["address"]) if form.is_bound and form.is_valid() else None
    return _page(request, magazine, form, answer)


@needs_edit
@require_POST
def blacklist_release(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_in_use(magazine_id)
    form = ReleaseForm(request.POST)
    if not form.is_valid():
        if "address" in form.errors:
            return redirect("blacklist", magazine.pk)
        address = form.cleaned_data["address"]
        answer = _answer(magazine, address) | {"release": form}
        return _page(request, magazine, CheckForm(initial={"address": address}), answer)
    address = form.cleaned_data["address"]
    try:
        released = domain.release(
            magazine, address, reason=form.cleaned_data["reason"], user=request.user, now=timezone.now(),
            ip=client_ip(request),
        )  # fmt: skip
    except Refused as refused:
        messages.error(request, refused.message)
        return redirect("blacklist", magazine.pk)
    if released:
        messages.success(request, _("%(address)s was taken off the blacklist. It can be registered again.") % {"address": address})  # fmt: skip
    else:
        messages.info(request, _("%(address)s is not on the blacklist.") % {"address": address})
    return redirect("blacklist", magazine.pk)


def _page(
    request: HttpRequest, magazine: Magazine, form: CheckForm, answer: dict[str, Any] | None
) -> HttpResponse:
    own = BlacklistedAddress.objects.filter(magazine=magazine)
    context = {
        "magazine": magazine, "form": form, "answer": answer,
        "own": own.filter(own_act=True).count(), "by_staff": own.filter(own_act=False).count(),
    }  # fmt: skip
    return render(request, "mail/magazines/blacklist.html", context)


def _answer(magazine: Magazine, address: str) -> dict[str, Any]:
    """Whether it is listed, since when and by whose act, with the line of the history that belongs to it."""
    norm = normalise_email(address)
    entry = domain.entry(magazine, norm)
    leads = Lead.objects.filter(email_norm=norm).values("pk") if norm else Lead.objects.none().values("pk")
    changes = ReaderChange.objects.filter(
        magazine=magazine, lead__in=leads, what__in=(ReaderChange.What.STATE, ReaderChange.What.REMOVED),
        after__in=LEFT,
    )  # fmt: skip
    return {
        "address": address,
        "entry": entry,
        "change": changes.select_related("user", "lead").first() if entry else None,
        "reader": next(iter(magazine.readers.filter(lead__in=leads)[:1]), None),
        "release": ReleaseForm(initial={"address": address}) if entry and not entry.own_act else None,
    }

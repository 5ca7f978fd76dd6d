"""「一括削除」: many readers stopped, or taken off the list, at once (MAG-2). First the check, then the deed."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from mail.forms.magazines.bulk import MOST, REMOVE, ActForm, AddressesForm
from mail.magazines import readers as domain
from mail.magazines.bulk import SHOWN, Checked, check_addresses, check_readers
from mail.magazines.items import items_of
from mail.models import Magazine, ReaderWay
from mail.views.magazines.inside import magazine_in_use
from mail.views.magazines.readers import filtered, found_by
from settings.permissions import needs_edit
from smp.lib.client_ip import client_ip
from smp.lib.once import once


@needs_edit
@require_GET
def readers_bulk(request: HttpRequest, magazine_id: int) -> HttpResponse:
    context = {"magazine": magazine_in_use(magazine_id), "form": AddressesForm()}
    return render(request, "mail/magazines/readers_bulk.html", context)


@needs_edit
@require_POST
def readers_bulk_check(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """The dry run: of pasted addresses, of ticked readers, or of all a filter finds. Nothing is changed."""
    magazine = magazine_in_use(magazine_id)
    if "all" in request.POST:
        return _check_filtered(request, magazine)
    if "reader" in request.POST:
        ids = [
            int(one)
            for one in request.POST.getlist("reader")
            if one.isascii() and one.isdigit() and len(one) < 19
        ]
        return _show(request, magazine, check_readers(magazine, ids[:MOST]))  # fmt: skip
    form = AddressesForm(request.POST)
    if not form.is_valid():
        return render(request, "mail/magazines/readers_bulk.html", {"magazine": magazine, "form": form})
    return _show(request, magazine, check_addresses(magazine, form.cleaned_data["addresses"]))


def _check_filtered(request: HttpRequest, magazine: Magazine) -> HttpResponse:
    narrowed = QueryDict(request.POST.get("all", ""))
    ids = list(
        found_by(filtered(narrowed, magazine, items_of(magazine))).order_by().values_list("pk", flat=True)[: MOST + 1]
    )  # fmt: skip
    if len(ids) > MOST:
        messages.error(
            request,
            _("At most %(most)s readers at a time. Narrow the list down further.") % {"most": f"{MOST:,}"},
        )
        return redirect(f"{reverse('readers', args=[magazine.pk])}?{narrowed.urlencode()}")
    return _show(request, magazine, check_readers(magazine, ids))


def _show(
    request: HttpRequest, magazine: Magazine, checked: Checked, form: ActForm | None = None
) -> HttpResponse:
    form = form or ActForm(
        initial={"ids": ",".join(map(str, checked.ids)), "act": ActForm.base_fields["act"].initial}
    )
    context: dict[str, Any] = {
        "magazine": magazine, "checked": checked, "form": form, "shown": SHOWN,
        "groups": [
            ("found", _("Found"), checked.found),
            ("stopped", _("Stopped already"), checked.stopped),
        ],
        "missing": [
            ("unknown", _("No reader of this magazine"), checked.unknown),
            ("malformed", _("Not an e-mail address"), checked.malformed),
        ],
    }  # fmt: skip
    return render(request, "mail/magazines/readers_bulk_check.html", context)


@needs_edit
@require_POST
@once
def readers_bulk_do(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_in_use(magazine_id)
    form = ActForm(request.POST)
    if not form.is_valid():
        if "ids" in form.errors:
            messages.error(request, _("Nobody was chosen. Check the readers again."))
            return redirect("readers_bulk", magazine.pk)
        return _show(request, magazine, check_readers(magazine, form.cleaned_data["ids"]), form)
    # Only readers of this magazine; who was removed meanwhile is passed over.
    ids = check_readers(magazine, form.cleaned_data["ids"]).ids
    act = form.cleaned_data["act"]
    common: dict[str, Any] = {"way": ReaderWay.BULK, "user": request.user, "now": timezone.now(), "ip": client_ip(request)}  # fmt: skip
    if act == REMOVE:
        number = domain.remove(magazine, ids, **common)
        done = ngettext(
            "%(number)s reader was removed from the list.", "%(number)s readers were removed from the list.", number
        )  # fmt: skip
    else:
        number = domain.stop(magazine, ids, **common)
        done = ngettext("%(number)s reader was stopped.", "%(number)s readers were stopped.", number)
    messages.success(request, done % {"number": f"{number:,}"})
    return redirect("readers", magazine.pk)

"""One reader: the page with everything that explains their state, 「読者情報の編集」, and taking them off the list."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from mail.forms.magazines.reader import EditReaderForm
from mail.magazines import readers as domain
from mail.magazines.items import clean_values, items_of, value_rows
from mail.magazines.overview import memberships
from mail.magazines.reader_history import failures_of, history_of, mails_of, next_start_stops
from mail.models import Magazine, Reader, ReaderState, ReaderWay
from mail.refused import Refused
from mail.views.magazines.inside import magazine_in_use, magazine_of, reader_of
from settings.permissions import needs_edit, needs_view
from smp.lib.client_ip import client_ip


@needs_view
@require_GET
def reader(request: HttpRequest, magazine_id: int, reader_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    shown = reader_of(magazine, reader_id)
    items = items_of(magazine)
    mails, more = mails_of(magazine, shown.lead)
    return render(
        request,
        "mail/magazines/reader.html",
        {
            "magazine": magazine, "reader": shown, "lead": shown.lead,
            "values": value_rows(shown, items, request.LANGUAGE_CODE),
            "failures": failures_of(magazine, shown), "stops": next_start_stops(magazine, shown),
            "history": history_of(magazine, shown.lead, items), "mails": mails, "more_mails": more,
            "others": [one for one in memberships(shown.lead) if one.magazine_id != magazine.pk],
        },
    )  # fmt: skip


@needs_view
@require_GET
def reader_by_id(request: HttpRequest, reader_id: int) -> HttpResponse:
    """From where only the reader is known (操作履歴)."""
    found = get_object_or_404(Reader, pk=reader_id)
    return redirect("reader", found.magazine_id, found.pk)


@needs_edit
@require_http_methods(["GET", "POST"])
def reader_edit(request: HttpRequest, magazine_id: int, reader_id: int) -> HttpResponse:
    """MAG-6: 「不達情報をリセットする」, without which the next start stops the reader again."""
    magazine = magazine_in_use(magazine_id)
    edited = reader_of(magazine, reader_id)
    form = EditReaderForm(
        request.POST if request.method == "POST" else None, reader=edited, items=items_of(magazine)
    )
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            values = clean_values(magazine, form.item_values(), items=form.items)
            changed = domain.change_reader(
                edited, form.emptied() | values, state=form.cleaned_data["state"],
                reset_failures=form.cleaned_data["reset_failures"], user=request.user, now=timezone.now(),
                ip=client_ip(request), seen_at=form.cleaned_data["seen_at"],
            )  # fmt: skip
        except ValidationError as problem:
            form.add_item_problems(problem)
        except Refused as refused:
            form.add_error("state" if refused.code == "blacklisted" else None, refused.message)
            status = 409
        else:
            _tell(request, magazine, changed)
            return redirect("reader", magazine.pk, changed.pk)
    return render(
        request,
        "mail/magazines/reader_edit.html",
        {
            "magazine": magazine, "reader": edited, "lead": edited.lead, "form": form,
            "failures": [one for one in failures_of(magazine, edited) if one.count],
            "stops": next_start_stops(magazine, edited),
        },
        status=status,
    )  # fmt: skip


def _tell(request: HttpRequest, magazine: Magazine, changed: Reader) -> None:
    messages.success(request, _("The reader was saved."))
    stops = next_start_stops(magazine, changed)
    if changed.state == ReaderState.DELIVERABLE and stops:
        messages.warning(
            request,
            _(
                "The failures were kept (%(causes)s): the next delivery that starts stops this reader again. To keep the "
                "reader deliverable, edit again and tick “Reset the failures”."
            )
            % {"causes": " · ".join(f"{one.group.label} {one.count}" for one in stops)},
        )


@needs_edit
@require_http_methods(["GET", "POST"])
def reader_remove(request: HttpRequest, magazine_id: int, reader_id: int) -> HttpResponse:
    magazine = magazine_in_use(magazine_id)
    doomed = reader_of(magazine, reader_id)
    if request.method == "POST" and request.POST.get("confirmed") == "1":
        domain.remove(
            magazine, [doomed.pk], way=ReaderWay.ADMIN, user=request.user, now=timezone.now(),
            ip=client_ip(request),
        )  # fmt: skip
        messages.success(request, _("%(reader)s was removed from the list.") % {"reader": doomed.lead})
        return redirect("readers", magazine.pk)
    context: dict[str, Any] = {"magazine": magazine, "reader": doomed, "lead": doomed.lead}
    return render(request, "mail/magazines/reader_remove.html", context)

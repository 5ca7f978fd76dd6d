"""自由項目 of a magazine: what is known of its readers beyond the lead."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from mail.forms.magazines.items import ReaderItemForm
from mail.magazines.item_uses import merge_names, uses_of
from mail.magazines.items import items_of, move_item, restore_item, retire_item, save_item
from mail.models import Magazine, ReaderItem
from mail.views.magazines.inside import magazine_in_use, magazine_of
from settings.permissions import needs_edit, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.once import once


def _item(magazine_id: int, item_id: int) -> tuple[Magazine, ReaderItem]:
    """404 for an item of another magazine, and in one that was archived."""
    magazine = magazine_in_use(magazine_id)
    return magazine, get_object_or_404(ReaderItem, pk=item_id, magazine=magazine)


@needs_view
def reader_items(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    items = items_of(magazine, retired=True)
    live = [item for item in items if item.retired_at is None]
    context = {
        "magazine": magazine,
        "rows": [
            {
                "item": item,
                "name": merge_names(item)[0],
                "first": item is live[0],
                "last": item is live[-1],
            }
            for item in live
        ],
        "retired": [item for item in items if item.retired_at is not None],
    }
    return render(request, "mail/magazines/items.html", context)


@needs_edit
@once
def reader_item_new(request: HttpRequest, magazine_id: int) -> HttpResponse:
    return _edit(request, magazine_in_use(magazine_id), None)


@needs_edit
@once
def reader_item_edit(request: HttpRequest, magazine_id: int, item_id: int) -> HttpResponse:
    magazine, item = _item(magazine_id, item_id)
    return _edit(request, magazine, item)


def _edit(request: HttpRequest, magazine: Magazine, item: ReaderItem | None) -> HttpResponse:
    form = ReaderItemForm(request.POST or None, instance=item or ReaderItem())
    if request.method == "POST" and form.is_valid():
        try:
            # By id: the form has written into the object it was given.
            before = None if item is None else ReaderItem.objects.get(pk=item.pk)
            saved = save_item(
                magazine, item=before, **form.item_values(), user=request.user, now=timezone.now(), ip=client_ip(request)
            )  # fmt: skip
        except ValidationError as problem:
            form.add_error(None, problem)
        else:
            messages.success(request, _("The item %(label)s was saved.") % {"label": saved.label})
            return redirect("reader_items", magazine.pk)
    label = ReaderItem.objects.values_list("label", flat=True).get(pk=item.pk) if item else ""
    context = {"magazine": magazine, "form": form, "item": item, "label": label}
    status = 422 if form.errors else 200
    return render(request, "mail/magazines/item_edit.html", context, status=status)


@needs_edit
@require_POST
def reader_item_move(request: HttpRequest, magazine_id: int, item_id: int) -> HttpResponse:
    _magazine, item = _item(magazine_id, item_id)
    up = request.POST.get("direction") == "up"
    move_item(item, up=up, user=request.user, now=timezone.now(), ip=client_ip(request))
    return redirect("reader_items", magazine_id)


@needs_edit
def reader_item_retire(request: HttpRequest, magazine_id: int, item_id: int) -> HttpResponse:
    """Asks first: it says which stories count on the item, and that readers keep their values."""
    magazine, item = _item(magazine_id, item_id)
    if request.method == "POST" and request.POST.get("confirmed") == "1":
        try:
            retire_item(item, user=request.user, now=timezone.now(), ip=client_ip(request))
        except ValidationError as problem:
            messages.error(request, " ".join(problem.messages))
        else:
            messages.success(request, _("The item %(label)s is used no more.") % {"label": item.label})
        return redirect("reader_items", magazine.pk)
    return render(
        request,
        "mail/magazines/item_retire.html",
        {"magazine": magazine, "item": item, "stories": uses_of(item)},
    )


@needs_edit
@require_POST
def reader_item_restore(request: HttpRequest, magazine_id: int, item_id: int) -> HttpResponse:
    _magazine, item = _item(magazine_id, item_id)
    try:
        restore_item(item, user=request.user, now=timezone.now(), ip=client_ip(request))
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
    else:
        messages.success(request, _("The item %(label)s is used again.") % {"label": item.label})
    return redirect("reader_items", magazine_id)

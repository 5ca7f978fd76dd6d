"""「読者」 of a magazine: the list, its file, and registering one by hand (MAG-1, OPT-10)."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leads.address import normalise_email
from leads.lead_list import PAGE_SIZES
from leads.models import Lead
from mail.forms.magazines.reader import NewReaderForm
from mail.forms.magazines.reader_filter import ReaderFilter
from mail.magazines import readers as domain
from mail.magazines.blacklist import is_blacklisted
from mail.magazines.items import clean_values, items_of
from mail.magazines.reader_list import (
    DEFAULT_SORT,
    counts_by_state,
    export_header,
    export_rows,
    find_page,
    readers_of,
)
from mail.models import Magazine, Reader, ReaderItem, ReaderState, ReaderWay
from mail.refused import Refused
from mail.views.magazines.inside import magazine_in_use, magazine_of
from settings import audit
from settings.permissions import needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.once import once

MAIN = ("q", "state")


def filtered(data: Any, magazine: Magazine, items: list[ReaderItem]) -> ReaderFilter:
    return ReaderFilter(data, queryset=readers_of(magazine), magazine=magazine, items=items)


def found_by(reader_filter: ReaderFilter) -> Any:
    """A condition that cannot be read finds nobody: never more than was asked for."""
    return reader_filter.qs if reader_filter.is_valid() else Reader.objects.none()


@needs_view
@require_GET
def readers(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    reader_filter = filtered(request.GET, magazine, items_of(magazine))
    found = found_by(reader_filter)
    counts = counts_by_state([magazine.pk])[magazine.pk]
    total = sum(counts.values())
    only = reader_filter.only_state if reader_filter.is_valid() else None
    known = None if only is None else counts[only] if only else total
    size, usual = request.GET.get("size", ""), rows_per_page()
    sizes = sorted({usual, *PAGE_SIZES})
    page = find_page(
        found,
        sort=request.GET.get("sort") or DEFAULT_SORT,
        page=request.GET.get("page", "1"),
        size=int(size) if size in map(str, sizes) else usual,
        known=known,
        exact=request.GET.get("count") == "exact",
    )
    fields = reader_filter.form
    details = [
        fields[name]
        for name in fields.fields
        if name not in MAIN and not fields.fields[name].widget.is_hidden
    ]
    return render(
        request,
        "mail/magazines/readers.html",
        {
            "magazine": magazine, "page": page, "page_obj": page.page_obj, "sort": page.sort, "sizes": sizes,
            "filter": reader_filter, "main_fields": [fields[name] for name in MAIN], "details": details,
            "details_used": any(request.GET.get(field.html_name) for field in details),
            "narrowed": any(request.GET.get(name) for name in fields.fields),
            "states": [(state, state.label, counts[state]) for state in ReaderState], "total": total,
            "over": request.GET.get("over"),
        },
    )  # fmt: skip


@needs_view
@require_POST
def readers_export(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """CSV-3: what the list shows, as a file. A POST, because it is written to the audit log (SYS-2)."""
    magazine = magazine_of(magazine_id)
    items = items_of(magazine)
    reader_filter = filtered(request.GET, magazine, items)
    if not reader_filter.is_valid():
        messages.error(request, _("A search condition cannot be read; nothing was exported."))
        return redirect(f"{reverse('readers', args=[magazine.pk])}?{request.GET.urlencode()}")
    found = found_by(reader_filter)
    narrowed = {
        name: value for name, value in request.GET.items() if value and name in reader_filter.form.fields
    }
    audit.record(
        "reader.export", user=request.user, target=magazine, detail={"filter": narrowed, "readers": found.count()},
        ip=client_ip(request),
    )  # fmt: skip
    file_name = f"readers-{magazine.pk}-{timezone.localtime():%Y%m%d-%H%M}.csv"
    return csv_response(file_name, export_header(items), export_rows(found, items))


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def reader_new(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """One reader by hand: the lead with that address, or a new one."""
    magazine = magazine_in_use(magazine_id)
    form = NewReaderForm(request.POST if request.method == "POST" else None, items=items_of(magazine))
    if request.method == "POST" and form.is_valid():
        registered = _register(request, magazine, form)
        if registered is not None:
            _tell(request, registered)
            return redirect("reader", magazine.pk, registered.reader.pk)
    return render(
        request,
        "mail/magazines/reader_new.html",
        {"magazine": magazine, "form": form, "suggestion": form.suggestion},
    )


def _register(request: HttpRequest, magazine: Magazine, form: NewReaderForm) -> Any:
    """What mail/magazines/readers.py says, or None: then the form says what is wrong."""
    now = timezone.now()
    try:
        values = clean_values(magazine, form.item_values(), items=form.items)
    except ValidationError as problem:
        form.add_item_problems(problem)
        return None
    by: dict[str, Any] = {
        "way": ReaderWay.ADMIN, "now": now, "evidence": form.cleaned_data["evidence"],
        "source": form.cleaned_data["source"], "user": request.user, "ip": client_ip(request),
    }  # fmt: skip
    email = form.cleaned_data["email"]
    try:
        with transaction.atomic():
            if magazine.blacklist and is_blacklisted(magazine, normalise_email(email)):
                # Nobody becomes a lead by a refusal; the refusal of a known one stands in their history.
                lead = (
                    Lead.objects.existing().filter(email_norm=normalise_email(email)).order_by("-pk").first()
                )
            else:
                lead = domain.lead_for(magazine, email, form.lead_values(), **by)
            registered = domain.register(magazine, lead, values=values, **by) if lead else None
    except (ValidationError, Refused) as problem:
        form.add_error(None, problem.messages if isinstance(problem, ValidationError) else problem.message)
        return None
    if registered is None or registered.outcome == domain.Outcome.REFUSED:
        form.blacklisted = True
        return None
    return registered


def _tell(request: HttpRequest, registered: Any) -> None:
    if registered.outcome == domain.Outcome.ALREADY:
        messages.info(request, _("This person is a reader of this magazine already."))
    elif registered.outcome == domain.Outcome.RETURNED:
        messages.warning(request, _("This person was stopped as a reader and is deliverable again."))
    else:
        messages.success(request, _("The reader was registered."))

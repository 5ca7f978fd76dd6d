"""「クリックカウントURL一覧」: the URLs that mails of this mode count, with their names (TRK-1, TRK-6)."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mail.click_count import archive_counted_url, restore_counted_url, save_counted_url
from mail.counted_url_list import job_numbers, listed_urls
from mail.forms.counted_urls import CountedUrlFilterForm, CountedUrlForm
from mail.models.counting import CountedUrl
from mail.modes import usable_in
from settings import audit
from settings.permissions import both_modes, needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of
from smp.lib.once import once

SORTS = {"name", "created_at"}


def _filtered(request: HttpRequest) -> tuple[CountedUrlFilterForm, QuerySet[CountedUrl]]:
    form = CountedUrlFilterForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    found = listed_urls(campaign_of(request), **wanted)
    sort = request.GET.get("sort", "")
    return form, found.order_by(sort, "-pk") if sort.removeprefix("-") in SORTS else found.order_by("-pk")


@both_modes
@needs_view
@require_GET
def counted_urls(request: HttpRequest) -> HttpResponse:
    form, found = _filtered(request)
    page = Paginator(found, rows_per_page()).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    numbers = job_numbers(rows)
    return render(
        request,
        "mail/counted_urls.html",
        {"form": form, "page_obj": page, "rows": [(one, numbers.get(one.pk, 0)) for one in rows]},
    )


@both_modes
@needs_view
@require_GET
def counted_urls_export(request: HttpRequest) -> StreamingHttpResponse:
    """The list as filtered, as CSV (CSV-3)."""
    _form, found = _filtered(request)
    header = [
        _("ID"), _("URL name"), _("Target URL"), _("Memo"), _("Used by mailings"), _("Registered at"), _("Registered by"),
    ]  # fmt: skip
    audit.record(
        "counted_url.export",
        user=request.user,
        detail={"filter": dict(request.GET.lists())},
        ip=client_ip(request),
        campaign_id=campaign_of(request),
    )

    def lines() -> Iterator[list[Any]]:
        paginator = Paginator(found, 500)
        for number in paginator.page_range:
            rows = list(paginator.page(number).object_list)
            numbers = job_numbers(rows)
            for one in rows:
                yield [
                    one.pk, one.name, one.url, one.memo, numbers.get(one.pk, 0), one.created_at, one.created_by,
                ]  # fmt: skip

    return csv_response("counted-urls.csv", header, lines())


def _own(request: HttpRequest, url_id: int) -> CountedUrl:
    """One of the mode's own; 404 for those of another one (APP-1)."""
    return get_object_or_404(usable_in(campaign_of(request), CountedUrl.objects.all()), pk=url_id)


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def counted_url_new(request: HttpRequest) -> HttpResponse:
    """`?from=ID`, of a URL whose address changed, fills the form in; a wrong id is just not filled in."""
    initial: dict[str, str] = {}
    text = request.GET.get("from", "")
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    if former := usable_in(campaign_of(request), CountedUrl.objects.filter(pk=wanted)).first():
        initial = {"url": former.url, "name": former.name, "memo": former.memo}
    return _edit(request, None, CountedUrlForm(request.POST or None, initial=initial))


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
@once
def counted_url_edit(request: HttpRequest, url_id: int) -> HttpResponse:
    stored = _own(request, url_id)
    return _edit(request, stored, CountedUrlForm(request.POST or None, stored=stored))


def _edit(request: HttpRequest, stored: CountedUrl | None, form: CountedUrlForm) -> HttpResponse:
    taken = None
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        taken = _same_url(request, values["url"]) if stored is None else None
        if taken:
            form.add_error("url", _("This URL is registered already."))
        else:
            try:
                save_counted_url(
                    stored,
                    campaign_id=campaign_of(request),
                    url=values["url"],
                    name=values["name"],
                    memo=values["memo"],
                    user=request.user,
                    ip=client_ip(request),
                )
            except ValidationError as invalid:
                form.add_error("url", invalid)  # name and memo are checked by the form
            else:
                messages.success(request, _("The URL was saved."))
                return redirect("counted_urls")
    return render(
        request,
        "mail/counted_url.html",
        {
            "form": form,
            "stored": stored,
            "taken": taken,
            "jobs": job_numbers([stored]).get(stored.pk, 0) if stored else 0,
        },
    )


def _same_url(request: HttpRequest, url: str) -> CountedUrl | None:
    return usable_in(campaign_of(request), CountedUrl.objects.filter(url=url)).first()


@both_modes
@needs_edit
@require_POST
def counted_url_archive(request: HttpRequest, url_id: int) -> HttpResponse:
    stored = _own(request, url_id)
    archive_counted_url(stored, user=request.user, now=timezone.now(), ip=client_ip(request))
    messages.success(request, _("The URL was archived. Links in mails already sent keep working."))
    return redirect("counted_urls")


@both_modes
@needs_edit
@require_POST
def counted_url_restore(request: HttpRequest, url_id: int) -> HttpResponse:
    stored = _own(request, url_id)
    restore_counted_url(stored, user=request.user, ip=client_ip(request))
    messages.success(request, _("The URL is back in the list."))
    return redirect("counted_urls")

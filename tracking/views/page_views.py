"""リード(申込者) › アクセス履歴."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mail.url_patterns import host_of
from settings import audit
from settings.permissions import needs_view
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from tracking.forms.page_views import PageViewFilterForm
from tracking.models import TrackedSite
from tracking.sites import leads_to_tracked_site
from tracking.view_list import COUNT_LIMIT, view_page, viewed_lately, views_matching, with_leads


@needs_view
@require_safe
def page_views(request: HttpRequest) -> HttpResponse:
    form = PageViewFilterForm(request.GET)
    context: dict[str, Any] = {"form": form, "page": None}
    if form.is_valid():
        context["page"] = page = view_page(form.cleaned_data, before=form.cleaned_data["before"])
        context["no_site_yet"] = not page.rows and not TrackedSite.objects.exists()
    return render(request, "tracking/page_views.html", context, status=200 if form.is_valid() else 422)


@needs_view
@require_safe
def views_of_pattern(request: HttpRequest) -> HttpResponse:
    """For the page of a step mail's origin (htmx): whether the script is there at all, and how often the page is viewed."""
    pattern = request.GET.get("url_pattern", "")
    context: dict[str, Any] = {"pattern": pattern}
    try:
        context["tracked"] = leads_to_tracked_site(host_of(pattern))
        context["count"] = viewed_lately(pattern, now=timezone.now())
    except ValidationError:  # said beside the field
        context = {}
    return render(request, "tracking/views_of_pattern.html", context | {"limit": COUNT_LIMIT})


@needs_view
@require_POST
def export_page_views(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The list as filtered (CSV-3); audited."""
    form = PageViewFilterForm(request.GET)
    if not form.is_valid():
        return render(request, "tracking/page_views.html", {"form": form, "page": None}, status=422)
    audit.record(
        "page_views.export",
        user=request.user,
        detail={"filter": request.GET.urlencode()},
        ip=client_ip(request),
    )
    header = [
        _("Time"), "URL", _("Page title"), _("Site"), _("Lead ID"), _("Full name"), _("E-mail address"),
        _("Matched afterwards"), _("Browser (ID)"), _("Referrer"), _("Machine"),
    ]  # fmt: skip

    def lines() -> Iterator[list[Any]]:
        found = views_matching(form.cleaned_data).iterator(chunk_size=1000)
        while views := list(islice(found, 1000)):
            for row in with_leads(views):
                view, lead = row.view, row.lead
                yield [
                    view.at, view.url, view.title, view.site.name, view.lead_id, lead.full_name if lead else "",
                    lead.email if lead else "", view.linked_at, view.visitor_id, view.referrer, row.machine,
                ]  # fmt: skip

    return csv_response("page-views.csv", header, lines())

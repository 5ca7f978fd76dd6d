"""複合検索 and 検索条件一覧: doors to leads/search and leads/searches.py."""

import json
from hashlib import sha256
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from leads.export import export_header, export_rows
from leads.models import LeadColumn, SavedSearch
from leads.search import describe_condition, describe_conditions, leads_matching, validate_condition
from leads.search.editor import EMPTY_BLOCK, editor_for, raw_condition, to_search
from leads.searches import (
    copy_search,
    delete_search,
    may_change,
    obstacles_to_deleting,
    save_search,
    uses_of,
    visible_searches,
)
from settings import audit
from settings.permissions import both_modes, needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of
from smp.lib.once import once

LONGEST_URL = 3000  # gunicorn refuses request lines over 4094 bytes
KEPT_IN_SESSION = 20


# ---- where an unsaved condition stands: in the URL, so that it can be shared; a long one in the session


def _parameters(request: HttpRequest, condition: dict, search: SavedSearch | None) -> str:
    """The query string under which this condition can be opened again."""
    pairs = {"search": str(search.pk)} if search else {}
    if search and validate_condition(condition, campaign_id=campaign_of(request)) == search.condition:
        return urlencode({**pairs, "run": "1"})
    text = json.dumps(condition, ensure_ascii=False, separators=(",", ":"))
    query = urlencode({**pairs, "where": text})
    if len(query) <= LONGEST_URL:
        return query
    key = sha256(f"{campaign_of(request)} {text}".encode()).hexdigest()[:16]
    kept = {name: value for name, value in request.session.get("searches", {}).items() if name != key}
    request.session["searches"] = {**dict(list(kept.items())[-KEPT_IN_SESSION + 1 :]), key: condition}
    return urlencode({**pairs, "kept": key})


def _given(request: HttpRequest) -> tuple[object, bool, SavedSearch | None]:
    """(condition, whether to run it, the saved search it belongs to) of a GET or POST."""
    search = None
    if wanted := request.GET.get("search") or request.POST.get("search"):
        ids = [int(wanted)] if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19 else []
        search = get_object_or_404(
            visible_searches(request.user, campaign_of(request)), pk=ids[0] if ids else 0
        )
    if "where" in request.GET:
        try:
            return json.loads(request.GET["where"]), True, search
        except (ValueError, RecursionError):
            return {"broken": True}, True, search
    if "kept" in request.GET:
        kept = request.session.get("searches", {}).get(request.GET["kept"])
        if kept is None:
            messages.warning(
                request, _("This search is no longer kept. Enter it again, or open a saved one.")
            )
        return kept or {"match": "all", "blocks": [EMPTY_BLOCK]}, kept is not None, search
    if search:
        return search.condition, "run" in request.GET, search
    return {"match": "all", "blocks": [EMPTY_BLOCK]}, False, None


@both_modes
@needs_view
@once
def compound_search(request: HttpRequest) -> HttpResponse:
    """複合検索. POST carries the form (add, remove, count, search, save); nothing but the save buttons changes data."""
    if request.method == "POST":
        return _posted(request)
    condition, run, search = _given(request)
    error, context = None, {}
    if run:
        try:
            context = _results(request, validate_condition(condition, campaign_id=campaign_of(request)))
        except ValidationError as problem:
            error = problem
    return _page(request, condition, search, error, **context)


def _results(request: HttpRequest, condition: dict) -> dict:
    campaign_id = campaign_of(request)
    leads = leads_matching(condition, now=timezone.now(), campaign_id=campaign_id).order_by("-id")
    page = Paginator(leads, rows_per_page()).get_page(request.GET.get("page"))
    return {
        "page_obj": page,
        "said": describe_condition(condition, inside=campaign_id),
        "export_query": request.GET.urlencode(),
    }


def _page(
    request: HttpRequest,
    condition: object,
    search: SavedSearch | None,
    error: ValidationError | None = None,
    **more,
) -> HttpResponse:
    template = "leads/compound_search.html"
    if request.htmx and request.method == "POST":
        template = "leads/compound_search_form.html"
    context = {
        "editor": editor_for(condition, error, campaign_id=campaign_of(request)),
        "search": search,
        "may_change": search is not None and may_change(search, request.user),
        "name": request.POST.get("name", search.name if search else ""),
        **more,
    }
    return render(request, template, context, status=422 if error and not request.htmx else 200)


def _posted(request: HttpRequest) -> HttpResponse:
    action = request.POST.get("action", "refresh")
    campaign_id = campaign_of(request)
    search = _given(request)[2]
    raw = raw_condition(request.POST, campaign_id=campaign_id)
    if action == "add":
        raw["blocks"].append(dict(EMPTY_BLOCK))
        return _page(request, raw, search)
    if action.startswith("remove-"):
        position = action.removeprefix("remove-")
        if position.isdecimal() and int(position) < len(raw["blocks"]):
            del raw["blocks"][int(position)]
        return _page(request, raw, search)
    if action not in {"count", "search", "save", "save_shared", "update"}:
        return _page(request, raw, search)
    try:
        condition = validate_condition(to_search(raw), campaign_id=campaign_id)
        if action == "count":
            count = leads_matching(condition, now=timezone.now(), campaign_id=campaign_id).count()
            said = describe_condition(condition, inside=campaign_id)
            return _page(request, raw, search, counted=count, counted_said=said)
        if action == "search":
            return redirect(f"{reverse('compound_search')}?{_parameters(request, condition, search)}")
        return _save(request, condition, search, action)
    except ValidationError as error:
        if hasattr(error, "error_dict"):
            return _page(request, raw, search, name_errors=error.message_dict.get("name", []))
        return _page(request, raw, search, error)


def _save(request: HttpRequest, condition: dict, search: SavedSearch | None, action: str) -> HttpResponse:
    if not request.user.may_edit:
        raise PermissionDenied(_("Your role does not allow this. Ask a privileged administrator."))
    changed = None
    shared = action == "save_shared"
    if action == "update":
        if search is None or not may_change(search, request.user):
            raise PermissionDenied(
                _(
                    "Only its owner or a privileged administrator can change this search. Save it under another name."
                )
            )
        changed, shared = search, search.shared
    saved = save_search(
        request.POST.get("name", ""),
        condition,
        shared=shared,
        user=request.user,
        campaign_id=campaign_of(request),
        search=changed,
        ip=client_ip(request),
    )
    messages.success(request, _("The search “%(name)s” was saved.") % {"name": saved.name})
    return redirect(f"{reverse('compound_search')}?search={saved.pk}&run=1")


@both_modes
@needs_view
@require_POST
def compound_search_export(request: HttpRequest) -> HttpResponse:
    """CSV of every lead that matches. A POST, because it is written to the audit log (SYS-2)."""
    campaign_id = campaign_of(request)
    condition, _run, _search = _given(request)
    try:
        clean = validate_condition(condition, campaign_id=campaign_id)
    except ValidationError as error:
        return _page(request, condition, None, error)
    columns = list(LeadColumn.objects.all())
    audit.record(
        "lead.export",
        user=request.user,
        detail={"condition": clean},
        ip=client_ip(request),
        campaign_id=campaign_id,
    )
    name = f"leads-{timezone.localtime():%Y%m%d-%H%M}.csv"
    found = leads_matching(clean, now=timezone.now(), campaign_id=campaign_id)
    return csv_response(name, export_header(columns, campaign_id), export_rows(found, columns, campaign_id))


@both_modes
@needs_view
def searches(request: HttpRequest) -> HttpResponse:
    """検索条件一覧: one's own and the shared ones."""
    wanted = visible_searches(request.user, campaign_of(request)).select_related("owner")
    if text := request.GET.get("q", "").strip().replace("\0", ""):
        wanted = wanted.filter(Q(name__icontains=text))
    page = Paginator(wanted, rows_per_page()).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    said = describe_conditions([search.condition for search in rows], inside=campaign_of(request))
    context = {
        "page_obj": page,
        "q": text,
        "rows": [
            (search, sentence, may_change(search, request.user))
            for search, sentence in zip(rows, said, strict=True)
        ],
    }
    return render(request, "leads/searches.html", context)


@both_modes
@needs_view
@require_GET
def search_count(request: HttpRequest, search_id: int) -> HttpResponse:
    """How many leads match now: a part of the list with htmx, otherwise the search's own page."""
    search = get_object_or_404(visible_searches(request.user, campaign_of(request)), pk=search_id)
    if not request.htmx:
        return redirect(f"{reverse('compound_search')}?search={search.pk}&run=1")
    try:
        found = leads_matching(search.condition, now=timezone.now(), campaign_id=search.campaign_id)
        count, problem = found.count(), ""
    except ValidationError as error:
        count, problem = None, " ".join(error.messages)
    return render(request, "leads/search_count.html", {"search": search, "count": count, "problem": problem})


@both_modes
@needs_edit
@require_POST
@once
def search_copy(request: HttpRequest, search_id: int) -> HttpResponse:
    search = get_object_or_404(visible_searches(request.user, campaign_of(request)), pk=search_id)
    try:
        copy = copy_search(search, user=request.user, ip=client_ip(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("searches")
    messages.success(request, _("A copy “%(name)s” was made for you.") % {"name": copy.name})
    return redirect(f"{reverse('compound_search')}?search={copy.pk}")


@both_modes
@needs_edit
def search_delete(request: HttpRequest, search_id: int) -> HttpResponse:
    search = get_object_or_404(visible_searches(request.user, campaign_of(request)), pk=search_id)
    if not may_change(search, request.user):
        raise PermissionDenied(_("Only its owner or a privileged administrator can delete this search."))
    if request.method == "POST":
        name = search.name
        try:
            delete_search(search, user=request.user, ip=client_ip(request))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect("search_delete", search_id)
        messages.success(request, _("The search “%(name)s” was deleted.") % {"name": name})
        return redirect("searches")
    context = {
        "obstacles": obstacles_to_deleting(search.pk),
        "search": search,
        "said": describe_condition(search.condition, inside=search.campaign_id),
        "uses": uses_of([search.pk]).get(search.pk, []),
    }
    return render(request, "leads/search_delete.html", context)

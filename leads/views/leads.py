"""リード(申込者) › 一覧, and one lead's pages."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from leads.address import check_email
from leads.consent import UNSUBSCRIBED_REFUSAL
from leads.edit import Change, LeadChangedError, change_lead, create_lead, obstacles_to_deleting
from leads.edit import delete_lead as delete_one_lead
from leads.export import export_header, export_rows
from leads.filters import LeadFilter
from leads.flags import Way
from leads.forms import LeadForm
from leads.history import change_labels, history_of, shown_value
from leads.lead_list import DEFAULT_SORT, PAGE_SIZES, find_page
from leads.list_columns import cells_of, list_columns
from leads.models import Lead, LeadColumn, LeadQuerySet
from leads.panels import panels_of
from leads.scope import leads_in, narrow_to
from settings import audit
from settings.permissions import both_modes, needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of
from smp.lib.once import once


@both_modes
@needs_view
def leads(request: HttpRequest) -> HttpResponse:
    columns = list(LeadColumn.objects.all())
    campaign_id = campaign_of(request)
    lead_filter, found = _filtered(request, columns)
    size, usual = request.GET.get("size", ""), rows_per_page()
    sizes = sorted({usual, *PAGE_SIZES})
    # Looking for days, the index by day finds them at once; by id it might have to read far to meet them.
    by_day = request.GET.get("created_from") or request.GET.get("created_to")
    page = find_page(
        found,
        sort=request.GET.get("sort") or ("-created_at" if by_day else DEFAULT_SORT),
        page=request.GET.get("page", "1"),
        size=int(size) if size in map(str, sizes) else usual,
        exact=request.GET.get("count") == "exact",
        campaign_id=campaign_id,
    )
    fields = lead_filter.form
    context = {
        "page": page,
        "page_obj": page.page_obj,
        "sort": page.sort,
        "filter": lead_filter,
        "details": [fields[name] for name in fields.fields if name != "q"],
        "details_used": any(request.GET.get(name) for name in fields.fields if name != "q"),
        "narrowed": any(request.GET.get(name) for name in fields.fields),
        "sizes": sizes,
        "nobody": not page.total and not leads_in(campaign_id).exists(),
        "columns": list_columns(campaign_id),
        "rows": [(lead, cells_of(lead, campaign_id)) for lead in page.page_obj.object_list],
    }
    return render(request, "leads/leads.html", context)


@both_modes
@needs_view
@require_POST
def export_leads(request: HttpRequest) -> HttpResponse:
    """CSV-3: what the list shows, as a file. A POST, because it is written to the audit log (SYS-2)."""
    columns = list(LeadColumn.objects.all())
    lead_filter, found = _filtered(request, columns)
    if not lead_filter.is_valid():
        messages.error(request, _("A search condition cannot be read; nothing was exported."))
        return redirect(f"{reverse('leads')}?{request.GET.urlencode()}")
    narrowed = {
        name: value for name, value in request.GET.items() if value and name in lead_filter.form.fields
    }
    audit.record(
        "lead.export",
        user=request.user,
        detail={"filter": narrowed, "leads": found.count()},
        ip=client_ip(request),
        campaign_id=campaign_of(request),
    )
    file_name = f"leads-{timezone.localtime():%Y%m%d-%H%M}.csv"
    campaign_id = campaign_of(request)
    return csv_response(
        file_name, export_header(columns, campaign_id), export_rows(found, columns, campaign_id)
    )


def _filtered(request: HttpRequest, columns: list[LeadColumn]) -> tuple[LeadFilter, LeadQuerySet]:
    """A condition that cannot be read finds nobody: never more than was asked for."""
    campaign_id = campaign_of(request)
    lead_filter = LeadFilter(
        request.GET, queryset=leads_in(campaign_id), columns=columns, campaign_id=campaign_id
    )
    return lead_filter, lead_filter.qs if lead_filter.is_valid() else Lead.objects.none()


@both_modes
@needs_view
def lead(request: HttpRequest, lead_id: int) -> HttpResponse:
    campaign_id = campaign_of(request)
    shown = get_object_or_404(narrow_to(Lead.objects.all(), campaign_id), pk=lead_id)
    columns = list(LeadColumn.objects.all())
    panels_above, panels_below = panels_of(request, shown)
    context = {
        "lead": shown,
        "extra": [
            (column.label, shown.extra[column.key])
            for column in columns
            if shown.extra.get(column.key) is not None
        ],
        "email_check": check_email(shown.email),
        "panels_above": panels_above,
        "panels_below": panels_below,
        "consent_records": shown.consent_records.select_related("user")[:50],
        "history": history_of(shown, columns, limit=50, campaign_id=campaign_id),
    }
    return render(request, "leads/lead.html", context, status=410 if shown.deleted_at else 200)


@both_modes
@needs_edit
@once
def new_lead(request: HttpRequest) -> HttpResponse:
    """Inside a campaign there is no lead without an application: the page leads to 代理登録."""
    if campaign_of(request) is not None:
        return render(request, "leads/new_applicant.html")
    form = LeadForm(
        _with_suggestion(request.POST) if request.method == "POST" else None,
        lead=None,
        columns=list(LeadColumn.objects.all()),
    )
    if request.method == "POST" and form.is_valid() and not _asks_about_address(request, form):
        try:
            created = create_lead(
                form.values(),
                way=Way.ADMIN_EDIT,
                user=request.user,
                now=timezone.now(),
                ip=client_ip(request),
            )
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("The lead was registered."))
            _tell_notes(request, form)
            return redirect("lead", created.pk)
    return render(request, "leads/new_lead.html", {"form": form, "suggestion": _suggestion(form)})


@both_modes
@needs_edit
@once
def edit_lead(request: HttpRequest, lead_id: int) -> HttpResponse:
    edited = get_object_or_404(leads_in(campaign_of(request)), pk=lead_id)
    columns = list(LeadColumn.objects.all())
    form = LeadForm(
        _with_suggestion(request.POST) if request.method == "POST" else None, lead=edited, columns=columns
    )
    conflict: list[dict[str, Any]] = []
    if request.method == "POST" and form.is_valid() and not _asks_about_address(request, form):
        try:
            change_lead(
                edited, form.values(), way=Way.ADMIN_EDIT, user=request.user, now=timezone.now(), ip=client_ip(request), seen_at=form.seen_time,
                campaign_id=campaign_of(request),
            )  # fmt: skip
        except LeadChangedError as problem:
            form, conflict = _after_conflict(form, problem, columns)
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("The lead was saved."))
            _tell_notes(request, form)
            return redirect("lead", edited.pk)
    context = {
        "form": form,
        "lead": edited,
        "suggestion": _suggestion(form),
        "conflict": conflict,
        "refusal": UNSUBSCRIBED_REFUSAL,
    }
    return render(request, "leads/edit_lead.html", context, status=409 if conflict else 200)


@both_modes
@needs_edit
def delete_lead(request: HttpRequest, lead_id: int) -> HttpResponse:
    campaign_id = campaign_of(request)
    doomed = get_object_or_404(leads_in(campaign_id), pk=lead_id)
    reasons = obstacles_to_deleting(doomed, request.user, campaign_id)
    if request.method == "POST" and request.POST.get("confirmed") == "1":
        try:
            delete_one_lead(
                doomed, user=request.user, now=timezone.now(), ip=client_ip(request), campaign_id=campaign_id
            )
        except ValidationError as refused:
            reasons = refused.messages
        else:
            messages.success(request, _("The lead %(lead)s was deleted.") % {"lead": doomed})
            return redirect("leads")
    context = {"lead": doomed, "reasons": reasons}
    status = 409 if reasons and request.method == "POST" else 200
    return render(request, "leads/delete_lead.html", context, status=status)


def _with_suggestion(data: QueryDict) -> QueryDict:
    """CHR-4: one click takes the proposed address and saves."""
    if "use_suggestion" in data:
        data = data.copy()
        data["email"] = data["use_suggestion"]
    return data


def _asks_about_address(request: HttpRequest, form: LeadForm) -> bool:
    """CHR-4: an address that looks like a typo is asked about once, and saved when it is meant so."""
    check = check_email(form.cleaned_data["email"])
    changed = form.lead is None or check.norm != form.lead.email_norm
    return bool(check.suggestion) and changed and request.POST.get("keep_address") != check.address


def _suggestion(form: LeadForm) -> dict[str, str] | None:
    """What the form proposes instead of the address in it, if anything."""
    if not form.is_bound:
        return None
    check = check_email(form.data.get("email", ""))
    if not check.suggestion or (form.lead is not None and check.norm == form.lead.email_norm):
        return None
    return {
        "typed": check.address,
        "meant": check.suggestion,
        "keep": "" if check.malformed else check.address,
    }


def _tell_notes(request: HttpRequest, form: LeadForm) -> None:
    check = check_email(form.cleaned_data["email"])
    if check.notes and not check.suggestion:
        messages.info(
            request,
            _("E-mail address %(address)s: %(notes)s")
            % {"address": check.address, "notes": " ".join(check.notes)},
        )


def _after_conflict(
    form: LeadForm, problem: LeadChangedError, columns: list[LeadColumn]
) -> tuple[LeadForm, list[dict[str, Any]]]:
    """The form as both meant it: what this person did not touch takes the other's new value, what they typed stays."""
    data = form.data.copy()
    data["seen_at"] = problem.lead.updated_at.isoformat()
    for change in problem.changes:
        name = (
            f"column_{change.field.removeprefix('extra.')}"
            if change.field.startswith("extra.")
            else change.field
        )
        if name in form.fields and data.get(name, "") == _as_typed(change.old):
            data[name] = _as_typed(change.new)
    labels = change_labels(columns)
    rows = [_conflict_row(change, labels, data) for change in problem.changes if change.field in labels]
    return LeadForm(data, lead=problem.lead, columns=columns), rows or [
        {"label": _("Lead"), "old": "", "new": "", "by": ""}
    ]


def _conflict_row(change: Change, labels: dict[str, str], data: QueryDict) -> dict[str, Any]:
    return {
        "label": labels[change.field],
        "old": shown_value(change.field, change.old),
        "new": shown_value(change.field, change.new),
        "by": change.by,
        "at": change.at,
    }


def _as_typed(value: Any) -> str:
    """As the form's fields carry it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return "" if value is None else str(value)

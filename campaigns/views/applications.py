"""「申込一覧」 of a campaign and one application: doors to campaigns/applications.py."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from campaigns import applications as domain
from campaigns.application_audit import record_audit
from campaigns.application_list import SHOWN, counts, export_header, export_rows, in_order
from campaigns.application_page import answers_of, columns_by_key, entered_rows, story
from campaigns.change_form import ChangeForm
from campaigns.filters import ApplicationFilter
from campaigns.form_items import questions_of
from campaigns.models import Application, ApplicationState, ApplicationWay, CancelledBy
from campaigns.seats import moves_up, seats
from campaigns.tickets import has_ticket
from campaigns.waiting_list import waiting
from leads.models import LeadColumn
from settings import audit
from settings.permissions import both_modes, campaign_mode, needs_edit, needs_view
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.csv_export import csv_response
from smp.lib.mode import campaign_of, url_in
from smp.lib.once import once


@campaign_mode
@needs_view
@require_GET
def applications(request: HttpRequest) -> HttpResponse:
    found = ApplicationFilter(request.GET, campaign=request.campaign)
    state = request.GET.get("state", "")
    rows = found.qs if found.is_valid() else Application.objects.none()
    rows = in_order(rows, state=state, sort=request.GET.get("sort", ""))
    page = Paginator(rows.select_related("lead"), rows_per_page()).get_page(request.GET.get("page"))
    numbers = counts(request.campaign)
    context = {
        "filter": found,
        "page_obj": page,
        "numbers": [(name, label, numbers[name]) for name, label in SHOWN if name in numbers],
        "seats": seats(request.campaign),
        "state": state,
        "narrowed": any(request.GET.get(name) for name in found.form.fields),
        "first_place": page.start_index()
        if state == ApplicationState.WAITING and not request.GET.get("sort")
        else 0,
    }
    return render(request, "campaigns/applications.html", context)


@campaign_mode
@needs_view
@require_POST
def export_applications(request: HttpRequest) -> HttpResponse:
    """CSV-3: what the list shows, as a file. A POST, because it is written to the audit log (SYS-2)."""
    campaign = request.campaign
    found = ApplicationFilter(request.GET, campaign=campaign)
    if not found.is_valid():
        messages.error(request, _("A search condition cannot be read; nothing was exported."))
        return redirect(f"{reverse('applications')}?{request.GET.urlencode()}")
    rows = in_order(found.qs, state=request.GET.get("state", ""), sort=request.GET.get("sort", ""))
    narrowed = {name: value for name, value in request.GET.items() if value and name in found.form.fields}
    audit.record(
        "application.export", user=request.user, target=campaign, ip=client_ip(request),
        detail={"filter": narrowed, "applications": rows.count()},
    )  # fmt: skip
    items, columns = questions_of(campaign), list(LeadColumn.objects.all())
    with_sessions = campaign.sessions.exists()
    return csv_response(
        f"applications-{campaign.pk}-{timezone.localtime():%Y%m%d-%H%M}.csv",
        export_header(items, columns, with_sessions),
        export_rows(rows, items, columns, with_sessions),
    )


@both_modes
@needs_view
@require_GET
def application(request: HttpRequest, pk: int) -> HttpResponse:
    """In the all-campaign mode it leads into the application's campaign."""
    campaign_id = campaign_of(request)
    if campaign_id is None:
        return redirect(url_in(get_object_or_404(Application, pk=pk).campaign_id, "application", pk))
    return render(request, "campaigns/application.html", _page(_one(request, pk)))


@campaign_mode
@needs_edit
@once
def application_change(request: HttpRequest, pk: int) -> HttpResponse:
    current = _one(request, pk)
    if current.state == ApplicationState.CANCELLED:
        messages.info(request, _("This application is cancelled already."))
        return redirect("application", pk)
    form = ChangeForm(current, request.POST if request.method == "POST" else None)
    refusal = []
    if form.is_valid():
        try:
            domain.change(
                current, form.entry(), way=ApplicationWay.PROXY, now=timezone.now(), user=request.user,
                ip=client_ip(request), tell="tell" in request.POST,
            )  # fmt: skip
        except domain.ApplicationRefused as refused:
            refusal = [refused.text]
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("The application was saved."))
            return redirect("application", pk)
    context = {"application": current, "form": form, "refusal": refusal, "tell": "tell" in request.POST}
    return render(request, "campaigns/application_change.html", context, status=422 if form.is_bound else 200)


@campaign_mode
@needs_edit
@once
def application_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first. SMP sends no mail when staff cancel; here they choose."""
    current = _one(request, pk)
    if current.state == ApplicationState.CANCELLED:
        messages.info(request, _("This application is cancelled already."))
        return redirect("application", pk)
    if request.method == "POST":
        domain.cancel(
            current, by=CancelledBy.STAFF, now=timezone.now(), user=request.user, ip=client_ip(request), tell="tell" in request.POST
        )  # fmt: skip
        messages.success(request, _("The application was cancelled."))
        return redirect("application", pk)
    frees = current.state == ApplicationState.APPLIED and moves_up(request.campaign, timezone.now())
    context = {"application": current, "next_waits": frees and seats(request.campaign).waiting > 0}
    return render(request, "campaigns/application_cancel.html", context)


@campaign_mode
@needs_edit
@require_POST
def application_move_up(request: HttpRequest, pk: int) -> HttpResponse:
    """Whatever their place on the waiting list, when there is a seat."""
    current, now = _one(request, pk), timezone.now()
    moved = domain.move_up_one(current, now=now)
    if moved is None:
        messages.error(request, _("There is no free seat, or this person does not wait any more."))
    else:
        record_audit("application.move_up", moved, user=request.user, ip=client_ip(request), now=now)
        messages.success(request, _("The application has a seat now."))
    return redirect("application", pk)


def _one(request: HttpRequest, pk: int) -> Application:
    rows = Application.objects.filter(campaign_id=campaign_of(request))
    found = get_object_or_404(rows.select_related("lead", "created_by", "consent_text"), pk=pk)
    found.campaign = request.campaign  # type: ignore[attr-defined]
    return found


def _page(current: Application) -> dict:
    found = seats(current.campaign)
    waits = current.state == ApplicationState.WAITING
    return {
        "application": current,
        "entered": entered_rows(current, columns_by_key()),
        "answers": answers_of(current),
        "sessions": list(current.sessions.all()),
        "story": story(current),
        "seats": found,
        "may_move_up": waits and not found.full,
        "place": _place(current) if waits else 0,
        "ticket": has_ticket(current),
    }


def _place(current: Application) -> int:
    """On the waiting list, 1 for the next."""
    before = waiting(current.campaign).filter(waiting_since__lt=current.waiting_since)
    same = waiting(current.campaign).filter(waiting_since=current.waiting_since, pk__lt=current.pk)
    return before.count() + same.count() + 1

"""The ticket of an applicant as staff see it, and sending its address. Buttons on the application's page lead here."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from campaigns.models import Application
from campaigns.ticket_page import ticket_of
from campaigns.tickets import has_ticket, send_ticket_url
from leads.models import Lead
from settings.permissions import both_modes, needs_edit, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.mode import campaign_of
from smp.lib.once import once


@both_modes
@needs_view
def ticket_preview(request: HttpRequest, pk: int) -> HttpResponse:
    application = _application(request, pk)
    values = {
        "application": application,
        "ticket": ticket_of(application) if has_ticket(application) else None,
    }
    return render(request, "campaigns/ticket_preview.html", values)


@both_modes
@needs_edit
@require_POST
@once
def ticket_send(request: HttpRequest, pk: int) -> HttpResponse:
    """「受講票URLを送る」: by a person, so neither the notice's ON/OFF nor the 24 hours of TKT-3 hold."""
    application = _application(request, pk)
    if send_ticket_url(application, now=timezone.now(), user=request.user, ip=client_ip(request)):
        messages.success(request, _("The ticket URL is being sent by mail."))
    else:
        messages.error(request, _("This application has no ticket, so there is no URL to send."))
    return redirect("ticket_preview", pk)


def _application(request: HttpRequest, pk: int) -> Application:
    """Inside a campaign only its own."""
    applications = Application.objects.filter(lead__in=Lead.objects.existing()).select_related(
        "campaign", "lead"
    )
    if (campaign_id := campaign_of(request)) is not None:
        applications = applications.filter(campaign_id=campaign_id)
    return get_object_or_404(applications, pk=pk)

"""「申込」 on the lead page: what this lead applied for; inside a campaign only that one."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.models import Application
from leads.models import Lead
from leads.panels import Panel, register_panel
from smp.lib.mode import BOTH, campaign_of


def register() -> None:
    """From AppConfig.ready()."""
    register_panel(Panel("applications", _("Applications"), "campaigns/lead_panel.html", _context, 45, BOTH))


def _context(request: HttpRequest, lead: Lead) -> dict[str, Any]:
    applications = Application.objects.filter(lead=lead).select_related("campaign")
    campaign_id = campaign_of(request)
    if campaign_id is not None:
        applications = applications.filter(campaign_id=campaign_id)
    return {"applications": list(applications[:100])}

"""The leads of a mode: all, or the applicants of one campaign. Campaigns stand above leads and register who they are."""

from collections.abc import Callable
from typing import Any

from leads.models import Lead, LeadQuerySet

CampaignLeads = Callable[[LeadQuerySet, int], LeadQuerySet]
_CAMPAIGN_LEADS: list[CampaignLeads] = []


def register_campaign_leads(narrow: CampaignLeads) -> None:
    """`narrow(leads, campaign_id)` leaves those with an application for the campaign, cancelled ones too."""
    _CAMPAIGN_LEADS[:] = [narrow]


def leads_in(campaign_id: int | None) -> LeadQuerySet:
    """Every existing lead of the mode."""
    return narrow_to(Lead.objects.existing(), campaign_id)


def narrow_to(leads: LeadQuerySet, campaign_id: int | None) -> LeadQuerySet:
    if campaign_id is None:
        return leads
    if not _CAMPAIGN_LEADS:
        return leads.none()
    return _CAMPAIGN_LEADS[0](leads, campaign_id)


def scope_sql(campaign_id: int | None, lead: str) -> tuple[str, dict[str, Any]]:
    """For hand-written statements: a condition on the lead with this alias, and its named parameters (scope_0, …)."""
    if campaign_id is None:
        return f"{lead}.deleted_at IS NULL", {}
    sql, values = leads_in(campaign_id).order_by().values("pk").query.sql_with_params()
    # Django writes %s and %%; the statement around it has named parameters.
    parts = sql.replace("%%", "\0").split("%s")
    named = parts[0] + "".join(f"%(scope_{place})s{part}" for place, part in enumerate(parts[1:]))
    parameters = {f"scope_{place}": value for place, value in enumerate(values)}
    return f"{lead}.id IN ({named.replace(chr(0), '%%')})", parameters

"""The leads of a mode: all, or the applicants of one campaign. Campaigns stand above leads and register who they are."""

from collections.abc import Callable

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

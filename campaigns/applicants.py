"""The leads of one campaign: whoever has an application for it, in whatever state."""

from django.db.models import Exists, OuterRef, QuerySet

from campaigns.models import Application
from leads.models import LeadQuerySet


def only_applicants(leads: LeadQuerySet, campaign_id: int) -> LeadQuerySet:
    """A lead is never found twice, however often it applied."""
    return leads.filter(Exists(applications_of_lead(campaign_id)))


def applications_of_lead(campaign_id: int) -> QuerySet[Application]:
    """For subqueries on leads: the lead's applications for this campaign."""
    return Application.objects.filter(campaign_id=campaign_id, lead=OuterRef("pk"))

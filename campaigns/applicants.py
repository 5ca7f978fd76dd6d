"""The leads of one campaign: whoever has an application for it, in whatever state."""

from django.db.models import Exists, OuterRef

from campaigns.models import Application
from leads.models import LeadQuerySet


def only_applicants(leads: LeadQuerySet, campaign_id: int) -> LeadQuerySet:
    """A lead is never found twice, however often it applied."""
    return leads.filter(Exists(Application.objects.filter(campaign_id=campaign_id, lead=OuterRef("pk"))))

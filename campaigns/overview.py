"""概要: what the overview of a campaign shows beside its numbers: the next steps, a chart and a QR code."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from campaigns.campaign_list import Day
from campaigns.campaigns import refusals
from campaigns.consent_texts import current_consent_text
from campaigns.models import Campaign, CampaignState
from smp.lib.charts import Column, Series, columns


@dataclass(frozen=True)
class Step:
    label: str
    done: bool
    note: str
    url: str


def next_steps(campaign: Campaign, *, now: datetime) -> list[Step]:
    """What there is to do until a campaign can be published, and what is done."""
    settings, form = reverse("campaign_settings"), reverse("form_items")
    where = bool(
        (campaign.venue_name or not campaign.at_venue) and (campaign.online_url or not campaign.online)
    )
    email = campaign.form_items.filter(source="lead", field="email", retired_at=None).exists()
    items = campaign.form_items.filter(retired_at=None).count()
    blockers = (
        refusals(campaign, CampaignState.OPEN, now=now) if campaign.state == CampaignState.DRAFT else []
    )
    published = campaign.state in {CampaignState.OPEN, CampaignState.CLOSED}
    return [
        Step(pgettext("checklist", "Date"), campaign.starts_at is not None, _("When it begins and ends."), settings),
        Step(pgettext("checklist", "Place"), where, _("The venue, or the online URL."), settings),
        Step(pgettext("application", "Application form"), email, _("%(count)s items are asked.") % {"count": items}, form),
        Step(
            _("Consent text"), current_consent_text(campaign) is not None,
            _("What applicants agree to; kept with each application."), reverse("consent_text"),
        ),
        Step(_("Publish"), published, "" if published else " ".join(blockers), "#state"),
    ]  # fmt: skip


def chart(days: Sequence[Day]) -> SafeString:
    """The numbers stand in the table beside it."""
    title = _("Applications a day")
    found = [Column(f"{day.day:%m-%d}", [day.count]) for day in days]
    return columns(title, title, found, [Series(_("Applications"), "run")])

"""What the public page of a campaign shows, for attendees and for staff who register somebody else."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.models import Campaign
from campaigns.seats import seats_of
from campaigns.status import Status, status_of
from campaigns.texts import text_in
from campaigns.timetable import Slot, period_in, timetable


@dataclass(frozen=True)
class SessionRow:
    time: str
    title: str
    slot: Slot


def status_now(campaign: Campaign, now: datetime) -> Status:
    return status_of(campaign, now=now, seats=seats_of([campaign])[campaign.pk])


def page_of(campaign: Campaign, *, language: str, now: datetime) -> dict[str, Any]:
    """For public/campaign_body.html."""
    return {
        "campaign": campaign,
        "status": status_now(campaign, now),
        "period": period_in(campaign, language),
        "rows": [SessionRow(slot.time(language), slot.title(language), slot) for slot in timetable(campaign)],
        "description": text_in(campaign, "description", language),
    }

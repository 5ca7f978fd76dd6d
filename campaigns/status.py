"""What a campaign is for visitors at a moment: one answer from the state, the dates and the seats (APP-1, APP-6).

Pure. A minute that is named as the last one still counts to its end: 「23:59まで」 means until 24:00.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.models import Campaign, CampaignState


class StatusKey(models.TextChoices):
    DRAFT = "draft", _("In preparation")
    NOT_YET = "not_yet", _("Applications not open yet")
    OPEN = "open", _("Applications open")
    FEW = "few", _("Few seats left")
    WAITING = "waiting", _("Full – applications for the waiting list")
    FULL = "full", pgettext_lazy("campaign", "Full")
    CLOSED = "closed", _("Applications closed")
    OVER = "over", pgettext_lazy("campaign", "Over")
    ARCHIVED = "archived", _("Archived")


MAY_APPLY = frozenset({StatusKey.OPEN, StatusKey.FEW, StatusKey.WAITING})
TAGS = {
    StatusKey.NOT_YET: "run",
    StatusKey.OPEN: "ok",
    StatusKey.FEW: "warn",
    StatusKey.WAITING: "warn",
    StatusKey.FULL: "bad",
}  # the others are grey


class HasSeats(Protocol):
    """`campaigns.applications.Seats`: seats that are taken, people who wait."""

    @property
    def taken(self) -> int: ...
    @property
    def waiting(self) -> int: ...


@dataclass(frozen=True)
class Status:
    key: StatusKey
    may_apply: bool
    waiting: bool  # who applies now comes on the waiting list

    @property
    def label(self) -> str:
        """In the reader's language."""
        return str(self.key.label)

    @property
    def tag(self) -> str:
        """The class of its tag on screens."""
        return TAGS.get(self.key, "")


def status_of(campaign: Campaign, *, now: datetime, seats: HasSeats) -> Status:
    key = _key(campaign, now, seats)
    return Status(key, key in MAY_APPLY, key == StatusKey.WAITING)


def _key(campaign: Campaign, now: datetime, seats: HasSeats) -> StatusKey:
    if campaign.state == CampaignState.ARCHIVED:
        return StatusKey.ARCHIVED
    if campaign.state == CampaignState.DRAFT:
        return StatusKey.DRAFT
    if is_over(campaign, now):
        return StatusKey.OVER
    if campaign.state == CampaignState.CLOSED or has_passed(campaign.applications_until, now):
        return StatusKey.CLOSED
    if campaign.applications_from is not None and now < campaign.applications_from:
        return StatusKey.NOT_YET
    if campaign.capacity is None:
        return StatusKey.OPEN
    left = campaign.capacity - seats.taken
    if left <= 0:
        return StatusKey.WAITING if campaign.waiting_list else StatusKey.FULL
    return StatusKey.FEW if left <= few_from(campaign.capacity) else StatusKey.OPEN


def few_from(capacity: int) -> int:
    """残りわずか: the last tenth of the seats, at least the last one."""
    return max(1, capacity // 10)


def has_passed(until: datetime | None, now: datetime) -> bool:
    """Whether a deadline is over; None is none."""
    return until is not None and now >= until.replace(second=0, microsecond=0) + timedelta(minutes=1)


def may_still_cancel(campaign: Campaign, now: datetime) -> bool:
    """Whether applicants may cancel by themselves: until cancel_until, without one until it begins."""
    if campaign.cancel_until is not None:
        return not has_passed(campaign.cancel_until, now)
    return campaign.starts_at is None or now <= campaign.starts_at


def is_over(campaign: Campaign, now: datetime) -> bool:
    """After the end; without an end, after the day of the start (in Japan)."""
    if campaign.ends_at is not None:
        return now >= campaign.ends_at
    if campaign.starts_at is None:
        return False
    return timezone.localtime(now).date() > timezone.localtime(campaign.starts_at).date()

"""The sessions of a campaign as attendees see them: when, what, and whether there is room."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import pgettext

from campaigns.models import ApplicationState, Campaign, Session
from campaigns.texts import text_in
from smp.lib.days import day_in


@dataclass(frozen=True)
class Slot:
    session: Session
    campaign: Campaign
    taken: int

    @property
    def full(self) -> bool:
        return self.session.capacity is not None and self.taken >= self.session.capacity

    def time(self, language: str) -> str:
        """10:00–10:45; with its day where the campaign lasts several."""
        start = self.session.starts_at
        if start is None:
            return ""
        clock = f"{_local(start):%H:%M}"
        if self.session.ends_at is not None:
            clock += f"–{_local(self.session.ends_at):%H:%M}"
        first, last = self.campaign.starts_at, self.campaign.ends_at
        days = {_local(moment).date() for moment in (first, last, start) if moment}
        return clock if len(days) < 2 else f"{day_in(start, language, year=False)} {clock}"

    def title(self, language: str) -> str:
        return text_in(self.session, "title", language)

    def label(self, language: str) -> str:
        """For the choice in the form."""
        words = " ".join(part for part in (self.time(language), self.title(language)) if part)
        if not self.full:
            return words
        return (
            f"{words} ({pgettext('campaign', 'Full')})"
            if language == "en"
            else f"{words}【{pgettext('campaign', 'Full')}】"
        )


def timetable(campaign: Campaign) -> list[Slot]:
    """In order. One query."""
    taken = Count("chosen", filter=Q(chosen__application__state=ApplicationState.APPLIED))
    sessions = campaign.sessions.annotate(taken_seats=taken).order_by("position", "starts_at", "id")
    return [Slot(session, campaign, session.taken_seats) for session in sessions]


def period_in(campaign: Campaign, language: str) -> str:
    """2026年11月24日(火) 10:00–12:00; over several days both with their day. "" while no date is set."""
    start, end = campaign.starts_at, campaign.ends_at
    if start is None:
        return ""
    words = f"{day_in(start, language)} {_local(start):%H:%M}"
    if end is None:
        return words if language == "en" else f"{words}〜"
    if _local(end).date() == _local(start).date():
        return f"{words}–{_local(end):%H:%M}"
    return f"{words} – {day_in(end, language, year=False)} {_local(end):%H:%M}"


def _local(moment: datetime) -> datetime:
    return timezone.localtime(moment)

"""What a lead sees of their applications on my page: what is coming, what they wait for, what is over; and what they can do."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from campaigns.models import Application, ApplicationState, CampaignState
from campaigns.seats import seats_of
from campaigns.status import is_over, may_still_cancel, status_of
from campaigns.ticket_page import safe_url
from campaigns.tickets import days_valid, has_ticket, ticket_url
from campaigns.timetable import period_in
from leads.models import Lead

SHOWN = 200


@dataclass(frozen=True)
class Row:
    """One application. URLs are "" where there is nothing to open."""

    application: Application
    state: str | Promise
    tag: str
    period: str
    ticket_url: str
    online_url: str
    may_change: bool
    may_cancel: bool
    may_apply: bool  # again, after it was cancelled


@dataclass(frozen=True)
class Group:
    title: str | Promise
    rows: list[Row]


def overview(lead: Lead, *, language: str, now: datetime) -> list[Group]:
    """The groups that have something in them. The number of queries does not depend on that of applications."""
    applications = list(
        Application.objects.filter(lead=lead)
        .select_related("campaign", "lead")
        .prefetch_related("sessions")
        .order_by("-campaign__starts_at", "-pk")[:SHOWN]
    )
    by_title: dict[str, list[Row]] = {"coming": [], "waiting": [], "past": [], "cancelled": []}
    for row in _rows(applications, language=language, now=now):
        by_title[_group_of(row.application, now)].append(row)
    by_title["coming"].reverse()
    by_title["waiting"].reverse()
    titles = {
        "coming": pgettext_lazy("my page", "Coming up"),
        "waiting": pgettext_lazy("my page", "Waiting"),
        "past": pgettext_lazy("my page", "Past"),
        "cancelled": pgettext_lazy("my page", "Cancelled"),
    }
    return [Group(titles[name], rows) for name, rows in by_title.items() if rows]


def application_of(lead: Lead, pk: int) -> Application | None:
    """The lead's own one, or None."""
    return Application.objects.filter(lead=lead, pk=pk).select_related("campaign", "lead").first()


def may_cancel(application: Application, *, now: datetime) -> bool:
    """As campaigns.applications.cancel judges it."""
    return application.state != ApplicationState.CANCELLED and may_still_cancel(application.campaign, now)


def may_change(application: Application, *, now: datetime) -> bool:
    """As long as it may be cancelled; not before the address is confirmed, nor in a campaign that was put away."""
    campaign = application.campaign
    return (
        application.state in {ApplicationState.APPLIED, ApplicationState.WAITING}
        and campaign.state in {CampaignState.OPEN, CampaignState.CLOSED}
        and not is_over(campaign, now)
        and may_cancel(application, now=now)
    )


def _group_of(application: Application, now: datetime) -> str:
    if application.state == ApplicationState.CANCELLED:
        return "cancelled"
    if is_over(application.campaign, now):
        return "past"
    return "coming" if application.state == ApplicationState.APPLIED else "waiting"


def _rows(applications: list[Application], *, language: str, now: datetime) -> Iterable[Row]:
    seats = seats_of({one.campaign for one in applications})
    live = {one.campaign_id for one in applications if one.state != ApplicationState.CANCELLED}
    days = days_valid()
    for one in applications:
        campaign, over = one.campaign, is_over(one.campaign, now)
        has_seat = one.state == ApplicationState.APPLIED
        cancelled = one.state == ApplicationState.CANCELLED
        may_apply = status_of(campaign, now=now, seats=seats[campaign.pk]).may_apply
        yield Row(
            application=one,
            state=_STATES[ApplicationState(one.state)] if not (has_seat and one.attended_at) else pgettext_lazy("application", "Attended"),
            tag=_TAGS.get(ApplicationState(one.state), ""),
            period=period_in(campaign, language),
            ticket_url=ticket_url(one, now=now, days=days) if has_ticket(one) and not over else "",
            online_url=safe_url(campaign.online_url) if has_seat and not over and campaign.place != "venue" else "",
            may_change=may_change(one, now=now),
            may_cancel=may_cancel(one, now=now),
            may_apply=cancelled and may_apply and campaign.pk not in live,
        )  # fmt: skip


_STATES: dict[ApplicationState, str | Promise] = {
    ApplicationState.APPLIED: pgettext_lazy("my page", "Applied"),
    ApplicationState.WAITING: pgettext_lazy("my page", "On the waiting list"),
    ApplicationState.PROVISIONAL: pgettext_lazy("my page", "Address not confirmed yet"),
    ApplicationState.CANCELLED: pgettext_lazy("my page", "Cancelled"),
}
_TAGS = {
    ApplicationState.APPLIED: "ok",
    ApplicationState.WAITING: "warn",
    ApplicationState.PROVISIONAL: "warn",
}

"""APP-6: seats. Whoever gives or frees one holds the campaign's lock: two never take the last seat.

Locks go campaign, leads by id, applications; see docs/architecture.md.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from campaigns.models import (
    Application,
    ApplicationSession,
    ApplicationState,
    Campaign,
    CampaignState,
    Session,
)
from campaigns.refusals import ApplicationRefused
from campaigns.status import is_over
from leads.models import Lead


@dataclass(frozen=True)
class Seats:
    capacity: int | None  # None: no limit
    taken: int
    waiting: int
    provisional: int = 0  # address not confirmed: holds no seat

    @property
    def free(self) -> int | None:
        """None: no limit. Never negative, also when the capacity was lowered below what is taken."""
        return None if self.capacity is None else max(0, self.capacity - self.taken)

    @property
    def full(self) -> bool:
        return self.free == 0


def seats_of(campaigns: Iterable[Campaign]) -> dict[int, Seats]:
    """The seats of each campaign, by id; one query."""
    capacities = {campaign.pk: campaign.capacity for campaign in campaigns}
    rows = (
        Application.objects.filter(campaign__in=capacities)
        .order_by()
        .values_list("campaign_id")
        .annotate(
            taken=Count("id", filter=Q(state=ApplicationState.APPLIED)),
            waiting=Count("id", filter=Q(state=ApplicationState.WAITING)),
            provisional=Count("id", filter=Q(state=ApplicationState.PROVISIONAL)),
        )
    )
    counted = {pk: numbers for pk, *numbers in rows}
    return {pk: Seats(capacity, *counted.get(pk, (0, 0))) for pk, capacity in capacities.items()}


def seats(campaign: Campaign) -> Seats:
    return seats_of([campaign])[campaign.pk]


def session_seats(sessions: Collection[Session], *, but: Application | None = None) -> dict[int, Seats]:
    """The seats of each session, by id: only applications with a seat count. `but` is left out."""
    rows = ApplicationSession.objects.filter(
        session__in=[session.pk for session in sessions], application__state=ApplicationState.APPLIED
    )
    if but is not None:
        rows = rows.exclude(application=but)
    taken = dict(rows.order_by().values_list("session_id").annotate(Count("id")))
    return {session.pk: Seats(session.capacity, taken.get(session.pk, 0), 0) for session in sessions}


def lock_campaign(campaign_id: int) -> Campaign:
    """The campaign as it is now; nobody else gives or frees seats until the transaction ends. Rows that merely point at
    it (mails, imports) do not wait."""
    return Campaign.objects.select_for_update(no_key=True).get(pk=campaign_id)


def lock_leads(lead_ids: Iterable[int]) -> dict[int, Lead]:
    """In the order of their ids, deleted ones too."""
    ids = set(lead_ids)
    if not ids:
        return {}
    return {lead.pk: lead for lead in Lead.objects.select_for_update().filter(pk__in=ids).order_by("pk")}


def lock_application(application: Application) -> tuple[Campaign, Application]:
    """The campaign, the lead and the application locked in this order; the application as it is now, with its campaign
    and lead."""
    campaign = lock_campaign(application.campaign_id)
    while True:
        lead_id = Application.objects.values_list("lead_id", flat=True).get(pk=application.pk)
        leads = lock_leads([lead_id])
        current = Application.objects.select_for_update().get(pk=application.pk)
        if current.lead_id == lead_id:  # not merged into another lead meanwhile (APP-5)
            current.campaign, current.lead = campaign, leads[lead_id]
            return campaign, current


def moves_up(campaign: Campaign, now: datetime) -> bool:
    """Whether a free seat still goes to who waits: not once it is over."""
    return campaign.state != CampaignState.ARCHIVED and not is_over(campaign, now)


def check_session_seats(sessions: Collection[Session], *, but: Application | None = None) -> None:
    if any(one.full for one in session_seats(sessions, but=but).values()):
        raise ApplicationRefused("session_full")

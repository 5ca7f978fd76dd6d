"""The waiting list (APP-6): free seats go to those who have waited longest, in the transaction that frees them."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from campaigns.events import Event, Happening, announce
from campaigns.models import Application, ApplicationState, Campaign, Session
from campaigns.refusals import ApplicationRefused
from campaigns.seats import (
    check_session_seats,
    lock_campaign,
    lock_leads,
    moves_up,
    seats,
    session_seats,
)
from smp.lib.deadlocks import again_after_deadlock


def waiting(campaign: Campaign) -> QuerySet[Application]:
    """In the order in which they move up."""
    rows = Application.objects.filter(campaign=campaign, state=ApplicationState.WAITING)
    return rows.order_by("waiting_since", "id")


def seat_or_wait(campaign: Campaign, sessions: Collection[Session], *, now: datetime) -> ApplicationState:
    """For one more application, under the campaign's lock: APPLIED when there is a seat, else WAITING. ApplicationRefused
    (full, session_full) when neither. Nobody overtakes who waits and could have the seat."""
    found = seats(campaign)
    if found.waiting and not found.full and move_up(campaign, now=now):
        found = seats(campaign)
    if found.full:
        if campaign.waiting_list:
            return ApplicationState.WAITING
        raise ApplicationRefused("full")
    check_session_seats(sessions)
    return ApplicationState.APPLIED


@again_after_deadlock
def move_up(campaign: Campaign, *, now: datetime) -> list[Application]:
    """Gives the free seats to who waits, and announces it. Called by whatever frees seats: cancelling, another session, a
    higher capacity of the campaign or of a session. Who waits for a session that is full keeps their place, and the
    next one is asked."""
    with transaction.atomic():
        current = lock_campaign(campaign.pk)
        return _seat(current, _who_fits(current), now=now) if moves_up(current, now) else []


@again_after_deadlock
def move_up_one(application: Application, *, now: datetime) -> Application | None:
    """By hand, whatever their place; None when there is no seat (or they do not wait any more)."""
    with transaction.atomic():
        current = lock_campaign(application.campaign_id)
        moved = _seat(current, _who_fits(current, only=application.pk), now=now)
        return moved[0] if moved else None


def _who_fits(campaign: Campaign, only: int | None = None) -> list[int]:
    """The ids of those who get a seat now."""
    free = seats(campaign).free
    if free == 0:
        return []
    rows = waiting(campaign).filter(lead__deleted_at=None)
    if only is not None:
        rows = rows.filter(pk=only)
    sessions = list(campaign.sessions.exclude(capacity=None))
    if not sessions:
        ids = rows.values_list("pk", flat=True)
        return list(ids if free is None else ids[:free])
    room = {pk: one.free or 0 for pk, one in session_seats(sessions).items()}
    fitting: list[int] = []
    for one in rows.prefetch_related("chosen"):
        if free is not None and len(fitting) >= free:
            break
        wanted = [choice.session_id for choice in one.chosen.all() if choice.session_id in room]
        if all(room[pk] > 0 for pk in wanted):
            fitting.append(one.pk)
            for pk in wanted:
                room[pk] -= 1
    return fitting


def _seat(campaign: Campaign, ids: list[int], *, now: datetime) -> list[Application]:
    if not ids:
        return []
    leads = lock_leads(Application.objects.filter(pk__in=ids).values_list("lead_id", flat=True))
    moved = list(waiting(campaign).filter(pk__in=ids).select_for_update())
    for one in moved:
        one.state, one.applied_at, one.moved_up_at = ApplicationState.APPLIED, now, now
        one.campaign = campaign
    Application.objects.bulk_update(moved, ["state", "applied_at", "moved_up_at"], batch_size=500)
    announce(
        *(
            Happening(Event.MOVED_UP, leads[one.lead_id], now, campaign=campaign, application=one)
            for one in moved
            if one.lead_id in leads  # else merged into another lead at this moment (APP-5)
        )
    )
    return moved

"""APP-5: what happens to applications and my pages when leads are merged (leads/merge.py), and when that is undone.

Two live applications for the same campaign become one: the one with the seat stays (then who waits longer), the other is
cancelled as merged, without a mail, and its seat goes to the waiting list.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count, F
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns.access import campaigns_of
from campaigns.models import (
    AddressChange,
    Application,
    ApplicationState,
    Campaign,
    CancelledBy,
    MyPageAccount,
)
from campaigns.seats import seats_of, session_seats
from campaigns.waiting_list import move_up
from leads.merge import Mover, by_lead, register_mover
from settings.models import User

_BEST = {ApplicationState.APPLIED: 0, ApplicationState.WAITING: 1, ApplicationState.PROVISIONAL: 2}


def register() -> None:
    """From CampaignsConfig.ready()."""
    register_mover(Mover("campaigns", lock, move, undo, counts, refuses))


def lock(lead_ids: Sequence[int]) -> None:
    """Seats may be given back: the campaigns first, then the leads (docs/architecture.md)."""
    campaigns = Campaign.objects.filter(applications__lead_id__in=lead_ids).order_by().values("pk")
    list(
        Campaign.objects.select_for_update(no_key=True)
        .filter(pk__in=campaigns)
        .order_by("pk")
        .values_list("pk")
    )


def move(survivor_id: int, merged_ids: Sequence[int], now: datetime) -> dict[str, Any]:
    everyone = [survivor_id, *merged_ids]
    live = Application.objects.filter(lead_id__in=everyone).exclude(state=ApplicationState.CANCELLED)
    by_campaign: dict[int, list[Application]] = {}
    for application in live.select_for_update().order_by("pk"):
        by_campaign.setdefault(application.campaign_id, []).append(application)
    cancelled: dict[str, str] = {}
    for applications in by_campaign.values():
        applications.sort(
            key=lambda one: (one.attended_at is None, _BEST[ApplicationState(one.state)], one.pk)
        )
        for extra in applications[1:]:
            cancelled[str(extra.pk)] = extra.state
    Application.objects.filter(pk__in=cancelled).update(
        state=ApplicationState.CANCELLED, cancelled_at=now, cancelled_by=CancelledBy.MERGED
    )
    rows = dict(Application.objects.filter(lead_id__in=merged_ids).values_list("pk", "lead_id"))
    Application.objects.filter(pk__in=rows).update(lead_id=survivor_id)
    freed = Campaign.objects.filter(applications__in=list(cancelled)).distinct().order_by("pk")
    for campaign in freed:
        move_up(campaign, now=now)
    changes = dict(AddressChange.objects.filter(lead_id__in=merged_ids).values_list("pk", "lead_id"))
    # A link to confirm a new address, still open, was asked for by a lead that is no more.
    AddressChange.objects.filter(pk__in=changes, confirmed_at=None).delete()
    AddressChange.objects.filter(pk__in=changes).update(lead_id=survivor_id)
    MyPageAccount.objects.filter(lead_id__in=merged_ids).update(version=F("version") + 1)
    return {"applications": by_lead(rows), "cancelled": cancelled, "address_changes": by_lead(changes)}


def undo(moved: Mapping[str, Any], now: datetime) -> None:
    """A cancelled one comes back; if its seat has gone to somebody else meanwhile, to the end of the waiting list."""
    for lead_id, applications in moved["applications"].items():
        Application.objects.filter(pk__in=applications).update(lead_id=int(lead_id))
    returning = {int(pk): state for pk, state in moved["cancelled"].items()}
    for application in (
        Application.objects.select_for_update(of=("self",))
        .select_related("campaign")
        .filter(pk__in=returning, cancelled_by=CancelledBy.MERGED)
        .order_by("pk")
    ):
        if _live_again(application):
            continue
        state = returning[application.pk]
        if state == ApplicationState.APPLIED and not _seat_left(application):
            state = ApplicationState.WAITING
            application.waiting_since = now
        application.state, application.cancelled_at, application.cancelled_by = state, None, ""
        application.save(update_fields=["state", "cancelled_at", "cancelled_by", "waiting_since"])
    for lead_id, changes in moved["address_changes"].items():
        AddressChange.objects.filter(pk__in=changes).update(lead_id=int(lead_id))


def counts(lead_ids: Sequence[int]) -> dict[int, list[str]]:
    found = (
        Application.objects.filter(lead_id__in=lead_ids)
        .order_by()
        .values_list("lead_id")
        .annotate(count=Count("pk"))
    )
    return {
        lead_id: [ngettext("%(count)s application", "%(count)s applications", count) % {"count": count}]
        for lead_id, count in found
    }


def refuses(lead_ids: Sequence[int], user: User) -> str | None:
    """SYS-1: a campaign administrator merges only people who belong to their campaigns alone."""
    if not user.only_own_campaigns:
        return None
    elsewhere = Application.objects.filter(lead_id__in=lead_ids).exclude(campaign__in=campaigns_of(user))
    if elsewhere.exists():
        return _(
            "One of these people also applied for a campaign that is not yours. Ask a privileged administrator to merge them."
        )
    return None


def _seat_left(application: Application) -> bool:
    """In the campaign, and in each of its sessions."""
    if seats_of([application.campaign])[application.campaign_id].full:
        return False
    return not any(one.full for one in session_seats(list(application.sessions.all())).values())


def _live_again(application: Application) -> bool:
    """Meanwhile the lead it goes back to has applied anew."""
    live = Application.objects.filter(campaign_id=application.campaign_id, lead_id=application.lead_id)
    return live.exclude(state=ApplicationState.CANCELLED).exclude(pk=application.pk).exists()

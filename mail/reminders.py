"""APP-4: the reminder before a campaign begins, for those who have a seat. Called by the tick (mail/tasks.py).

When it is due is a day and a time in Japan, counted back from the day the campaign begins. After an outage each is still
reminded once, as long as it has not begun. Who got the seat after the reminders were due has just been written to anyway.
"""

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from campaigns.events import Event, Happening, announce
from campaigns.models import Application, ApplicationState, Campaign, CampaignState
from mail.automatic_kinds import REMINDER_OPTIONS
from mail.mail_kinds import in_force

MOST_DAYS = 30
_BATCH = 500
_BATCHES = 10  # a tick; the next one goes on
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def due_at(starts_at: datetime, options: Mapping[str, Any]) -> datetime:
    """When the reminders of a campaign go out."""
    days = options.get("days_before")
    if not isinstance(days, int) or not 0 <= days <= MOST_DAYS:
        days = REMINDER_OPTIONS["days_before"]
    at = _TIME.fullmatch(str(options.get("at"))) or _TIME.fullmatch(REMINDER_OPTIONS["at"])
    assert at is not None
    day = timezone.localtime(starts_at).date() - timedelta(days=days)
    return timezone.make_aware(datetime.combine(day, time(int(at[1]), int(at[2]))))


def remind(now: datetime) -> int:
    """Announces what is due, in batches; the number. With nothing to do it is two queries, with nothing coming up one."""
    due = due_campaigns(now)
    told = 0
    for _batch in range(_BATCHES if due else 0):
        some = _remind_some(due, now)
        told += some
        if some < _BATCH:
            break
    return told


def due_campaigns(now: datetime) -> dict[Campaign, datetime]:
    """Campaigns whose reminders are due, with since when; those whose reminder is OFF are left out."""
    coming = list(
        Campaign.objects.filter(
            state__in=[CampaignState.OPEN, CampaignState.CLOSED],
            starts_at__gt=now,
            starts_at__lt=now + timedelta(days=MOST_DAYS + 1),
        )
    )
    if not coming:
        return {}
    book = in_force([Event.REMINDER.value], [campaign.pk for campaign in coming])
    due = {}
    for campaign in coming:
        held = book[Event.REMINDER.value, campaign.pk]
        if not held.enabled or campaign.starts_at is None:
            continue
        since = due_at(campaign.starts_at, held.options)
        if since <= now:
            due[campaign] = since
    return due


def _remind_some(due: Mapping[Campaign, datetime], now: datetime) -> int:
    """One batch. Whoever else is at it, or a person who changes an application, has the row: it is left to the next tick."""
    which = Q()
    for campaign, since in due.items():
        which |= Q(campaign=campaign, applied_at__lt=since)
    by_id = {campaign.pk: campaign for campaign in due}
    with transaction.atomic():
        found = (
            Application.objects.filter(which, state=ApplicationState.APPLIED, reminded_at=None)
            .select_related("lead")
            .select_for_update(of=("self",), no_key=True, skip_locked=True)
            .order_by("pk")
        )
        applications = list(found[:_BATCH])
        Application.objects.filter(pk__in=[one.pk for one in applications]).update(reminded_at=now)
        announce(
            *(
                Happening(Event.REMINDER, one.lead, now, campaign=by_id[one.campaign_id], application=one)
                for one in applications
            )
        )
    return len(applications)

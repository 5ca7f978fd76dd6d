"""What the home page says about leads: how many, what came in this week, imports that wait for somebody."""

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from leads.models import Lead, LeadImport
from leads.scope import leads_in
from smp.lib.home import Card, QuickAction, register_card, register_quick_action
from smp.lib.mode import BOTH, campaign_of

WATCHED = (
    LeadImport.State.UPLOADED, LeadImport.State.CHECKING, LeadImport.State.CHECKED, LeadImport.State.COMMITTING,
)  # fmt: skip


def register() -> None:
    register_card(Card("leads", "leads/home_leads.html", leads_card, position=10, modes=BOTH))
    register_card(
        Card("imports", "leads/home_imports.html", imports_card, position=30, wide=True, modes=BOTH)
    )
    register_quick_action(QuickAction(_("Import leads"), "imports", position=10))
    register_quick_action(
        QuickAction(_("Search leads"), "compound_search", position=20, level="may_view", modes=BOTH)
    )


def week_start(now: datetime) -> datetime:
    """Monday 00:00 in Japan."""
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday())


def leads_card(request: HttpRequest, now: datetime) -> dict[str, Any]:
    monday = week_start(now)
    campaign_id = campaign_of(request)
    if campaign_id is not None:
        mine = leads_in(campaign_id)
        unsubscribed = mine.filter(unsubscribed_at__gte=monday).count()
        return {"total": mine.count(), "unsubscribed": unsubscribed, "monday": monday}
    existing = Lead.objects.existing()
    # Each from an index; together, or without the deleted ones at once, it would read the whole table.
    return {
        "total": Lead.objects.count() - Lead.objects.filter(deleted_at__isnull=False).count(),
        "new": existing.filter(created_at__gte=monday).count(),
        "unsubscribed": existing.filter(unsubscribed_at__gte=monday).count(),
        "monday": monday,
    }


def imports_card(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """Imports on their way; a checked one waits for a click."""
    found = list(
        LeadImport.objects.filter(campaign_id=campaign_of(request), state__in=WATCHED).order_by("-pk")[:5]
    )
    return {"imports": found} if found else None

"""The home page: the campaigns that run now and next; inside a campaign its numbers (APP-1)."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.access import campaigns_of
from campaigns.campaign_list import current_campaigns, lines
from smp.lib.home import Card, QuickAction, register_card, register_quick_action
from smp.lib.mode import ORANGE, campaign_of


def register() -> None:
    register_card(
        Card(
            "campaigns", "campaigns/home_campaigns.html", campaigns_card, position=5, wide=True, everyone=True
        )
    )
    register_card(
        Card("campaign", "campaigns/home_campaign.html", campaign_card, position=5, wide=True, modes=ORANGE)
    )
    register_quick_action(QuickAction(_("To the overview of the campaign"), "campaign", position=5, level="may_view", modes=ORANGE))  # fmt: skip


def campaigns_card(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """キャンペーン管理者 have nothing else here, so they are told when they have none; the others need no empty card."""
    found = current_campaigns(campaigns_of(request.user), now=now)
    if not found and not getattr(request.user, "only_own_campaigns", False):
        return None
    return {"lines": lines(found, now=now)}


def campaign_card(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    campaign = campaigns_of(request.user).filter(pk=campaign_of(request) or 0).first()
    return {"line": lines([campaign], now=now)[0]} if campaign else None

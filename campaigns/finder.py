"""NAV-3: campaigns by name, address or ID, in both modes; of own campaigns only (SYS-1)."""

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext_lazy as _

from campaigns.access import campaigns_of
from campaigns.campaign_list import in_order, words_in_campaign
from settings.models import User
from smp.lib.finder import LIMIT, Finder, Result, register_finder
from smp.lib.mode import BOTH, url_in


def register() -> None:
    register_finder(
        Finder("campaigns", _("Campaigns (seminars)"), find_campaigns, position=25, modes=BOTH, everyone=True)
    )


def find_campaigns(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    assert isinstance(user, User | AnonymousUser)
    found = in_order(words_in_campaign(campaigns_of(user), text), "")[:LIMIT]
    return [
        Result(
            campaign.name,
            url_in(campaign.pk, "campaign"),
            f"#{campaign.pk} · {campaign.get_state_display()} · {campaign.slug}",
        )
        for campaign in found
    ]

"""Where a campaign is held, as lines of text. The online URL is for those who applied only, and never among them."""

from django.utils.translation import gettext as _

from campaigns.models import Campaign


def place_lines(campaign: Campaign) -> list[str]:
    lines: list[str] = []
    if campaign.at_venue:
        lines += [line for line in (campaign.venue_name, campaign.venue_address) if line]
    if campaign.online:
        lines.append(_("Online"))
    return lines

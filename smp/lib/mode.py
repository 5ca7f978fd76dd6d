"""Which mode a request is in (APP-1): all campaigns (blue), or one campaign (orange), whose pages have the same addresses
behind /c/<id>/. campaigns/mode.py sets the script prefix, so `{% url %}` and `reverse` stay in the mode by themselves."""

import re

from django.http import HttpRequest
from django.urls import get_script_prefix, reverse

ALL, CAMPAIGN = "all", "campaign"
BLUE = frozenset({ALL})
ORANGE = frozenset({CAMPAIGN})
BOTH = frozenset({ALL, CAMPAIGN})

_IN_CAMPAIGN = re.compile(r"^(.*/)c/\d+/$")


def campaign_of(request: HttpRequest) -> int | None:
    """The id of the campaign the request is in; None in the all-campaign mode."""
    return getattr(request, "campaign_id", None)


def mode_of(request: HttpRequest) -> str:
    return ALL if campaign_of(request) is None else CAMPAIGN


def url_in(campaign_id: int | None, name: str, *args: object, **kwargs: object) -> str:
    """The path of a page in another mode than the present one: of one campaign, or (None) blue and public pages."""
    prefix = get_script_prefix()
    path = reverse(name, args=args or None, kwargs=kwargs or None)
    inside = _IN_CAMPAIGN.match(prefix)
    root = inside.group(1) if inside else prefix
    rest = path.removeprefix(prefix)
    return f"{root}{rest}" if campaign_id is None else f"{root}c/{campaign_id}/{rest}"

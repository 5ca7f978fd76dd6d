"""NAV-1, APP-1: the orange mode. /c/<id>/leads/ is the page /leads/ inside one campaign.

Safe by default: a view that does not say that it knows this mode (@both_modes, @campaign_mode) is not found in it, and a
campaign administrator (SYS-1) opens nothing in the all-campaign mode but what is for everybody.
"""

import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import get_script_prefix, set_script_prefix
from django.utils.translation import gettext as _

from campaigns.access import campaigns_of
from settings.models import Role
from smp.lib.mode import BLUE, mode_of

_PATH = re.compile(r"^/c/([1-9][0-9]{0,17})(/.*)$", re.DOTALL)


class CampaignMode:
    """Sets request.campaign and request.campaign_id, and leaves the path that is the same in both modes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.campaign = request.campaign_id = None  # type: ignore[attr-defined]
        found = _PATH.match(request.path_info)
        if found is None:
            return self.get_response(request)
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        campaign = campaigns_of(request.user).filter(pk=int(found.group(1))).first()
        if campaign is None:
            # The same answer for a campaign of others and one that does not exist.
            raise PermissionDenied(_("There is no such campaign, or it is not one of yours."))
        request.campaign, request.campaign_id = campaign, campaign.pk  # type: ignore[attr-defined]
        before = get_script_prefix()
        request.path_info = found.group(2)
        set_script_prefix(f"{before.rstrip('/')}/c/{campaign.pk}/")
        try:
            return self.get_response(request)
        finally:
            set_script_prefix(before)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        mode = mode_of(request)
        if mode not in getattr(view, "modes", BLUE):
            raise Http404(_("There is no such page in this mode."))
        everyone = getattr(view, "everyone", False) or getattr(view, "needs_level", "") == "public"
        if (
            request.user.is_authenticated
            and request.user.role == Role.CAMPAIGN
            and mode == "all"
            and not everyone
        ):
            raise PermissionDenied(_("Open one of your campaigns first: this page belongs to all campaigns."))
        return None

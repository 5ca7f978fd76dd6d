"""管理キャンペーン一覧 (blue), and 概要 (orange): the campaign's dashboard."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.access import campaigns_of
from campaigns.campaign_list import applications_by_day, in_order, lines
from campaigns.campaigns import MOVES, overbooked, refusals
from campaigns.filters import CampaignFilter
from campaigns.models import Campaign, CampaignState
from campaigns.overview import chart, next_steps
from campaigns.qr_drawing import qr_svg
from campaigns.seats import seats
from settings.permissions import campaign_mode, needs_login, needs_view
from settings.system_settings import rows_per_page
from smp.lib.mode import url_in


@needs_login
def campaigns(request: HttpRequest) -> HttpResponse:
    """SYS-1: キャンペーン管理者 see their own."""
    found = CampaignFilter(request.GET, campaigns_of(request.user))
    rows = in_order(found.qs, request.GET.get("sort", ""))
    page = Paginator(rows, rows_per_page()).get_page(request.GET.get("page"))
    context = {
        "page_obj": page,
        "lines": lines(list(page.object_list), now=timezone.now()),
        "form": found.form,
    }
    return render(request, "campaigns/campaigns.html", context)


@needs_login
def campaign_entry(request: HttpRequest, pk: int) -> HttpResponse:
    """From lists of the all-campaign mode (操作履歴) into the campaign."""
    campaign = get_object_or_404(campaigns_of(request.user), pk=pk)
    return redirect(url_in(campaign.pk, "campaign"))


@campaign_mode
@needs_view
def campaign(request: HttpRequest) -> HttpResponse:
    campaign, now = request.campaign, timezone.now()
    line = lines([campaign], now=now)[0]
    days = applications_by_day(campaign, now=now)
    public_path = url_in(None, "campaign_page", campaign.slug)
    public_url = request.build_absolute_uri(public_path)
    context = {
        "campaign": campaign,
        "line": line,
        "numbers": line.numbers,
        "over": overbooked(campaign.capacity, seats(campaign)),
        "days": list(reversed(days)),
        "new": sum(day.count for day in days),
        "chart": chart(days),
        "steps": next_steps(campaign, now=now),
        "public_path": public_path,
        "public_url": public_url,
        "qr": qr_svg(public_url),
        "moves": moves_of(campaign),
        "members": campaign.members.order_by("name"),
    }
    return render(request, "campaigns/campaign.html", context)


def moves_of(campaign: Campaign) -> list[dict[str, object]]:
    """The buttons of 状態変更, with what stands in the way of each."""
    words = {
        CampaignState.OPEN: _("Reopen applications")
        if campaign.state == CampaignState.CLOSED
        else _("Publish"),
        CampaignState.CLOSED: _("Put back from the archive")
        if campaign.state == CampaignState.ARCHIVED
        else _("Close applications"),
        CampaignState.DRAFT: _("Back to preparation"),
        CampaignState.ARCHIVED: _("Archive"),
    }
    meanings = {
        CampaignState.OPEN: _("The page is public, and people can apply."),
        CampaignState.CLOSED: _("The page stays public; nobody can apply any more."),
        CampaignState.DRAFT: _("The page is hidden again."),
        CampaignState.ARCHIVED: _("The campaign leaves the list; everything is kept."),
    }
    now = timezone.now()
    return [
        {
            "state": state,
            "label": words[CampaignState(state)],
            "meaning": meanings[CampaignState(state)],
            "reasons": refusals(campaign, state, now=now),
            "url": reverse("campaign_state"),
        }
        for state in MOVES[campaign.state]
    ]

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from campaigns.access import campaigns_of
from settings.permissions import campaign_mode, needs_login, needs_view


@needs_login
def campaigns(request: HttpRequest) -> HttpResponse:
    return render(request, "campaigns/campaigns.html", {"campaigns": campaigns_of(request.user)})


@campaign_mode
@needs_view
def campaign(request: HttpRequest) -> HttpResponse:
    return render(request, "campaigns/campaign.html", {"campaign": request.campaign})

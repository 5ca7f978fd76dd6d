"""The キャンペーン(セミナー) tab: /campaigns/ in the all-campaign mode, /c/<id>/campaigns/… inside one (campaigns/mode.py)."""

from django.urls import path

from campaigns.views import campaigns

urlpatterns = [
    path("", campaigns.campaigns, name="campaigns"),
    path("overview/", campaigns.campaign, name="campaign"),
]

"""The キャンペーン(セミナー) tab: /campaigns/ in the all-campaign mode, /c/<id>/campaigns/… inside one (campaigns/mode.py)."""

from django.urls import path

from campaigns.views import campaigns, ticket_views

urlpatterns = [
    path("", campaigns.campaigns, name="campaigns"),
    path("overview/", campaigns.campaign, name="campaign"),
    path("applications/<int:pk>/ticket/", ticket_views.ticket_preview, name="ticket_preview"),
    path("applications/<int:pk>/ticket/send/", ticket_views.ticket_send, name="ticket_send"),
]

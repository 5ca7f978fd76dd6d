"""Pages for attendees, without a login. Addresses that stand in mails are never changed."""

from django.urls import URLPattern, path

from campaigns import public_ticket_views, public_views

urlpatterns: list[URLPattern] = [
    path("e/confirm/<str:token>", public_views.confirm_application, name="confirm_application"),
    path("e/<slug:slug>/", public_views.campaign_page, name="campaign_page"),
    path("e/<slug:slug>/apply/", public_views.apply_page, name="apply_page"),
    path("e/<slug:slug>/applied/", public_views.applied_page, name="applied_page"),
    path("t/<str:token>", public_ticket_views.ticket, name="ticket"),  # campaigns/tickets.py
    path("t/<str:token>/sent", public_ticket_views.ticket_sent, name="ticket_sent"),
    path("t/<str:token>/calendar.ics", public_ticket_views.ticket_calendar, name="ticket_calendar"),
]

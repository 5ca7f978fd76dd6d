"""Pages for attendees, without a login. Addresses that stand in mails are never changed."""

from django.urls import URLPattern, path

from campaigns import public_ticket_views

urlpatterns: list[URLPattern] = [
    path("t/<str:token>", public_ticket_views.ticket, name="ticket"),  # campaigns/tickets.py
    path("t/<str:token>/sent", public_ticket_views.ticket_sent, name="ticket_sent"),
    path("t/<str:token>/calendar.ics", public_ticket_views.ticket_calendar, name="ticket_calendar"),
]

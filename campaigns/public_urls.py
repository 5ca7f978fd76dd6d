"""Pages for attendees, without a login. Addresses that stand in mails are never changed."""

from django.urls import URLPattern, path

from campaigns import public_ticket_views, public_views
from campaigns.my_page import login_views, own_views, views

urlpatterns: list[URLPattern] = [
    path("e/confirm/<str:token>", public_views.confirm_application, name="confirm_application"),
    path("e/<slug:slug>/", public_views.campaign_page, name="campaign_page"),
    path("e/<slug:slug>/apply/", public_views.apply_page, name="apply_page"),
    path("e/<slug:slug>/applied/", public_views.applied_page, name="applied_page"),
    path("t/<str:token>", public_ticket_views.ticket, name="ticket"),  # campaigns/tickets.py
    path("t/<str:token>/sent", public_ticket_views.ticket_sent, name="ticket_sent"),
    path("t/<str:token>/calendar.ics", public_ticket_views.ticket_calendar, name="ticket_calendar"),
    path("my/", views.my_page, name="my_page"),
    path("my/login/", login_views.login, name="my_page_login"),
    path("my/login/sent/", login_views.link_sent, name="my_page_sent"),
    path("my/login/password/", login_views.password_login, name="my_page_password_login"),
    path("my/in/<str:token>", login_views.link, name="my_page_link"),  # campaigns/my_page/links.py
    path("my/password/forgotten/", login_views.forgotten_password, name="my_page_forgotten"),
    path("my/password/new/<str:token>", login_views.new_password, name="my_page_new_password"),
    path("my/logout/", login_views.logout, name="my_page_logout"),
    path("my/applications/<int:pk>/change/", views.change, name="my_page_change"),
    path("my/applications/<int:pk>/cancel/", views.cancel, name="my_page_cancel"),
    path("my/data/", own_views.profile, name="my_page_profile"),
    path("my/address/", own_views.address, name="my_page_address"),
    path("my/address/confirm/<str:token>", own_views.confirm_address, name="my_page_confirm_address"),
    path("my/password/", own_views.password, name="my_page_password"),
    path("my/mails/", own_views.mails, name="my_page_mails"),
    path("my/mails/stop/", own_views.stop_mails, name="my_page_stop_mails"),
    path("my/mails/again/", own_views.want_mails_again, name="my_page_want_mails"),
]

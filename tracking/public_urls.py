"""Addresses that stand in mails and customers' pages for ever: never change them."""

from django.urls import URLPattern, path

from tracking import script_views

urlpatterns: list[URLPattern] = [
    path("t.js", script_views.track_script, name="track_script"),
    path("w/", script_views.view_beacon, name="view_beacon"),
    path("m/<str:token>", script_views.my_page_from_mail, name="my_page_from_mail"),
]

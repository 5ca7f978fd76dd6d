"""Addresses that stand in mails and customers' pages for ever: never change them."""

from django.urls import URLPattern, path

from tracking import public_views, script_views

urlpatterns: list[URLPattern] = [
    path("l/<str:token>", public_views.click, name="click"),
    path("o/<str:token>.gif", public_views.opened, name="open"),
    path("t.js", script_views.track_script, name="track_script"),
    path("w/", script_views.view_beacon, name="view_beacon"),
    path("m/<str:token>", script_views.my_page_from_mail, name="my_page_from_mail"),
]

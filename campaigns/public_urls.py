"""Pages for attendees, without a login. Addresses that stand in mails are never changed."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

"""Mounted under /inbox/ by smp/urls.py when SMP_DEMO_INBOX is set."""

from django.urls import path

from smp.demo import views

urlpatterns = [
    path("", views.inbox, name="inbox"),
    path("<str:mail_id>/", views.inbox_mail, name="inbox_mail"),
    path("<str:mail_id>/html/", views.inbox_mail_html, name="inbox_mail_html"),
    path("<str:mail_id>/source/", views.inbox_mail_source, name="inbox_mail_source"),
    path("<str:mail_id>/one-click/", views.inbox_one_click, name="inbox_one_click"),
]

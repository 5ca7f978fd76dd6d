"""Addresses that stand in mails for ever (mail/links.py): never change them."""

from django.urls import path

from mail import public_views

urlpatterns = [
    path("u/<str:token>", public_views.opt_out, name="opt_out"),
    path("u1/<str:token>", public_views.one_click, name="one_click"),
]

"""Public addresses of magazines (mail/links.py). They stand in mails and on other sites for ever: never change them."""

from django.urls import URLPattern, path

from mail import magazine_opt_out_views, magazine_public_views

urlpatterns: list[URLPattern] = [
    path("ur/<str:token>", magazine_opt_out_views.reader_opt_out, name="reader_opt_out"),
    path("mm/c/<str:token>", magazine_public_views.prove, name="magazine_prove"),
    path("mm/<str:token>/", magazine_public_views.register, name="magazine_register"),
    path("mm/<str:token>/done/", magazine_public_views.registered, name="magazine_register_done"),
    path("mm/<str:token>/leave/", magazine_public_views.leave, name="magazine_leave"),
    path("mm/<str:token>/leave/done/", magazine_public_views.left, name="magazine_leave_done"),
    path("mm/<str:token>/style.css", magazine_public_views.style, name="magazine_style"),
]

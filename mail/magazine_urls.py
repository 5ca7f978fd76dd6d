"""The tab 「メールマガジン」. Addresses inside of one magazine carry its id as `magazine_id`, which draws its menu
(smp.lib.navigation.Page.within). One block of urlpatterns a module of mail/views/magazines/."""

from django.urls import URLPattern, path

from mail.views.magazines import magazines

urlpatterns: list[URLPattern] = [
    path("", magazines.magazines, name="magazines"),
]

"""Every URL of the product: each app brings its own."""

from django.conf import settings
from django.urls import include, path

from smp import health, home

urlpatterns = [
    path("", home.home, name="home"),
<<<<<<< HEAD
    path("health/", health.health, name="health"),
=======
    path("home/<slug:key>/", home.home_card, name="home_card"),
>>>>>>> 12b0e8c (smp: Home page of cards, one search box under old and new names (NAV-3), words of the audit log.)
    path("search/", home.search_everything, name="search_everything"),
    path("leads/", include("leads.urls")),
    path("mail/", include("mail.urls")),
    path("settings/", include("settings.urls")),
    path("", include("mail.public_urls")),
    path("", include("settings.account_urls")),
]

if settings.DEMO_INBOX_FOLDER:
    urlpatterns.append(path("inbox/", include("smp.demo.urls")))

handler400 = "smp.error_pages.bad_request"
handler403 = "smp.error_pages.forbidden"
handler404 = "smp.error_pages.not_found"
handler500 = "smp.error_pages.server_error"

"""Every URL of the product: each app brings its own."""

from django.conf import settings
from django.urls import include, path

from smp import api, health, home

urlpatterns = [
    path("", home.home, name="home"),
    path("health/", health.health, name="health"),
    path("home/<slug:key>/", home.home_card, name="home_card"),
    path("search/", home.search_everything, name="search_everything"),
    path("campaigns/", include("campaigns.urls")),
    path("api/v1/", api.urls),
    api.rest,
    path("leads/", include("leads.urls")),
    path("mail/", include("mail.urls")),
    path("mail/", include("tracking.mail_urls")),
    path("magazines/", include("mail.magazine_urls")),
    path("tracking/", include("tracking.urls")),
    path("settings/", include("settings.urls")),
    path("", include("campaigns.public_urls")),
    path("", include("mail.public_urls")),
    path("", include("mail.magazine_public_urls")),
    path("", include("tracking.public_urls")),
    path("", include("settings.account_urls")),
]

if settings.DEMO_INBOX_FOLDER:
    urlpatterns.append(path("inbox/", include("smp.demo.urls")))
    urlpatterns.append(path("demo-site/", include("smp.demo.site_urls")))

handler400 = "smp.error_pages.bad_request"
handler403 = "smp.error_pages.forbidden"
handler404 = "smp.error_pages.not_found"
handler500 = "smp.error_pages.server_error"

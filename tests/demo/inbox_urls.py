"""The product's URLs with the demo inbox, which is mounted only when SMP_DEMO_INBOX is set."""

from django.urls import include, path

from smp.urls import handler400, handler403, handler404, handler500  # noqa: F401
from smp.urls import urlpatterns as product

urlpatterns = [
    *product,
    path("inbox/", include("smp.demo.urls")),
    path("demo-site/", include("smp.demo.site_urls")),
]

"""Mounted under /demo-site/ by smp/urls.py, together with the inbox."""

from django.urls import path

from smp.demo import site

urlpatterns = [
    path("", site.page, name="demo_site"),
    path("<slug:name>/", site.page, name="demo_site_page"),
]

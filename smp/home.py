"""The first page after the login, and the search box (NAV-3)."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from settings.permissions import needs_view


@needs_view
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html")


@needs_view
def search_everything(request: HttpRequest) -> HttpResponse:
    return render(request, "search.html")

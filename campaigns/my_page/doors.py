"""Who may open a page of my page: for the pages before the login everybody, for the others the lead that is logged in."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from campaigns.attendee_pages import attendee_page
from campaigns.my_page.session import lead_of


def open_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For everybody; no search engine keeps it."""

    @wraps(view)
    def unlisted(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response

    return attendee_page(unlisted)


def own_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """view(request, lead, …): the lead that is logged in. Nobody logged in is asked to log in."""

    @wraps(view)
    def of_lead(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        lead = lead_of(request)
        return view(request, lead, *args, **kwargs) if lead else redirect("my_page_login")

    return open_page(of_lead)

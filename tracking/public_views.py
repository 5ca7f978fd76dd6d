"""What tracking/door.py lets pass: addresses that look like ours and are not, and other methods."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from settings.permissions import public
from tracking import door


@public
@never_cache
@require_safe
def click(request: HttpRequest, token: str) -> HttpResponse:
    return door.click(request) or _no_such_link(request)


@public
@never_cache
@require_safe
def opened(request: HttpRequest, token: str) -> HttpResponse:
    return door.opened(request) or _no_such_link(request)


def _no_such_link(request: HttpRequest) -> HttpResponse:
    """The same for altered and unknown ones."""
    return render(request, "public/no_such_link.html", status=404)

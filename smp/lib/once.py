"""A button pressed twice: the same form, as it was rendered once, makes one new thing and not two.

For views that make something that has no name or state of its own to tell the second try by (a lead, a copy, a test
mail). Django draws a new CSRF mask for each rendered page, so the same mask with the same values is the same page sent
again; whoever goes back and changes a value, or opens the form anew, is served as usual.
"""

import hashlib
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from redis.exceptions import RedisError

MEMORY = 20  # seconds
PATIENCE = 15.0
_BUSY = "busy"


def once(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The second of two equal POSTs waits for the first and is led where that one was. A first one that redirected
    nowhere (a mistake in the form) leaves the way free. Without the cache every POST is the first."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        key = _key(request)
        if key is None or _remember_first(key):
            return _first(view, key, request, *args, **kwargs)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = _recall(key)
            if answer is None:
                return view(request, *args, **kwargs)
            if answer != _BUSY:
                return HttpResponseRedirect(answer)
            time.sleep(0.05)
        return view(request, *args, **kwargs)

    return guarded


def _first(
    view: Callable[..., HttpResponse], key: str | None, request: HttpRequest, *args: Any, **kwargs: Any
) -> HttpResponse:
    location = ""
    try:
        response = view(request, *args, **kwargs)
        location = response.headers.get("Location", "")
        return response
    finally:
        if key is not None:
            _settle(key, location)


def _key(request: HttpRequest) -> str | None:
    if request.method != "POST" or not request.POST.get("csrfmiddlewaretoken"):
        return None
    said = [request.path, str(request.user.pk), request.COOKIES.get("sessionid", "")]
    said += [repr(item) for item in sorted(request.POST.lists())]
    files: Any = request.FILES
    said += [repr((name, files[name].name, files[name].size)) for name in sorted(files)]
    return "once:" + hashlib.sha256("\n".join(said).encode("utf-8", "surrogatepass")).hexdigest()


def _remember_first(key: str) -> bool:
    try:
        return bool(cache.add(key, _BUSY, timeout=MEMORY))
    except (RedisError, OSError):
        return True


def _recall(key: str) -> str | None:
    try:
        answer: str | None = cache.get(key)
    except (RedisError, OSError):
        return None
    return answer


def _settle(key: str, location: str) -> None:
    try:
        if location:
            cache.set(key, location, timeout=MEMORY)
        else:
            cache.delete(key)
    except (RedisError, OSError):
        return

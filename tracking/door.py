"""Links and pixels of mails, answered before sessions, the language or a login are asked for (DESIGN: 1,000 hits/s per core).

A counted link leads to the URL stored for it and nowhere else (TRK-6): one redirect, no cookie, nothing remembered by
anybody on the way. The hit is safe before the answer goes out (tracking/spool.py). Whatever is not ours passes untouched:
tokens that were not made here get the product's ordinary 404 page, and nothing is kept of them.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mail.click_target import target
from mail.links import CLICK_PATH, NOBODY, OPEN_PATH, read_click, read_open
from smp.lib.security_headers import POLICY
from tracking import beacon, hits, known_visitors, script, spool
from tracking.click_pass import with_pass
from tracking.sites import SCRIPT_PATH

logger = logging.getLogger(__name__)

# A transparent image of one pixel, the smallest GIF that every mail program draws (43 bytes).
PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
# Each answer is a hit: no cache may give it, and no search engine may show it.
_HEADERS = {
    "Cache-Control": "no-store, private",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": POLICY,
}
BEACON_PATH = "/w/"  # tracking/public_urls.py
_LONGEST = 300  # characters of a path that can be ours

Answer = Callable[[HttpRequest], HttpResponse | None]


class TargetHook(Protocol):
    def __call__(self, target: str, delivery_id: int, *, at: datetime) -> str: ...


# What is done to a target before somebody is led there: on pages with our script the browser becomes known (WEB-1).
TARGET_HOOKS: list[TargetHook] = [with_pass]


class Door:
    """The first middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = DOORS.get(request.path_info[:3])
        response = answer(request) if answer is not None else None
        return self.get_response(request) if response is None else response


def click(request: HttpRequest) -> HttpResponse | None:
    """The redirect of a counted link; None when the token was not made here, or for another method."""
    token = _token(request, CLICK_PATH)
    link = read_click(token) if token else None
    if link is None:
        return None
    try:
        url = target(link.delivery_id, link.url_id)
    except (DatabaseError, InterfaceError):  # the second: a connection that was cut
        logger.exception("the target of a counted link cannot be read")
        return _later()
    if url is None:
        return None
    now = timezone.now()
    if link.delivery_id != NOBODY:  # the link of a test mail only leads on
        url = _through_hooks(url, link.delivery_id, now)
        _keep(request, hits.CLICK, now, delivery_id=link.delivery_id, url_id=link.url_id)
        known_visitors.clicked(request, link.delivery_id, now)
    # no-referrer: neither the mail's nor our address is told to the target.
    return HttpResponse(
        status=302,
        headers=_HEADERS | {"Location": url, "Referrer-Policy": "no-referrer", "Content-Length": "0"},
    )


def opened(request: HttpRequest) -> HttpResponse | None:
    """The pixel; None as for `click`."""
    token = _token(request, OPEN_PATH)
    delivery_id = read_open(token) if token else None
    if delivery_id is None:
        return None
    if delivery_id != NOBODY:
        _keep(request, hits.OPEN, timezone.now(), delivery_id=delivery_id)
    body = b"" if request.method == "HEAD" else PIXEL
    headers = _HEADERS | {"Content-Length": str(len(PIXEL))}
    return HttpResponse(body, content_type="image/gif", headers=headers)


def viewed(request: HttpRequest) -> HttpResponse | None:
    """The script's beacon."""
    return beacon.take_view(request, timezone.now()) if request.path_info == BEACON_PATH else None


def tag(request: HttpRequest) -> HttpResponse | None:
    """The script of customers' pages."""
    return script.script(request) if request.path_info == SCRIPT_PATH else None


# What is answered here, by the first three characters of the path.
DOORS: dict[str, Answer] = {CLICK_PATH: click, OPEN_PATH: opened, BEACON_PATH: viewed, SCRIPT_PATH[:3]: tag}


def _token(request: HttpRequest, path: str) -> str:
    """ "" when it cannot be one of ours."""
    if request.method not in ("GET", "HEAD") or len(request.path_info) > _LONGEST:
        return ""
    return request.path_info.removeprefix(path)


def _keep(request: HttpRequest, kind: str, now: datetime, **ids: int) -> None:
    """A person must arrive: a hit that nobody takes is logged and counted by the spool, and answered."""
    try:
        spool.keep(hits.hit_of(request, kind, now=now, **ids))
    except spool.NotKept as error:
        logger.error("%s of mail %s: %s", kind, ids["delivery_id"], error)


def _through_hooks(url: str, delivery_id: int, now: datetime) -> str:
    for hook in TARGET_HOOKS:
        try:
            url = hook(url, delivery_id, at=now)
        except Exception:  # it only adds something; the person must arrive
            logger.exception("a target goes out as it is stored")
    return url


def _later() -> HttpResponse:
    """The database is away and this target is not remembered. Without templates, whose filters may ask it."""
    return HttpResponse(
        "ただいまご利用いただけません。しばらくしてから、もう一度リンクを開いてください。\n"
        "This is not available right now. Please open the link again in a moment.\n",
        content_type="text/plain; charset=utf-8",
        status=503,
        headers=_HEADERS | {"Retry-After": "30"},
    )

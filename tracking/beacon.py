"""What the script says of a view: POST /w/, text/plain, at most 4 KB (WEB-1). The answer is always 204 and says nothing;
what does not come from a page of the key's site is not kept.

    {"k": key of the site, "v": anonymous id, "u": URL, "t": title, "r": referrer, "p": a click's pass}
"""

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from smp.lib.client_ip import client_ip, neighbourhood
from smp.lib.rate_limit import too_many
from tracking import spool
from tracking.click_pass import CLICK, read_pass
from tracking.hits import IDENTIFY, VIEW, hit_of
from tracking.models import IdentifiedBy
from tracking.page_urls import REFERRER_MAX, TITLE_MAX, clean_text, clean_url, host_of
from tracking.sites import own_host, site_of
from tracking.visitor_cookie import read_visitor

BODY_MAX = 4096  # bytes
VIEWS_A_MINUTE = 600  # of one address: a big office behind one


def take_view(request: HttpRequest, now: datetime) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    said = _read(request)
    if said is not None:
        with suppress(spool.NotKept):  # it is logged there
            _keep(request, said, now)
    response = HttpResponse(status=204)
    response.headers["Access-Control-Allow-Origin"] = (
        "*"  # it answers nothing; browsers log an error without it
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _read(request: HttpRequest) -> dict[str, str] | None:
    """None for what is not the script's. Values that are no text are left out."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() or not 0 < int(length) <= BODY_MAX:
        return None
    try:
        said: Any = json.loads(request.read(BODY_MAX))
    except (ValueError, RecursionError, OSError):  # OSError: the browser went away
        return None
    if not isinstance(said, dict):
        return None
    return {name: value for name, value in said.items() if isinstance(value, str)}


def _keep(request: HttpRequest, said: dict[str, str], now: datetime) -> None:
    host = host_of(request.META.get("HTTP_ORIGIN", ""))
    site = site_of(host, said.get("k", ""))
    visitor = read_visitor(said.get("v", ""))
    url = clean_url(said.get("u", ""))
    if site is None or visitor is None or host_of(url) != host:
        return
    if too_many("view", neighbourhood(client_ip(request)), limit=VIEWS_A_MINUTE, seconds=60):
        return
    referrer = clean_url(said.get("r", ""), REFERRER_MAX)
    if host_of(referrer) == own_host():
        referrer = ""  # our own addresses hold people's links
    view = hit_of(
        request, VIEW, now=now, site=site.key, visitor=visitor.hex, url=url, referrer=referrer,
        title=clean_text(said.get("t", ""), TITLE_MAX),
    )  # fmt: skip
    spool.keep(view)
    given = read_pass(said.get("p", ""), now=now)
    if given is None:
        return
    ids = {"visitor": visitor.hex, "at": given.at.timestamp(), "once": given.once}
    if given.kind == CLICK:
        ids |= {"how": IdentifiedBy.CLICK.value, "delivery": given.number}
    else:
        ids |= {"how": IdentifiedBy.MY_PAGE_URL.value, "lead": given.number}
    spool.keep(hit_of(request, IDENTIFY, now=now, **ids))

"""The anonymous id of a browser: cookie `smp_v`, written by smp/static/smp/track.js only, 32 hexadecimal digits.

On our own host the ids that sites handed over stand beside our own, joined by dots: what is proved here (WEB-1) holds for
each of them. A browser may send two cookies of the name, its host's and its domain's.
"""

import re
import uuid

from django.http import HttpRequest

COOKIE = "smp_v"
MOST = 4  # ids of one browser
_COOKIES = re.compile(r"(?:^|;)\s*smp_v=([^;\s]{32,200})(?=\s*(?:;|$))")


def visitors_of(request: HttpRequest) -> list[uuid.UUID]:
    """The anonymous ids of the browser, none if it has none."""
    found: dict[uuid.UUID, None] = {}
    for value in _COOKIES.findall(request.META.get("HTTP_COOKIE", "")[:8000]):
        for one in value.split("."):
            if visitor := read_visitor(one):
                found[visitor] = None
    return list(found)[:MOST]


def read_visitor(text: str) -> uuid.UUID | None:
    """An id as the script writes it."""
    return uuid.UUID(text) if re.fullmatch(r"[0-9a-f]{32}", text) else None

"""WEB-1: campaigns' public pages and links of mails say who a browser's visitor is; it is kept like a hit and stored later, so
nobody waits for it. Without the cookie of the script there is nothing to say."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from campaigns.events import known
from tracking import spool
from tracking.hits import IDENTIFY, hit_of
from tracking.models import IdentifiedBy
from tracking.visitor_cookie import visitors_of


def connect() -> None:
    """From AppConfig.ready()."""
    known.connect(_became_known, dispatch_uid="tracking.known_visitors")


def _became_known(*, request: HttpRequest, lead_id: int, how: str, at: datetime, **_signal: Any) -> None:
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return  # staff who try a form out, or help somebody: their browser is not the lead's
    keep_identity(request, how=how, now=at, lead=lead_id)


def clicked(request: HttpRequest, delivery_id: int, now: datetime) -> None:
    """A counted link of this mail was followed by a browser that has an id on our own host. Sessions are not asked here: who
    brings the cookie of one is staff, trying a mail's links out."""
    if settings.SESSION_COOKIE_NAME in request.COOKIES:
        return
    keep_identity(request, how=IdentifiedBy.CLICK, now=now, delivery=delivery_id)


def keep_identity(request: HttpRequest, *, how: str, now: datetime, **ids: int) -> bool:
    """`ids`: lead or delivery. False when the browser has no id."""
    visitors = visitors_of(request)
    for visitor in visitors:
        try:
            spool.keep(hit_of(request, IDENTIFY, now=now, visitor=visitor.hex, how=str(how), **ids))
        except spool.NotKept:
            break  # it is logged there, and whoever asks is answered all the same
    return bool(visitors)

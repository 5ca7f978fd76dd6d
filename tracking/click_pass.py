"""The pass of a click (WEB-1): `smp_p=…` in the address that a counted link leads to, if the script runs there. The script takes
it out of the address bar and sends it along with the view, so the browser becomes known.

It names the mail, is signed, lives ten minutes and is used by one browser (`once`): an address that is passed on later
identifies nobody.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

from django.core import signing

from tracking.page_urls import host_of
from tracking.sites import leads_to_tracked_site

PARAMETER = "smp_p"
VALID_FOR = timedelta(minutes=10)
CLICK, MY_PAGE = "c", "m"
_SIGNER = signing.Signer(salt="tracking.click_pass")


@dataclass(frozen=True)
class Pass:
    kind: str  # CLICK or MY_PAGE
    number: int  # the delivery's id (CLICK), the lead's (MY_PAGE)
    at: datetime  # of the click
    once: str


def new_pass(kind: str, number: int, *, at: datetime) -> str:
    return _SIGNER.sign(f"{kind}-{number}-{int(at.timestamp())}-{secrets.token_hex(8)}")


def read_pass(text: str, *, now: datetime) -> Pass | None:
    """None when it was not made here, or more than ten minutes ago."""
    if not text or len(text) > 200:
        return None
    try:
        kind, number, at, once = _SIGNER.unsign(text).split("-")
    except (signing.BadSignature, ValueError):
        return None
    clicked = datetime.fromtimestamp(int(at), UTC)
    # A second more: the time was cut to whole seconds, and another process's clock may be a little ahead.
    if not timedelta(seconds=-5) <= now - clicked <= VALID_FOR + timedelta(seconds=1):
        return None
    return Pass(kind, int(number), clicked, once)


def with_pass(target: str, delivery_id: int, *, at: datetime) -> str:
    """Where the click leads: the target, with a pass if it is a page of a tracked site. What the target says stays as it is."""
    if not leads_to_tracked_site(host_of(target)):
        return target
    parts = urlsplit(target)
    given = f"{PARAMETER}={new_pass(CLICK, delivery_id, at=at)}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{given}" if parts.query else given))

"""Addresses and links in mails, and how they are read back. All are HMACs of ids (smp.lib.signing): nothing is
stored, no link can be guessed or altered, and none expires (OPT-1).

Id 0 stands for "nobody": links of test mails carry it, so that trying one out never unsubscribes a real lead.
"""

import re
from typing import NamedTuple

from django.conf import settings

from campaigns.confirm_links import CONFIRM_PATH
from campaigns.my_page.links import ADDRESS_PATH, LOGIN_PATH, PASSWORD_PATH
from campaigns.tickets import TICKET_PATH
from smp.lib.signing import read_id, read_pair, sign_id, sign_pair

NOBODY = 0
OPT_OUT_PATH = "/u/"  # mail/public_urls.py: "u/<token>", URL name opt_out
ONE_CLICK_PATH = "/u1/"  # "u1/<token>", URL name one_click
# Answered by tracking/, above mail/.
CLICK_PATH = "/l/"  # "l/<token>"
OPEN_PATH = "/o/"  # "o/<token>.gif"
MY_PAGE_PATH = "/m/"  # "m/<token>"
# Magazines (mail/magazine_public_urls.py)
READER_OPT_OUT_PATH = "/ur/"  # "ur/<token>", URL name reader_opt_out
MAGAZINE_PATH = "/mm/"  # "mm/<token>/" register, "mm/<token>/leave/": of a magazine, nobody's own
CONFIRM_READER_PATH = "/mm/c/"  # "mm/c/<token>", URL name magazine_prove; no token is called "c"
# Ours, of one person each: these, tickets, and what campaigns send (campaigns/public_urls.py).
_PERSONAL_PATHS = (
    OPT_OUT_PATH, ONE_CLICK_PATH, CLICK_PATH, OPEN_PATH, MY_PAGE_PATH, TICKET_PATH, CONFIRM_PATH, LOGIN_PATH,
    PASSWORD_PATH, ADDRESS_PATH, READER_OPT_OUT_PATH, CONFIRM_READER_PATH,
)  # fmt: skip

_PAIR = re.compile(r"[0-9a-v]{1,16}\.[0-9a-v]{1,16}\.[0-9a-v]{16}(?![0-9a-z])", re.ASCII | re.IGNORECASE)


class OneClick(NamedTuple):
    lead_id: int
    delivery_id: int


class Click(NamedTuple):
    """NOBODY as the delivery: a link of a test mail. It leads on, and nothing is counted."""

    delivery_id: int
    url_id: int


class MyPageLink(NamedTuple):
    """NOBODY as the lead: a link of a test mail. It identifies nobody."""

    lead_id: int
    delivery_id: int


class ReaderLink(NamedTuple):
    """NOBODY as the lead: a link of a test mail. It stops nobody."""

    magazine_id: int
    lead_id: int


def is_personal(url: str) -> bool:
    """Whether it is one of our own links that belong to one recipient."""
    return url.lower().startswith(tuple(settings.BASE_URL.lower() + path for path in _PERSONAL_PATHS))


def opt_out_url(lead_id: int) -> str:
    """The opt-out page of one lead, 配信停止URL."""
    return f"{settings.BASE_URL}{OPT_OUT_PATH}{sign_id('opt-out', lead_id)}"


def read_opt_out(token: str) -> int | None:
    """The lead's id, or None for a token that was not made here."""
    return read_id("opt-out", token)


def one_click_url(lead_id: int, delivery_id: int) -> str:
    """The address of List-Unsubscribe (RFC 8058): it knows the lead and the mail it came from."""
    return f"{settings.BASE_URL}{ONE_CLICK_PATH}{sign_id(f'one-click-{delivery_id}', lead_id)}.{delivery_id}"


def read_one_click(token: str) -> OneClick | None:
    """The lead and the delivery, or None for a token that was not made here."""
    signed, dot, number = token.strip().rpartition(".")
    if not dot or not number.isascii() or not number.isdigit() or len(number) > 19:
        return None
    delivery_id = int(number)
    lead_id = read_id(f"one-click-{delivery_id}", signed)
    return None if lead_id is None else OneClick(lead_id, delivery_id)


def click_url(delivery_id: int, url_id: int) -> str:
    """A counted link (TRK-6): it leads to the stored URL of that id and nowhere else."""
    return f"{settings.BASE_URL}{CLICK_PATH}{sign_pair('click', delivery_id, url_id)}"


def read_click(token: str) -> Click | None:
    """The delivery and the CountedUrl, or None for a token that was not made here."""
    found = _PAIR.match(token)  # mail programs take text that follows a bare URL into the link
    ids = read_pair("click", found[0]) if found else None
    return None if ids is None else Click(*ids)


def open_url(delivery_id: int) -> str:
    """The image by which the opening of an HTML mail is seen (TRK-1)."""
    return f"{settings.BASE_URL}{OPEN_PATH}{sign_id('open', delivery_id)}.gif"


def read_open(token: str) -> int | None:
    """The delivery's id, or None for a token that was not made here. With or without ".gif"."""
    return read_id("open", token.strip().lower().removesuffix(".gif"))


def my_page_url(lead_id: int, delivery_id: int) -> str:
    """The link to my page that says who follows it, and from which mail they came (WEB-1); it logs nobody in."""
    return f"{settings.BASE_URL}{MY_PAGE_PATH}{sign_pair('my-page-link', lead_id, delivery_id)}"


def read_my_page(token: str) -> MyPageLink | None:
    """The lead and the delivery, or None for a token that was not made here."""
    ids = read_pair("my-page-link", token)
    return None if ids is None else MyPageLink(*ids)


def reader_opt_out_url(magazine_id: int, lead_id: int) -> str:
    """配信停止URL in a magazine's mail: of one reader, for ever (OPT-7)."""
    return f"{settings.BASE_URL}{READER_OPT_OUT_PATH}{sign_pair('reader-opt-out', magazine_id, lead_id)}"


def read_reader_opt_out(token: str) -> ReaderLink | None:
    """The magazine and the lead, or None for a token that was not made here."""
    ids = read_pair("reader-opt-out", token)
    return None if ids is None else ReaderLink(*ids)


def register_url(magazine_id: int) -> str:
    """登録フォーム. Signed, so that nobody counts through the magazines; the same for everybody."""
    return f"{settings.BASE_URL}{MAGAZINE_PATH}{magazine_token(magazine_id)}/"


def leave_url(magazine_id: int) -> str:
    """解除フォーム."""
    return f"{settings.BASE_URL}{MAGAZINE_PATH}{magazine_token(magazine_id)}/leave/"


def magazine_token(magazine_id: int) -> str:
    return sign_id("magazine", magazine_id)


def read_magazine(token: str) -> int | None:
    """The magazine's id, or None for a token that was not made here."""
    return read_id("magazine", token)


def confirm_reader_url(request_id: int) -> str:
    """The link that proves the address of a ReaderRequest (double opt-in); the request says when it is over."""
    return f"{settings.BASE_URL}{CONFIRM_READER_PATH}{sign_id('confirm-reader', request_id)}"


def read_confirm_reader(token: str) -> int | None:
    """The request's id, or None for a token that was not made here."""
    return read_id("confirm-reader", token)


def empty_mail_address(magazine_id: int) -> str:
    """`m.<id>.<mac>@<bounce domain>`: a mail to it asks for a registration (MAG-13)."""
    return f"m.{sign_id('empty-mail', magazine_id)}@{settings.BOUNCE_DOMAIN}"


def read_empty_mail(address: str) -> int | None:
    """The magazine's id from an envelope recipient, in either case; None for any other address."""
    local, at, domain = address.strip().strip("<>").lower().rpartition("@")
    if not at or not local.startswith("m.") or domain != settings.BOUNCE_DOMAIN.lower():
        return None
    return read_id("empty-mail", local[2:])


def envelope_sender(delivery_id: int) -> str:
    """`b.<id>.<mac>@<bounce domain>`: a report that comes back names its delivery, whatever it looks like."""
    return f"b.{sign_id('bounce', delivery_id)}@{settings.BOUNCE_DOMAIN}"


def read_envelope_sender(address: str) -> int | None:
    """The delivery's id from an envelope sender, in either case; None for any other address."""
    local, at, domain = address.strip().strip("<>").lower().rpartition("@")
    if not at or not local.startswith("b.") or domain != settings.BOUNCE_DOMAIN.lower():
        return None
    return read_id("bounce", local[2:])


def message_id(delivery_id: int) -> str:
    """The same whenever the mail is made again: receivers that know it can drop a repetition."""
    return f"<d.{sign_id('message', delivery_id)}@{settings.MAIL_DOMAIN}>"


def read_message_id(text: str) -> int | None:
    """The delivery's id from a Message-ID, with or without angle brackets."""
    local, at, domain = text.strip().strip("<>").lower().rpartition("@")
    if not at or not local.startswith("d.") or domain != settings.MAIL_DOMAIN.lower():
        return None
    return read_id("message", local[2:])

"""Addresses and links in mails, and how they are read back. All are HMACs of ids (smp.lib.signing): nothing is
stored, no link can be guessed or altered, and none expires (OPT-1).

Id 0 stands for "nobody": links of test mails carry it, so that trying one out never unsubscribes a real lead.
"""

from typing import NamedTuple

from django.conf import settings

from smp.lib.signing import read_id, sign_id

NOBODY = 0
OPT_OUT_PATH = "/u/"  # mail/public_urls.py: "u/<token>", URL name opt_out
ONE_CLICK_PATH = "/u1/"  # "u1/<token>", URL name one_click


class OneClick(NamedTuple):
    lead_id: int
    delivery_id: int


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

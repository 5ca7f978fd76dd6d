"""Whose mail came back: our own signed ids (mail/links.py), wherever a report carries them.

First the envelope's recipient; then, for mailboxes and pipes that do not hand it over and for complaints whose
addresses are blacked out (ARF), everything in the mail: Delivered-To, To, the returned copy's Return-Path, Message-ID,
List-Unsubscribe and links. Each id is an HMAC, so nothing forged or altered names anybody.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import compat32

from django.conf import settings

from mail.links import (
    read_empty_mail,
    read_envelope_sender,
    read_message_id,
    read_one_click,
    read_opt_out,
    read_reader_opt_out,
)

logger = logging.getLogger(__name__)

# Addresses of the listener beside the signed ones: where feedback loops and the system's own 「エラー時返信先」 lead.
OPEN_LOCAL_PARTS = frozenset({"failure", "fbl"})
SEARCHED_MAX = 4 * 1024 * 1024  # bytes of decoded text
PARTS_MAX = 200
FOUND_MAX = 50  # look-alikes that are tried

_TOKEN = rb"[0-9a-v]{1,16}\.[0-9a-v]{16}"


@dataclass(frozen=True)
class Owner:
    """Whom a returned mail names. A link for opting out names a lead only."""

    delivery_id: int | None = None
    lead_id: int | None = None


def owner_of(raw: bytes, recipient: str | None = None) -> Owner | None:
    """The delivery (or at least the lead) a returned mail belongs to; None when nothing in it was signed here."""
    if recipient is not None and (delivery_id := read_envelope_sender(recipient)) is not None:
        return Owner(delivery_id)
    if owner := _named_in(raw):
        return owner
    return next((owner for text in _decoded_parts(raw) if (owner := _named_in(text))), None)


def is_ours(address: str) -> bool:
    """What the listener takes: signed addresses (of one mail, of a magazine), and those of OPEN_LOCAL_PARTS at our domains."""
    if read_envelope_sender(address) is not None or read_empty_mail(address) is not None:
        return True
    local, _at, domain = address.strip().strip("<>").lower().rpartition("@")
    return local in OPEN_LOCAL_PARTS and domain in {
        settings.MAIL_DOMAIN.lower(),
        settings.BOUNCE_DOMAIN.lower(),
    }


def _named_in(text: bytes) -> Owner | None:
    bounce, message = (
        re.escape(domain.encode()) for domain in (settings.BOUNCE_DOMAIN, settings.MAIL_DOMAIN)
    )
    kinds: tuple[tuple[bytes, Callable[[str], Owner | None]], ...] = (
        (rb"b\." + _TOKEN + rb"@" + bounce, _delivery(read_envelope_sender)),
        (rb"d\." + _TOKEN + rb"@" + message, _delivery(read_message_id)),
        (rb"(?<=/u1/)" + _TOKEN + rb"\.[0-9]{1,19}", _one_click),
        (rb"(?<=/u/)" + _TOKEN, _opt_out),
        (rb"(?<=/ur/)[0-9a-v]{1,16}\." + _TOKEN, _reader_opt_out),
    )
    for pattern, read in kinds:
        for number, match in enumerate(re.finditer(pattern, text, re.IGNORECASE)):
            if number >= FOUND_MAX:
                break
            if owner := read(match[0].decode("ascii")):
                return owner
    return None


def _delivery(read: Callable[[str], int | None]) -> Callable[[str], Owner | None]:
    def owner(text: str) -> Owner | None:
        delivery_id = read(text)
        return None if delivery_id is None else Owner(delivery_id)

    return owner


def _one_click(token: str) -> Owner | None:
    found = read_one_click(token.lower())
    return Owner(found.delivery_id, found.lead_id or None) if found else None


def _opt_out(token: str) -> Owner | None:
    lead_id = read_opt_out(token.lower())
    return Owner(lead_id=lead_id) if lead_id else None


def _reader_opt_out(token: str) -> Owner | None:
    found = read_reader_opt_out(token)
    return Owner(lead_id=found.lead_id) if found and found.lead_id else None


def _decoded_parts(raw: bytes) -> Iterator[bytes]:
    """The parts in base64 or quoted-printable, decoded: some systems return the copy that way."""
    try:
        message = BytesParser(policy=compat32).parsebytes(raw)
        left = SEARCHED_MAX
        for number, part in enumerate(message.walk()):
            if number >= PARTS_MAX or left <= 0:
                return
            coding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
            if coding not in {"base64", "quoted-printable"} or part.is_multipart():
                continue
            decoded = part.get_payload(decode=True)
            if isinstance(decoded, bytes):
                yield decoded[:left]
                left -= len(decoded)
    except Exception as error:  # whatever the parser runs into: odd headers, depth, charsets
        logger.info("a returned mail could not be taken apart: %s", error)

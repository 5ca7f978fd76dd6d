"""Whose mail came back: the signed envelope sender (mail/links.py) in what a report was sent to."""

from collections.abc import Iterable
from email.message import Message
from email.utils import getaddresses

from mail.links import read_envelope_sender

_HEADERS = ("Delivered-To", "X-Original-To", "Envelope-To", "To")


def delivery_id_of(addresses: Iterable[str]) -> int | None:
    """The delivery the first signed address names. Anything unsigned, forged or altered names none."""
    return next(
        (found for address in addresses if (found := read_envelope_sender(address)) is not None), None
    )


def recipients_in(message: Message) -> list[str]:
    """For a pipe that does not hand over the envelope: where the headers say the mail was delivered."""
    values = [str(value) for name in _HEADERS for value in message.get_all(name, [])]
    return [address for _name, address in getaddresses(values)]

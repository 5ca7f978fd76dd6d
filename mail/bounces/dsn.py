"""RFC 3464: reading a delivery status notification. Pure; everything in it is hostile text from outside.

Not here: guessing at reports that follow no standard, and telling the reasons of failures apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser, HeaderParser
from email.policy import compat32

from mail.smtp.replies import clean_text, enhanced_status, enhanced_within

RECIPIENTS_MAX = 100
TEXT_MAX = 1000


@dataclass(frozen=True)
class RecipientStatus:
    """One recipient of a report. `action`: failed, delayed, delivered, relayed, expanded (lower case)."""

    address: str
    action: str
    status: str  # RFC 3463
    diagnostic: str  # the other server's own words

    @property
    def failed(self) -> bool:
        """The mail will not arrive there, whatever class the status has: 4.4.7 means that retrying was given up."""
        return self.action == "failed"


class Unreadable(ValueError):
    """So broken that the parser gave up."""


def parse_message(raw: bytes) -> Message:
    """Raises Unreadable instead of whatever the parser runs into (depth, odd headers)."""
    try:
        return BytesParser(policy=compat32).parsebytes(raw)
    except Exception as error:
        raise Unreadable(str(error)) from error
    except RecursionError as error:  # pragma: no cover - a subclass of Exception today
        raise Unreadable("too deeply nested") from error


def recipient_statuses(message: Message) -> list[RecipientStatus]:
    """What a multipart/report says about each recipient; [] when it is no delivery report."""
    if message.get_content_type() != "multipart/report":
        return []
    try:
        return [status for part in _status_parts(message) for status in _recipients(part)][:RECIPIENTS_MAX]
    except RecursionError:
        return []


def automatic(message: Message) -> bool:
    """RFC 3834: an auto-reply (out of office), as far as its headers say so."""
    submitted = str(message.get("Auto-Submitted", "no")).partition(";")[0].strip().lower()
    odd = ("X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress")
    return submitted not in {"no", ""} or any(name in message for name in odd)


def _status_parts(message: Message) -> Iterator[Message]:
    wanted = {"message/delivery-status", "message/global-delivery-status"}
    parts = message.get_payload() if message.is_multipart() else []
    for part in parts:
        if isinstance(part, Message) and part.get_content_type() in wanted:
            yield part


def _recipients(part: Message) -> Iterator[RecipientStatus]:
    for block in _blocks(part):
        address = block.get("Final-Recipient") or block.get("Original-Recipient")
        if address is None:
            continue  # the fields about the whole message
        diagnostic = clean_text(_after_type(block.get("Diagnostic-Code", "")), TEXT_MAX)
        status = str(block.get("Status", "")).strip()
        yield RecipientStatus(
            address=clean_text(_after_type(address), 320).strip("<> "),
            action=str(block.get("Action", "")).strip().lower()[:20],
            status=enhanced_status(0, status) or enhanced_within(diagnostic),
            diagnostic=diagnostic,
        )


def _blocks(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    encoded = str(part.get("Content-Transfer-Encoding", "")).strip().lower() in {"base64", "quoted-printable"}
    if isinstance(payload, list) and not encoded:
        yield from (block for block in payload if isinstance(block, Message))
        return
    if isinstance(payload, list):  # taken apart before it was decoded
        whole = Message()
        whole["Content-Transfer-Encoding"] = str(part["Content-Transfer-Encoding"])
        whole.set_payload(
            "\n\n".join(block.as_string() for block in payload if isinstance(block, Message)).strip()
        )
        part = whole
    decoded = part.get_payload(decode=True)
    text = decoded.decode("utf-8", "replace") if isinstance(decoded, bytes) else ""
    parser = HeaderParser(policy=compat32)
    for block in text.replace("\r\n", "\n").split("\n\n"):
        yield parser.parsestr(block)


def _after_type(value: object) -> str:
    """`rfc822; a@example.jp` → `a@example.jp`; `smtp; 550 5.1.1 …` → the rest. Folded lines become one."""
    text = " ".join(str(value).split())
    kind, semicolon, rest = text.partition(";")
    return rest.strip() if semicolon and kind.strip().replace("-", "").isalnum() else text

"""The bytes of a forwarded bounce (ADDR-5) and of the summary that stands for many. Pure.

Null envelope sender, `Auto-Submitted: auto-generated` (RFC 3834), and a signed header of our own by which a mail that
comes back to us is known: it changes nothing and is never forwarded again.
"""

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import format_datetime

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.headers import mailboxes_field, raw_field, text_field
from smp.lib.signing import read_id, sign_id

ATTACHED_MAX = 256 * 1024  # bytes of the bounce that go along
HEADER = "X-SMP-Forwarded-Bounce"
FAILURE_LOCAL_PART = "failure"
RECEIVED_MAX = 50  # RFC 5321 6.3: a mail with more Received fields is going round in circles
_LINE_MAX = 998


def failure_address() -> str:
    """The system's own 「エラー時返信先」: bounces are recorded, nobody is bothered (ADDR-5)."""
    return f"{FAILURE_LOCAL_PART}@{settings.MAIL_DOMAIN}"


def was_forwarded(raw: bytes) -> bool:
    """Whether this is one of our own forwarded mails (its outer header says so, signed), or a mail going in circles."""
    head = BytesHeaderParser(policy=compat32).parsebytes(_head(raw))
    signed = any(read_id("forwarded", str(value).strip()) is not None for value in head.get_all(HEADER, []))
    return signed or len(head.get_all("Received", [])) > RECEIVED_MAX


def _head(raw: bytes) -> bytes:
    return re.split(rb"\r?\n\r?\n", raw[:ATTACHED_MAX], maxsplit=1)[0] + b"\r\n\r\n"


def forwarded_mail(
    row_id: int, to: str, *, subject: str, text: str, bounce: bytes, shortened: bool, now: datetime
) -> bytes:
    """A text for people, and the bounce as it came (`shortened`: it was cut at ATTACHED_MAX)."""
    if shortened:
        text += "\n" + _("The attached mail was shortened.") + "\n"
    boundary = f"=_f.{sign_id('boundary', row_id)}"
    kind, coding, body = _attachment(bounce)
    mark = f"--{boundary}\r\n".encode()
    content = (
        mark + _text_part(text) + b"\r\n"
        + mark + raw_field("Content-Type", f"{kind};", 'name="bounce.eml"')
        + raw_field("Content-Disposition", "attachment;", 'filename="bounce.eml"')
        + raw_field("Content-Transfer-Encoding", coding) + b"\r\n" + body
        + (b"" if body.endswith(b"\r\n") else b"\r\n") + f"--{boundary}--\r\n".encode()
    )  # fmt: skip
    head = _header(row_id, to, subject, now) + raw_field(
        "Content-Type", "multipart/mixed;", f'boundary="{boundary}"'
    )
    return head + b"\r\n" + content


def summary_mail(row_id: int, to: str, *, subject: str, lines: Sequence[str], now: datetime) -> bytes:
    """One text mail that stands for many bounces."""
    return _header(row_id, to, subject, now) + _text_part("\n".join(lines) + "\n")


def _header(row_id: int, to: str, subject: str, now: datetime) -> bytes:
    token = sign_id("forwarded", row_id)
    return b"".join(
        (
            raw_field("Date", format_datetime(timezone.localtime(now))),
            mailboxes_field("From", [("SMP", failure_address())], "utf-8"),
            mailboxes_field("To", [("", to)], "utf-8"),
            text_field("Subject", subject[:300], "utf-8"),
            raw_field("Message-ID", f"<f.{token}@{settings.MAIL_DOMAIN}>"),  # the same when it is tried again
            raw_field("Auto-Submitted", "auto-generated"),
            raw_field("X-Auto-Response-Suppress", "All"),
            raw_field(HEADER, token),
            raw_field("MIME-Version", "1.0"),
        )
    )


def _text_part(text: str) -> bytes:
    encoded = base64.encodebytes(text.replace("\n", "\r\n").encode("utf-8", "replace"))
    return (
        raw_field("Content-Type", "text/plain; charset=UTF-8")
        + raw_field("Content-Transfer-Encoding", "base64")
        + b"\r\n"
        + encoded.replace(b"\n", b"\r\n")
    )


def _attachment(bounce: bytes) -> tuple[str, str, bytes]:
    """(type, encoding, body). message/rfc822 must not be encoded (RFC 2046 5.2.1), so a mail with 8-bit characters,
    NUL or endless lines travels as a file instead, which any server takes as it is."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", bounce)
    if lines.isascii() and b"\0" not in lines and max(map(len, lines.split(b"\r\n"))) <= _LINE_MAX:
        return "message/rfc822", "7bit", lines
    return "application/octet-stream", "base64", base64.encodebytes(bounce).replace(b"\n", b"\r\n")

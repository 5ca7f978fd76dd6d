"""The demo inbox: which domains it plays tricks for, and mails made readable for its pages (views.py).

@unknown.example   no such mailbox: 550 5.1.1 at RCPT
@full.example      mailbox full: 452 4.2.2 at RCPT, so the mail is tried again later
@busy.example      too many mails: 421 4.7.0 at RCPT, so the site is slowed and the mail tried again later
@later.example     accepted, then a delivery report (RFC 3464) to the envelope sender a few seconds later
"""

import asyncio
import contextlib
import logging
import re
import smtplib
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import format_datetime
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

import dkim
from django.conf import settings
from django.utils import timezone

from mail.dns_lookup import Lookups
from mail.domain_records import read_tags
from smp.demo.smtp_server import MailFolder, ReceivedMail, Rules

logger = logging.getLogger(__name__)

REFUSED = {
    "unknown.example": "550 5.1.1 <%s>: Recipient address rejected: User unknown in virtual mailbox table",
    "full.example": "452 4.2.2 <%s>: Mailbox full, try again later",
    "busy.example": "421 4.7.0 <%s>: Too many messages from your IP address, please slow down and try again later",
}
BOUNCES_LATER = "later.example"
REPORT_DELAY = 5.0  # seconds
REPORT_ATTEMPTS = 12
LINK = re.compile(r"https?://[^\s<>\"'）」、。]+")


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


class InboxRules(Rules):
    """`intake` is "host:port" of `manage.py intake`, where reports go."""

    def __init__(self, intake: str, *, report_delay: float = REPORT_DELAY) -> None:
        self.intake = intake
        self.report_delay = report_delay
        self._reports: set[asyncio.Task[None]] = set()  # asyncio itself keeps only weak references

    def recipient(self, address: str) -> str | None:
        answer = REFUSED.get(domain_of(address))
        return answer % address if answer else None

    async def kept(self, mail: ReceivedMail) -> str | None:
        for recipient in mail.recipients:
            if domain_of(recipient) == BOUNCES_LATER and mail.sender:  # no reports about reports
                task = asyncio.create_task(self._report_later(mail, recipient))
                self._reports.add(task)
                task.add_done_callback(self._reports.discard)
        return None

    async def _report_later(self, mail: ReceivedMail, recipient: str) -> None:
        report = delivery_report(mail, recipient, now=timezone.now())
        for attempt in range(REPORT_ATTEMPTS):
            await asyncio.sleep(self.report_delay * (attempt + 1))
            try:
                await asyncio.to_thread(send_report, self.intake, mail.sender, report)
            except (OSError, smtplib.SMTPException) as error:
                logger.warning("The intake at %s did not take the report: %s", self.intake, error)
            else:
                return


def send_report(intake: str, recipient: str, report: bytes) -> None:
    host, _, port = intake.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=30) as connection:
        connection.sendmail("", [recipient], report)


def delivery_report(mail: ReceivedMail, recipient: str, *, now: datetime) -> bytes:
    """A multipart/report as common servers write it: a text for people, the status, the original's headers."""
    boundary = f"report-{mail.id}"
    headers = mail.raw.partition(b"\r\n\r\n")[0]
    said = "550 5.1.1 User unknown (moved to another company)"
    head = f"""From: Mail Delivery System <mailer-daemon@{BOUNCES_LATER}>
To: {mail.sender}
Subject: Undelivered Mail Returned to Sender
Date: {format_datetime(now)}
Message-ID: <{mail.id}@{BOUNCES_LATER}>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"

--{boundary}
Content-Type: text/plain; charset=us-ascii

This is the mail system at host {BOUNCES_LATER}.

Your message could not be delivered:

<{recipient}>: {said}

--{boundary}
Content-Type: message/delivery-status

Reporting-MTA: dns; {BOUNCES_LATER}
Arrival-Date: {format_datetime(mail.received_at)}

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; {said}

--{boundary}
Content-Type: text/rfc822-headers

"""
    tail = f"\r\n\r\n--{boundary}--\r\n"
    return head.replace("\n", "\r\n").encode() + headers + tail.encode()


# ---- reading


@dataclass(frozen=True)
class Summary:
    """One line of the list."""

    id: str
    received_at: datetime
    sender: str
    to: str
    subject: str

    def matches(self, words: list[str]) -> bool:
        text = f"{self.sender} {self.to} {self.subject}".lower()
        return all(word in text for word in words)


@dataclass(frozen=True)
class Signature:
    """One DKIM signature of a mail, judged with the demo's DNS."""

    domain: str
    selector: str
    algorithm: str
    verified: bool


SIGNATURES_MAX = 4


def signatures(raw: bytes) -> list[Signature]:
    """What a receiver would find (RFC 6376 6); the first few of them. Needs SMP_DNS; [] without."""
    if not settings.DNS_SERVER:
        return []
    lookups = Lookups(seconds=5)
    fields = [
        read_tags(" ".join(str(text).split())) or {}
        for text in message_from_bytes(raw).get_all("DKIM-Signature", [])[:SIGNATURES_MAX]
    ]

    def record(name: bytes, timeout: int = 5) -> bytes | None:
        answer = lookups.txt(name.decode("ascii", "replace"))
        return answer.values[0].encode() if answer else None

    found = []
    for index, tags in enumerate(fields):
        try:
            verified = dkim.DKIM(raw).verify(idx=index, dnsfunc=record)
        except (
            dkim.DKIMException,
            ValueError,
            IndexError,
            KeyError,
            TypeError,
        ):  # hostile mails: not verified
            verified = False
        found.append(Signature(tags.get("d", ""), tags.get("s", ""), tags.get("a", ""), bool(verified)))
    return found


@dataclass(frozen=True)
class Readable:
    """One mail, decoded for people."""

    mail: ReceivedMail
    summary: Summary
    headers: list[tuple[str, str]]
    text: str
    html: str
    links: list[tuple[str, str]]  # address, what the link says
    attachments: list[tuple[str, int]]  # file name, bytes
    one_click: str  # the address of RFC 8058, or ""


@lru_cache(maxsize=20_000)  # a kept mail never changes
def summary(folder: Path, mail_id: str) -> Summary:
    return _summary(MailFolder(folder).read(mail_id))


def _summary(mail: ReceivedMail) -> Summary:
    head = message_from_bytes(mail.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    return Summary(
        id=mail.id,
        received_at=mail.received_at,
        sender=_header(head, "From") or mail.sender,
        to=_header(head, "To") or ", ".join(mail.recipients),
        subject=_header(head, "Subject"),
    )


def newest_first(folder: Path, query: str = "") -> list[Summary]:
    words = query.lower().split()
    found = (summary(folder, mail_id) for mail_id in reversed(MailFolder(folder).ids()))
    return [each for each in found if each.matches(words)]


def readable(folder: Path, mail_id: str) -> Readable:
    """FileNotFoundError when there is no such mail."""
    mail = MailFolder(folder).read(mail_id)
    message = message_from_bytes(mail.raw)
    text, html, attachments = "", "", []
    for part in message.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if part.get_content_disposition() == "attachment":
            attachments.append((part.get_filename() or part.get_content_type(), len(content)))
        elif part.get_content_type() == "text/plain" and not text:
            text = _decode(content, part.get_content_charset())
        elif part.get_content_type() == "text/html" and not html:
            html = _decode(content, part.get_content_charset())
    return Readable(
        mail=mail,
        summary=_summary(mail),
        headers=_headers(message),
        text=text,
        html=html,
        links=links_of(html, text),
        attachments=attachments,
        one_click=one_click_address(message),
    )


def one_click_address(message: Message) -> str:
    """RFC 8058: the https (here also http) address of List-Unsubscribe, if List-Unsubscribe-Post allows one click."""
    if "one-click" not in _header(message, "List-Unsubscribe-Post").lower():
        return ""
    found = re.search(r"<(https?://[^>\s]+)>", _header(message, "List-Unsubscribe"))
    return found.group(1) if found else ""


def links_of(html: str, text: str) -> list[tuple[str, str]]:
    """Each address once, in the order of the mail; only http and https."""
    parser = _Links()
    parser.feed(html)
    found = dict.fromkeys([*parser.found, *((address, "") for address in LINK.findall(text))])
    once: dict[str, str] = {}
    for address, label in found:
        once[address] = once.get(address) or label
    return list(once.items())


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._open: str | None = None
        self._label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href") or ""
        if tag == "a" and address.lower().startswith(("http://", "https://")):
            self._open, self._label = address, ""

    def handle_data(self, data: str) -> None:
        self._label += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open:
            self.found.append((self._open, " ".join(self._label.split())[:200]))
            self._open = None


def _decode(content: bytes, charset: str | None) -> str:
    try:
        return content.decode(charset or "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def _headers(message: Message) -> list[tuple[str, str]]:
    return [(name, _decoded(raw)) for name, raw in message.raw_items()]


def _header(message: Message, name: str) -> str:
    """The first header of this name, decoded, on one line; "" when there is none."""
    return next((text for each, text in _headers(message) if each.lower() == name.lower()), "")


def _decoded(raw: object) -> str:
    """Encoded words and raw UTF-8; a header that cannot be decoded is shown as it came."""
    text = str(raw).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    with contextlib.suppress(HeaderParseError, LookupError, ValueError):
        text = str(make_header(decode_header(text)))
    return " ".join(text.split())

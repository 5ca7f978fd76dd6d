"""What a receiving server's answer means: SMP's codes (ERR-2), what can pass (ERR-3), RFC 3463, and texts for people.

Replies are hostile text from outside: `clean_text` takes control characters out before anything is stored.
"""

import re
import unicodedata
from dataclasses import dataclass

from django.utils.translation import gettext as _

DELIVERED = 40000
# The server took the data and then stayed silent for the ten minutes of RFC 5321 4.5.3.2.6. SMP takes such a mail as
# delivered; here it is 結果不明 (ERR-4) with this code: never sent again by itself, and no failure of the lead.
SILENT_AFTER_DATA = 40001
NO_ROUTE = 41605
RETRIES_EXHAUSTED = 41606
REPLY_BASE = 42000
BOUNCED_LATER = 90000

SWITCH_OFF_AT_ONCE = frozenset({42521, 42551, 42553})  # FLAG-2

REPLY_TEXT_MAX = 2000


@dataclass(frozen=True)
class Reply:
    """One answer of an SMTP server. `code` 0 means that it was no SMTP answer at all."""

    code: int
    text: str  # as stored: lines joined by "\n", cleaned and bounded
    enhanced: str = ""  # RFC 3463, "5.1.1"

    @property
    def words(self) -> str:
        """The server's own words, as it said them: `550 5.1.1 User unknown`."""
        return f"{self.code} {self.text}".strip() if self.code else self.text

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def closing(self) -> bool:
        """421: the server is going to close the connection, whatever was asked."""
        return self.code == 421


def clean_text(text: str | bytes, limit: int = REPLY_TEXT_MAX) -> str:
    """Printable text of bounded length; control, bidi-override and unassigned characters become spaces."""
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", "replace")
    if text.isascii() and text.isprintable() and "  " not in text:  # nearly every reply
        return text[:limit].strip()
    shown = (
        c if c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} else " "
        for c in text[: limit * 4].replace("\r\n", "\n").replace("\r", "\n")
    )
    return re.sub(r"[ \t]+", " ", "".join(shown)).strip()[:limit]


_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


def enhanced_status(code: int, text: str) -> str:
    """The RFC 3463 status at the head of a reply's text; only when its class agrees with the reply (RFC 2034)."""
    match = _ENHANCED.match(text.lstrip())
    return match[0] if match and (not code or match[1] == str(code)[0]) else ""


def enhanced_within(text: str) -> str:
    """The first RFC 3463 status near the head of a diagnostic (`550-5.1.1 …`, `host x said: 550 5.1.1 …`)."""
    match = _ENHANCED.search(text[:100])
    return match[0] if match else ""


_REPLY_CODE = re.compile(r"(?<![\d.])([245]\d\d)(?=[ -]|$)")


def reply_code_within(text: str) -> int:
    """The SMTP reply that a diagnostic quotes near its head (`550-5.1.1 …`, `host x said: 551 …`); 0 for none."""
    match = _REPLY_CODE.search(text[:200])
    return int(match[1]) if match else 0


def parse_reply(lines: list[bytes]) -> Reply:
    """The lines of one answer, without line ends. Anything that is no SMTP reply has code 0 and keeps its text."""
    code, texts = 0, []
    for number, line in enumerate(lines):
        match = re.fullmatch(rb"([2-5][0-9]{2})(?:[ -](.*))?", line, re.DOTALL)
        if not match or (number and int(match[1]) != code):
            return Reply(0, clean_text(b"\n".join(lines)))
        code = int(match[1])
        texts.append(match[2] or b"")
    text = clean_text(b"\n".join(texts))
    return Reply(code, text, enhanced_status(code, text))


def code_for(reply: Reply) -> int:
    """ERR-2: 40000 for acceptance, otherwise 42xyz with the server's own three digits, whether listed or not."""
    return DELIVERED if reply.positive else REPLY_BASE + reply.code


def may_pass(reply: Reply) -> bool:
    """ERR-3: worth another attempt. Only 4xx; what is no SMTP answer before the data may pass as well."""
    return reply.code < 500 and not reply.positive


def describe_code(code: int | None) -> str:
    """One sentence for people, in the active language; an unlisted 42xyz gets the sentence of its class."""
    if code is None:
        return ""
    return _listed().get(code) or _class_text(code)


def _listed() -> dict[int, str]:
    return {
        40000: _("Delivered normally."),
        40001: _("The receiving server did not answer after the data was sent; the mail may have arrived."),
        41605: _("The domain has no mail server, or DNS could not be reached."),
        41606: _("It was tried again and again until the retry period was over."),
        42421: _("The receiving server is not available at the moment."),
        42450: _("The mailbox is not available at the moment."),
        42451: _("The receiving server had an error while processing."),
        42452: _("The receiving server or the mailbox has no room at the moment."),
        42521: _("The receiving host accepts no mail."),
        42550: _("No such mailbox, or the mail was refused."),
        42551: _("The user is not at the receiving server."),
        42552: _("The mailbox is full, or the mail is too large."),
        42553: _("The mailbox name is not allowed."),
        42554: _("The receiving server failed to process the mail."),
        90000: _("Accepted at first, but a failure report came later."),
    }


def _class_text(code: int) -> str:
    reply = code - REPLY_BASE
    if 400 <= reply < 500:
        return _("Temporary failure: the receiving server answered %(reply)s.") % {"reply": reply}
    if 500 <= reply < 600:
        return _("Permanent failure: the receiving server answered %(reply)s.") % {"reply": reply}
    if 0 <= reply < 1000:
        return _("The receiving server answered %(reply)s, which was not expected.") % {"reply": reply}
    return _("Unknown code.")

"""A returned mail taken apart: what the server wrote, and what is left of the mail that came back."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mail.bounces.mime import Part, decoded_words, split_headers

NOTICE_MAX = 40_000

# Lines after which only the returned mail stands.
_MARKER = re.compile(
    r"^[ \t>]*(?:[-=_*#+~]{2,}[ \t]*)?(?:"
    r"this is a copy of (?:the|your) message|below this line is (?:a|the) copy|below is a copy of|(?:a )?copy of (?:the|your) (?:original )?(?:message|mail)|"
    r"(?:the )?(?:header of the )?original (?:message|mail)(?: \w+){0,4}(?: follows| below| as received is| is following| headers?| attached| text)|original message(?= ?[-:]|$)|(?:the )?returned (?:message|mail|content|email)(?= ?[-:]| follows| below|$)|"
    r"(?:start of |begin(?:ning)? (?:of )?)?(?:returned|unsent|undelivered|bounced|rejected|original|failed|unmailed|non[- ]?delivered)(?: mail)? (?:message|mail|information|text)(?: follows| below| header| text|:)?|"
    r"message (?:header|headers|text|body|contents?)(?: follows| suppressed| below|:)|(?:the )?(?:mail|message) (?:text|header|body)s?(?: \w+)? follows|your (?:original )?(?:message|mail)(?: \w+)? (?:follows|reads)|"
    r"header(?:s)? of (?:the )?(?:original|returned)|text of (?:the )?(?:original|message)|attached (?:is|message)|forwarded message|message (?:content|source)|"
    r"content-type:\s*message/rfc822|urspr(?:ü|u)ngliche nachricht|mensaje original|message d'origine|en-t[êe]tes? d|messaggio originale|mensagem original|元の(?:メール|メッセージ)|オリジナル(?:メール|メッセージ)?|送信(?:メール|メッセージ)の内容|以下(?:は|に)(?:、)?(?:元|送信|オリジナル)"
    r")[^\n]{0,80}$",
    re.IGNORECASE,
)
_NOT_A_MARKER = re.compile(r"\b(?:was|has|could|not|did|cannot)\b", re.IGNORECASE)
_MAIL_FIELD = re.compile(
    r"(?:received|return-path|message-id|mime-version|content-type|date|from|to|subject|delivered-to|x-[\w-]+|dkim-signature|content-transfer-encoding|reply-to|sender|cc|precedence|list-[\w-]+|references|in-reply-to|user-agent|importance|thread-\w+|authentication-results|arc-[\w-]+)[ \t]*:",
    re.IGNORECASE,
)
_SURE_FIELD = re.compile(
    r"(?:received[ \t]*:[ \t]*(?:from|by|\()|return-path[ \t]*:|message-id[ \t]*:|mime-version[ \t]*:|x-mailer[ \t]*:|delivered-to[ \t]*:|dkim-signature[ \t]*:)",
    re.IGNORECASE,
)
# An address in running text. Japanese stands right beside it, so its marks end it; `tidy` does the rest.
_OUTSIDE = r"\s<>()\[\],;:\"`|={}、。，．；：「」『』【】（）＜＞〈〉《》・※→◆■●…"
ADDRESS = rf"[^{_OUTSIDE}'][^{_OUTSIDE}]{{0,63}}@[A-Za-z0-9\u0080-\U0010ffff](?:[\w.-]{{0,250}}[\w])?"
_ADDRESS = re.compile(ADDRESS)


@dataclass
class Notification:
    """`notice`: the server's own text. `original`: headers of the mail that came back (lower-case names)."""

    notice: str
    original: list[tuple[str, str]] = field(default_factory=list)

    def original_header(self, name: str) -> str:
        return next((value for key, value in self.original if key == name), "")

    def original_recipients(self) -> list[str]:
        """Whom the returned mail was addressed to, as its headers say; a mailing list is nobody."""
        if self.original_header("list-id") or self.original_header("list-post"):
            return []
        fields = [value for key, value in self.original if key in {"to", "cc", "x-failed-recipients"}]
        return unique(address for value in fields for address in addresses_in(decoded_words(value)))

    def original_senders(self) -> list[str]:
        fields = [
            value
            for key, value in self.original
            if key
            in {"from", "sender", "reply-to", "return-path", "errors-to", "message-id", "x-envelope-from"}
        ]
        return [address.lower() for value in fields for address in addresses_in(value)]


def unique(addresses: Iterable[str]) -> list[str]:
    seen: dict[str, str] = {}
    for address in addresses:
        seen.setdefault(address.lower(), address)
    return list(seen.values())


def addresses_in(text: str) -> list[str]:
    return [tidy(match) for match in _ADDRESS.findall(text[:4000])]


def tidy(address: str) -> str:
    """Without what the text put around it: `mailto:`, stops, and Japanese words (`宛先a@example.jpは`)."""
    address = re.sub(r"^(?:mailto|smtp|rfc822)[:;]", "", address, flags=re.IGNORECASE)
    local, _at, domain = address.rpartition("@")
    ascii_end = re.match(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}(?=[^\x00-\x7f])", domain)
    if ascii_end:
        domain = ascii_end[0]
    if domain.isascii():
        local = re.sub(r"^[^\x00-\x7f]+(?=[!-~]+$)", "", local)
    return f"{local}@{domain}".strip(".,;:'-").rstrip("_")


def take_apart(root: Part) -> Notification:
    """Text parts before the returned mail; in a mail without parts the text before a marker or a block of headers."""
    plain: list[str] = []
    markup: list[str] = []
    original: list[tuple[str, str]] = []
    for part in root.walk():
        if part.is_message:
            if part.parts and not original:
                original = part.parts[0].headers
        elif part.type == "text/html":
            markup.append(part.text())
        elif not part.parts and part.type.startswith("text/") and not original:
            plain.append(part.text())
    notice = "\n".join(text for text in plain if text.strip()) or "\n".join(markup)
    notice, rest = _cut(notice[: NOTICE_MAX * 3])
    return Notification(notice[:NOTICE_MAX], original or _headers_in(rest))


def _cut(text: str) -> tuple[str, str]:
    lines = text.split("\n")
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or number == 0:
            continue
        if _MARKER.match(line) and not _NOT_A_MARKER.search(stripped) and len(stripped) < 120:
            return "\n".join(lines[:number]), "\n".join(lines[number + 1 :])
        if _MAIL_FIELD.match(stripped.lstrip("> ")) and _begins_headers(lines[number : number + 12]):
            return "\n".join(lines[:number]), "\n".join(lines[number:])
    return text, ""


def _begins_headers(lines: list[str]) -> bool:
    known, sure = 0, False
    for line in lines:
        bare = line.lstrip("> ") if line.startswith(">") else line
        if not bare.strip():
            break
        if _MAIL_FIELD.match(bare.strip()):
            known += 1
            sure = sure or bool(_SURE_FIELD.match(bare.strip()))
        elif bare[:1] not in " \t":
            break
    return known >= 3 and sure


def _headers_in(text: str) -> list[tuple[str, str]]:
    """The header block of a mail quoted in a text, with or without `>` before its lines."""
    lines = [re.sub(r"^[ \t]*>[ \t]?", "", line) for line in text.split("\n")[:400]]
    for number, line in enumerate(lines):
        if _MAIL_FIELD.match(line.strip()):
            indent = len(line) - len(line.lstrip())
            block = "\n".join(
                line[indent:] if line[:indent].isspace() or not indent else line for line in lines[number:]
            )
            return split_headers(block.encode("utf-8", "replace"))[0]
    return []

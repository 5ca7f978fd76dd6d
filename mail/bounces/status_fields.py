"""RFC 3464 and 6533: the fields of a delivery status, however the part that holds them is labelled, encoded or broken."""

import re
from dataclasses import dataclass

from mail.bounces.mime import Part
from mail.smtp.replies import clean_text

RECIPIENTS_MAX = 100
DIAGNOSTIC_MAX = 1000

_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_OTHER_CARRIERS = ("text/", "application/octet-stream", "message/", "multipart/report")
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*:[ \t]*(.*)")
_KNOWN = re.compile(
    r"^[ >]{0,4}(?:final-recipient|original-recipient)[ \t]*:.*@?", re.IGNORECASE | re.MULTILINE
)
_ACTION = re.compile(r"^[ >]{0,4}(?:action|status)[ \t]*:", re.IGNORECASE | re.MULTILINE)


# where gateways put the other server's words
_SAID = (
    "diagnostic-code",
    "x400-supplementary-info",
    "x-supplementary-info",
    "x-notes",
    "x-diagnostic-text",
    "x-display-reason",
    "x-pmdf-error",
)


@dataclass(frozen=True)
class RecipientFields:
    """One recipient of a status: `original` and `final` as written without their types, "" if absent or no address."""

    original: str
    final: str
    action: str  # failed, delayed, delivered, relayed, expanded; "" if unknown
    status: str  # RFC 3463, as the field says
    diagnostic: str
    reporting_host: str


def recipient_fields(root: Part) -> list[RecipientFields]:
    """What the delivery-status parts say; [] if there are none, whatever the mail is."""
    found: list[RecipientFields] = []
    for text in _status_texts(root):
        found += _recipients(text)
        if len(found) >= RECIPIENTS_MAX:
            break
    return found[:RECIPIENTS_MAX]


def _status_texts(root: Part) -> list[str]:
    parts = list(root.walk())
    named = [part.text() for part in parts if part.type in _STATUS_TYPES]
    named = [text for text in named if _KNOWN.search(text)]
    if named:
        return named
    # The status as plain text, or a part that lost its headers: only where it stands before the returned mail
    for part in parts:
        if part.parts or part.is_message or not part.type.startswith(_OTHER_CARRIERS):
            continue
        text = part.text()
        match = _KNOWN.search(text)
        if match and _ACTION.search(text, max(0, match.start() - 300), match.end() + 2000):
            start = text.rfind("\n\n", 0, match.start())
            return [text[max(0, start) : match.end() + 20_000]]
    return []


def _recipients(text: str) -> list[RecipientFields]:
    found: list[RecipientFields] = []
    host = ""
    fields: dict[str, str] = {}
    last = ""

    def finish() -> None:
        if "final-recipient" in fields or "original-recipient" in fields:
            found.append(_recipient(fields, host))
        fields.clear()

    for raw_line in text.split("\n"):
        line = raw_line.removeprefix("> ").removeprefix(">")
        if not line.strip():
            if ("final-recipient" in fields or "original-recipient" in fields) and (
                "action" in fields or "status" in fields
            ):
                finish()
            last = ""
            continue
        match = _FIELD.match(line.strip() if not last else line)
        if match is None:
            if last and line[:1] in " \t" and len(fields.get(last, "")) < 4000:
                fields[last] += "\n" + line.strip()
            continue
        last, value = match[1].lower(), match[2].strip()
        if last == "reporting-mta":
            host = _after_type(value)
        if last in fields and last in {"final-recipient", "original-recipient", "action"}:
            finish()
        fields.setdefault(last, value)
    finish()
    return found


def _recipient(fields: dict[str, str], host: str) -> RecipientFields:
    status = re.search(r"[245]\.\d{1,3}\.\d{1,3}", fields.get("status", ""))
    said = (
        fields.get("diagnostic-code", "") or fields.get("x-notes", "") or fields.get("x-diagnostic-text", "")
    )
    return RecipientFields(
        original=address_in_field(fields.get("original-recipient", "")),
        final=address_in_field(fields.get("final-recipient", "")),
        action=_action(fields.get("action", ""), status[0] if status else ""),
        status=status[0] if status else "",
        diagnostic=clean_text(" ".join(_after_type(said).split()), DIAGNOSTIC_MAX),
        reporting_host=host,
    )


def _action(value: str, status: str) -> str:
    word = value.strip().strip('"').lower()
    for start, action in (
        ("fail", "failed"),
        ("expire", "failed"),
        ("undeliver", "failed"),
        ("reject", "failed"),
        ("delay", "delayed"),
        ("defer", "delayed"),
        ("deliver", "delivered"),
        ("relay", "relayed"),
        ("expand", "expanded"),
    ):
        if word.startswith(start):
            return action
    return {"5": "failed", "4": "delayed", "2": "delivered"}.get(status[:1], "")


def _after_type(value: str) -> str:
    """`smtp; 550 5.1.1 …` → the rest."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and re.fullmatch(r"[\w.+-]{1,40}", kind.strip()) else value.strip()


def address_in_field(value: str) -> str:
    """The address of an Original- or Final-Recipient; a bare user name stays one; "" for X.400 and the like."""
    kind = value.partition(";")[0].strip().lower() if ";" in value else ""
    address = " ".join(_after_type(value).split())
    if kind == "x400" or address.startswith("/"):
        return ""
    address = re.sub(r"\\x\{([0-9A-Fa-f]{1,6})\}", _character, address)  # utf-8-addr-xtext, RFC 6533
    angled = re.search(r"<([^<>\s]+@[^<>\s]+)>", address)
    address = angled[1] if angled else re.sub(r"\s*\([^()]*\)\s*$", "", address).strip("<> ;,'")
    if not re.match(r"\"[^\"]+\"@", address):  # a quoted local part stays as it is
        address = address.strip('"')
    address = re.sub(r"^(?:smtp|mailto|rfc822)[:;]\s*", "", address, flags=re.IGNORECASE)
    wanted = r"\+(2B|3D)" if "@" in address else r"\+([0-9A-F]{2})"  # xtext left as it was, RFC 3461 4
    address = re.sub(wanted, lambda match: chr(int(match[1], 16)), address)
    address = address.strip("<> ")
    if is_shortened(address):
        return ""
    return clean_text(address, 320) if address and " " not in address.partition("@")[2] else ""


def is_shortened(address: str) -> bool:
    """`ann...@example.jp`: somebody hid the rest. Carriers do allow such dots."""
    return "...@" in address and not address.lower().endswith(("docomo.ne.jp", "ezweb.ne.jp"))


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if 0x20 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else ""

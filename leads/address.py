"""What an e-mail address is here (EXC-4, CHR-3..5): one pure module for forms, imports, the API and the sender.

Nothing is looked up in DNS and nothing is repaired silently: what was changed stands in `notes`, what looks
like a typo stands in `suggestion`.
"""

import re
import unicodedata
from contextlib import suppress
from typing import NamedTuple

from django.utils.translation import gettext as _
from email_validator import EmailNotValidError, validate_email

ADDRESS_MAX = 254  # RFC 5321 4.5.3.1.3: 256 octets for the path, which includes < and >
LOCAL_MAX = 64  # RFC 5321 4.5.3.1.1
COLUMN_MAX = 320  # Lead.email

# CHR-3: until 2009 these carriers gave out addresses with dots at the ends or next to each other; they still exist.
CARRIER_DOMAINS = frozenset({"docomo.ne.jp", "ezweb.ne.jp"})

_GMAIL = frozenset({"gmail.com", "googlemail.com"})

# Characters people cannot see, which spreadsheets and web pages leave at the ends of a copied address.
_INVISIBLE = "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_TRIM = (
    _INVISIBLE
    + " \t\r\n\x0b\x0c\x85\xa0\u3000\u2028\u2029"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u202f\u205f"
)

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
# Plain ASCII addresses, nearly all of them: one match instead of a parser, because an import asks a million times.
# Single hyphens only: "xn--" labels take the long way, where they are decoded.
_PLAIN = re.compile(
    rf"(?=[^@]{{1,64}}@.{{1,252}}\Z)[{_ATEXT}]+(?:\.[{_ATEXT}]+)*@"
    r"((?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,63})"
)
_DOT_ATOM = re.compile(rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*")
_CARRIER_LOCAL = re.compile(rf"(?=.*[{_ATEXT}])[{_ATEXT}.]+")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

# CHR-4: destinations whose misspellings are worth a question, and real domains that only look like one.
_FREQUENT = (
    "gmail.com", "yahoo.co.jp", "docomo.ne.jp", "ezweb.ne.jp", "softbank.ne.jp", "i.softbank.jp", "icloud.com",
    "hotmail.com", "hotmail.co.jp", "outlook.com", "outlook.jp",
)  # fmt: skip
_REAL = frozenset(_FREQUENT) | {
    "mail.com",
    "email.com",
    "ymail.com",
    "hotmail.co",
    "yahoo.com.jp",
    "disoftbank.ne.jp",
}
_KNOWN_TYPOS = {
    "gmail.co.jp": "gmail.com", "gmail.jp": "gmail.com", "gmail.ne.jp": "gmail.com", "gmeil.com": "gmail.com",
    "g-mail.com": "gmail.com", "gmail.com.jp": "gmail.com", "docomo.co.jp": "docomo.ne.jp", "docomo.jp": "docomo.ne.jp",
    "docomo.com": "docomo.ne.jp", "gocomo.ne.jp": "docomo.ne.jp", "ezwev.ne.jp": "ezweb.ne.jp",
    "ezweb.co.jp": "ezweb.ne.jp", "ezweb.com": "ezweb.ne.jp", "softbank.co.jp": "softbank.ne.jp",
    "yafoo.co.jp": "yahoo.co.jp", "yahoo.co": "yahoo.co.jp", "icloud.co.jp": "icloud.com",
}  # fmt: skip


def _one_slip_away(domain: str) -> set[str]:
    """Every host name that is one typing slip from this one: a letter lost, doubled, swapped, wrong or too many."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-."
    cuts = [(domain[:i], domain[i:]) for i in range(len(domain) + 1)]
    slips = {head + tail[1:] for head, tail in cuts if tail}
    slips |= {head + tail[1] + tail[0] + tail[2:] for head, tail in cuts if len(tail) > 1}
    slips |= {head + letter + tail[1:] for head, tail in cuts if tail for letter in letters}
    slips |= {head + letter + tail for head, tail in cuts for letter in letters}
    return {slip for slip in slips if "." in slip and all(map(_LABEL.fullmatch, slip.split(".")))}


# About 10,000 entries, built once: a look-up per address costs less than measuring distances.
_TYPOS = {
    slip: domain for domain in _FREQUENT for slip in _one_slip_away(domain) if slip not in _REAL
} | _KNOWN_TYPOS


class EmailCheck(NamedTuple):
    """What `check_email` found. A tuple rather than a dataclass: making one takes a third of the time."""

    address: str  # to be stored: as typed, trimmed, full-width characters made half-width; never a control character
    norm: str  # for comparing (EXC-4)
    malformed: bool = False  # no mail can be addressed to it
    code: str = ""  # why malformed; "empty" for no address at all, which is not malformed
    text: str = ""  # the same for people, in the active language
    notes: tuple[str, ...] = ()  # what was changed or looks odd, for people
    suggestion: str = ""  # what was probably meant


def normalise_email(text: str) -> str:
    """EXC-4: two addresses are the same if this is equal: trimmed (also of U+3000, U+200B, BOM), NFKC, lower case."""
    if text.isascii():
        return text.strip(_TRIM).lower()
    # Lower-casing can undo NFKC (İ) and NFKC can bring out spaces at the ends (U+3000, U+00A8), hence twice.
    folded = unicodedata.normalize("NFKC", text.strip(_TRIM)).lower()
    return unicodedata.normalize("NFKC", folded).strip(_TRIM)


def mailbox_of(norm: str) -> str:
    """The mailbox behind an address (normalise_email), where anybody can see that from outside: `+anything` leads to the
    same one at most hosts, and Gmail passes over dots. For counting what one person gets, never for comparing people."""
    local, at, domain = norm.rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _GMAIL:
        local, domain = local.replace(".", ""), "gmail.com"
    if not domain.isascii():
        with suppress(EmailNotValidError):
            domain = _ascii_domain(domain).lower()
    return f"{local}{at}{domain}"


def check_email(text: str) -> EmailCheck:
    """Judges one address as somebody typed it. Never raises; an empty text is `code="empty"` and not malformed."""
    if match := _PLAIN.fullmatch(text):
        domain = match[1].lower()
        if len(text) <= ADDRESS_MAX and domain not in _TYPOS and (len(domain) < 64 or _labels_fit(domain)):
            return EmailCheck(text, text.lower())
    return _check_slowly(text)


def smtp_address(address: str) -> str:
    """The address as it goes into MAIL, RCPT and headers: ASCII, A-labels (CHR-5), carriers' odd local parts
    quoted (CHR-3). ValueError, with the reason, for what is no address."""
    match = _PLAIN.fullmatch(address)
    if match and len(address) <= ADDRESS_MAX and (len(match[1]) < 64 or _labels_fit(match[1])):
        return address
    check = _check_slowly(address)
    if check.malformed or not check.address:
        raise ValueError(check.text or _("There is no address."))
    return _smtp_form(check.address)


def _labels_fit(domain: str) -> bool:
    return len(domain) <= 253 and all(len(label) <= 63 for label in domain.split("."))


def _smtp_form(address: str) -> str:
    """For an address that was found to be one."""
    local, _at, domain = address.rpartition("@")
    if not _DOT_ATOM.fullmatch(local):
        return f'"{local}"@{domain}'
    if domain.isascii():
        return address
    return f"{local}@{_ascii_domain(domain)}"


def _ascii_domain(domain: str) -> str:
    """Raises EmailNotValidError."""
    checked = validate_email(f"a@{domain}", check_deliverability=False, globally_deliverable=False)
    assert checked.ascii_email is not None  # the local part is ASCII, so there is one
    return checked.ascii_email.rpartition("@")[2]


def _check_slowly(text: str) -> EmailCheck:
    typed = text.strip(_TRIM)
    address = unicodedata.normalize("NFKC", typed).strip(_TRIM)
    if not address:
        return EmailCheck("", "", code="empty")
    notes = [_("Full-width characters were changed to half-width ones.")] if address != typed else []
    local, _at, domain = address.rpartition("@")
    if local[:1] == '"' == local[-1:] and domain.lower() in CARRIER_DOMAINS and len(local) > 2:
        local = local[1:-1]
        address = f"{local}@{domain}"
        notes.append(_("The quotation marks were removed; they are added again when mail is sent."))
    code, reason = _fault(address, local, domain)
    suggestion = _suggestion(address, local, domain, code)
    if suggestion:
        notes.append(_("Did you mean %(address)s?") % {"address": suggestion})
    if code:
        # PostgreSQL cannot hold NUL, and headers must never see CR or LF: shown as �, it stays visibly wrong.
        address = "".join("\ufffd" if _unprintable(c) else c for c in address)[:COLUMN_MAX]
        reason = _("Check the format of what you entered. %(reason)s") % {"reason": reason}
    return EmailCheck(
        address, normalise_email(address)[:COLUMN_MAX], bool(code), code, reason, tuple(notes), suggestion
    )


def _unprintable(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"}


def _fault(address: str, local: str, domain: str) -> tuple[str, str]:
    """(code, what is wrong and what to do), or ("", "")."""
    if any(unicodedata.category(c) in {"Cc", "Cs", "Cf", "Co", "Cn"} for c in address):
        return "control", _("It contains an invisible character; type it again.")
    if any(c in address for c in ",;、"):
        return "list", _("Enter one address only.")
    if any(c.isspace() for c in address):
        return "space", _("It contains a space.")
    if address.count("@") != 1:
        return "at", _("There must be exactly one @.")
    if not local or not domain:
        return "at", _("There must be something before and after the @.")
    if "。" in domain:
        return "ideographic_dot", _("It contains “。” instead of a dot.")
    if not local.isascii():
        return "local_not_ascii", _("Only half-width letters, digits and symbols can stand before the @.")
    if len(address) > ADDRESS_MAX:
        return "too_long", _("It is longer than 254 characters.")
    carrier = domain.lower() in CARRIER_DOMAINS
    if len(local) > (LOCAL_MAX if _DOT_ATOM.fullmatch(local) else LOCAL_MAX - 2):
        return "too_long", _("There can be at most 64 characters before the @.")
    if not (_CARRIER_LOCAL if carrier else _DOT_ATOM).fullmatch(local):
        if _CARRIER_LOCAL.fullmatch(local):
            return "dots", _("A dot can stand neither at the beginning or end nor beside another one.")
        return "local", _("A character before the @ is not allowed.")
    return _domain_fault(local, domain)


def _domain_fault(local: str, domain: str) -> tuple[str, str]:
    try:
        ascii_domain = _ascii_domain(domain)
    except EmailNotValidError:
        ascii_domain = ""
    labels = ascii_domain.lower().split(".")
    top = labels[-1]
    named = len(labels) > 1 and all(map(_LABEL.fullmatch, labels))
    if not named or not (top.startswith("xn--") or (top.isalpha() and len(top) > 1)):
        return "domain", _("What follows the @ is no domain name.")
    if len(local) + 1 + len(ascii_domain) > ADDRESS_MAX or len(ascii_domain) > 253:
        return "too_long", _("It is longer than 254 characters.")
    return "", ""


def _suggestion(address: str, local: str, domain: str, code: str) -> str:
    """CHR-4: what was probably meant, or "". Only ever a well-formed address."""
    if code not in {"", "ideographic_dot"}:
        return ""
    probable = domain.replace("。", ".")
    probable = _TYPOS.get(probable.lower(), probable)
    if probable == domain or _fault(f"{local}@{probable}", local, probable)[0]:
        return ""
    return f"{local}@{probable}"

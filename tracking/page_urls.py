"""What is kept of the addresses and titles a browser reports (WEB-1). All of it is hostile: anybody may send anything.

clean_url("https://x.example/a?id=3&token=abc#top")      "https://x.example/a?id=3"
host_of("https://例え.jp:8443")                           "xn--r8jz45g.jp:8443"
"""

import ipaddress
import re
import unicodedata
from urllib.parse import SplitResult, unquote_plus, urlsplit, urlunsplit

import idna

from mail.url_patterns import stored_url

URL_MAX, TITLE_MAX, REFERRER_MAX = 2000, 300, 1000

# A parameter is left out when a word of its name is one of these: what opens doors, and what names people.
SECRET_WORDS = frozenset(
    [
        "access",
        "apikey",
        "auth",
        "authorization",
        "code",
        "credential",
        "csrf",
        "hash",
        "jwt",
        "key",
        "nonce",
        "otp",
        "pass",
        "passcode",
        "passwd",
        "password",
        "pin",
        "pwd",
        "secret",
        "session",
        "sessionid",
        "sid",
        "sig",
        "sign",
        "signature",
        "state",
        "ticket",
        "token",
        "address",
        "birthday",
        "email",
        "mail",
        "mailaddress",
        "name",
        "phone",
        "tel",
        "telephone",
        "zip",
    ]
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Invisible characters that turn or join text, besides the control characters.
_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def clean_url(text: str, limit: int = URL_MAX) -> str:
    """The http(s) address in the one form patterns are compared with (mail/url_patterns.py), without fragment, login and parameters that look like secrets; "" for anything else. One that is
    too long loses its query; with that still too long it is nothing."""
    parts = _split(text)
    host = _host(parts) if parts else ""
    if parts is None or not host:
        return ""
    query = "&".join(one for one in parts.query.split("&") if one and not looks_secret(one))
    for kept in (query, ""):
        try:
            url = stored_url(urlunsplit((parts.scheme, host, parts.path, kept, "")))
        except ValueError:
            return ""
        if len(url) <= limit:
            return url
    return ""


def clean_text(text: str, limit: int) -> str:
    """One line without control characters, at most `limit` characters long."""
    shown = "".join(
        " " if unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} else one for one in text[: limit * 4]
    )
    return " ".join(unicodedata.normalize("NFC", _UNSEEN.sub("", shown)).split())[:limit]


def host_of(url: str) -> str:
    """The host of an Origin header or an http(s) address as sites store it: A-labels in lower case, with the port unless it is
    the scheme's own. "" when there is none."""
    parts = _split(url)
    return _host(parts) if parts else ""


def looks_secret(parameter: str) -> bool:
    """Of one `name=value` as it stands in a query."""
    name, _equals, value = (unquote_plus(part) for part in parameter.partition("="))
    if name.lower().startswith("smp_"):
        return True
    words = {word.lower() for word in _WORDS.findall(name)} | {re.sub(r"[^a-z]", "", name.lower())}
    return bool(words & SECRET_WORDS) or "@" in value or "@" in name or bool(_JWT.search(value))


def _split(text: str) -> SplitResult | None:
    text = text.strip()
    if not text or any(unicodedata.category(one) in {"Cc", "Cs"} or one.isspace() for one in text):
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port  # ValueError for one that is no number
    except ValueError:
        return None
    return parts if parts.scheme in _DEFAULT_PORTS and parts.hostname else None


def _host(parts: SplitResult) -> str:
    name = ascii_host(parts.hostname or "")
    port = parts.port
    return f"{name}:{port}" if name and port and port != _DEFAULT_PORTS[parts.scheme] else name


def ascii_host(name: str) -> str:
    """A host name as A-labels in lower case, an IP address as it is written in URLs; "" for what is neither."""
    name = name.strip().rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        return f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) and len(name) <= 253:
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return ""

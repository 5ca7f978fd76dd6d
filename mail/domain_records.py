"""DKIM and DMARC records as texts, and which domains belong together. Pure."""

import base64
import binascii
import re
from dataclasses import dataclass
from functools import cache

import idna
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from publicsuffixlist import PublicSuffixList

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TAG = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9_]*)\s*=\s*(.*?)\s*", re.DOTALL)
KEY_TEXT_MAX = 4_000  # base64 of a 16,384-bit key is 2,800 characters


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # the list comes with the package; nothing is downloaded


def organisational_domain(name: str) -> str:
    """RFC 7489 3.2: what somebody registered: example.co.jp for mail.example.co.jp; "" for a public suffix."""
    return _suffixes().privatesuffix(name.rstrip(".").lower()) or ""


def same_organisation(one: str, other: str) -> bool:
    """Relaxed alignment (RFC 7489 3.1.1)."""
    return bool(organisational_domain(one)) and organisational_domain(one) == organisational_domain(other)


def clean_domain(text: str) -> str:
    """A domain name as it is compared and stored: lower-case A-labels. ValueError for anything else."""
    text = text.strip().rstrip(".")
    try:
        name = text.lower() if text.isascii() else _a_labels(text)
    except (UnicodeError, ValueError) as error:
        raise ValueError(text) from error
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError(text)
    for label in labels:
        if label.startswith("xn--"):
            try:
                _u_label(label)
            except (UnicodeError, ValueError) as error:
                raise ValueError(text) from error
    return name


def _a_labels(text: str) -> str:
    return idna.encode(text, uts46=True).decode("ascii").lower()


def _u_label(label: str) -> str:
    return idna.ulabel(label)


def readable_domain(name: str) -> str:
    """With international labels as people write them."""
    try:
        return ".".join(_u_label(part) if part.startswith("xn--") else part for part in name.split("."))
    except (UnicodeError, ValueError):
        return name


def read_tags(text: str) -> dict[str, str] | None:
    """A tag=value list (RFC 6376 3.2), names in lower case; None when it is none, or a tag stands twice."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        found = _TAG.fullmatch(part)
        if found is None or found[1].lower() in tags:
            return None
        tags[found[1].lower()] = found[2]
    return tags


@dataclass(frozen=True)
class KeyRecord:
    """A published DKIM key. `public` "" = revoked; `bits` 0 where it is no RSA key we can read."""

    algorithm: str
    public: str
    testing: bool
    bits: int


def read_key_record(text: str) -> KeyRecord | None:
    """RFC 6376 3.6.1; None when it is no key record."""
    tags = read_tags(text)
    if tags is None or "p" not in tags or tags.get("v", "DKIM1") != "DKIM1":
        return None
    if "v" in tags and next(iter(tags)) != "v":
        return None
    public = re.sub(r"\s+", "", tags["p"])
    algorithm = tags.get("k", "rsa").lower()
    flags = {flag.strip().lower() for flag in tags.get("t", "").split(":")}
    bits = key_bits(public) if algorithm == "rsa" else 0
    return KeyRecord(algorithm, public, "y" in flags, bits)


def key_bits(public: str) -> int:
    """The length of an RSA key given as base64; 0 when it cannot be read."""
    if len(public) > KEY_TEXT_MAX:
        return 0
    try:
        key = load_der_public_key(base64.b64decode(public, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return 0
    return key.key_size if isinstance(key, rsa.RSAPublicKey) else 0


def key_record(algorithm: str, public: str) -> str:
    """The value to publish at <selector>._domainkey.<domain>; an empty key revokes (RFC 6376 3.6.1)."""
    return f"v=DKIM1; k={algorithm}; p={public}"


@dataclass(frozen=True)
class Dmarc:
    """RFC 7489 6.3. `policy` "" = the record has no valid p=."""

    policy: str
    subdomain_policy: str
    adkim: str  # "r" or "s"
    aspf: str
    reports: str  # rua


def is_dmarc(text: str) -> bool:
    return re.match(r"v\s*=\s*DMARC1\s*(;|$)", text) is not None


def read_dmarc(text: str) -> Dmarc | None:
    """None when the list itself is broken; receivers then ignore it."""
    tags = read_tags(text)
    if tags is None:
        return None
    policies = {"none", "quarantine", "reject"}
    policy, sub = tags.get("p", "").lower(), tags.get("sp", "").lower()
    reports = tags.get("rua", "")
    if (policy not in policies or (sub and sub not in policies)) and _mailto(reports):
        policy, sub = "none", ""  # RFC 7489 6.6.3 (6): a wrong policy with a reporting address counts as none
    return Dmarc(
        policy if policy in policies else "",
        sub if sub in policies else "",
        "s" if tags.get("adkim", "r").lower() == "s" else "r",
        "s" if tags.get("aspf", "r").lower() == "s" else "r",
        reports if _mailto(reports) else "",
    )


def _mailto(text: str) -> bool:
    return any(part.strip().lower().startswith("mailto:") for part in text.split(","))

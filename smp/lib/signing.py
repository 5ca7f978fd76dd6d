"""Short signed tokens: an id and a purpose in, one URL- and address-safe word out. Nothing is stored.

`0-9a-v` only, so a token survives lower-casing (mail addresses) and double-clicking (URLs). Made with SECRET_KEY; one made
with a former key (SECRET_KEY_FALLBACKS) is read as well: links in mails are followed for years.
"""

import base64
import hashlib
import hmac
from functools import lru_cache

from django.conf import settings

MAC_BYTES = 10
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


@lru_cache(maxsize=16)
def _keyed(secret: str) -> hmac.HMAC:
    key = hashlib.sha256(b"smp-token:" + secret.encode()).digest()
    return hmac.new(key, digestmod="sha256")


def _mac(purpose: str, value: int, secret: str) -> str:
    """80 bits as 16 digits. A mail needs four of these, so the keyed state is copied. Not `hmac.digest`: it lets other
    threads run, and getting one's turn back costs milliseconds in a busy worker."""
    mac = _keyed(secret).copy()
    mac.update(f"{purpose}:{value}".encode())
    n = int.from_bytes(mac.digest()[:MAC_BYTES], "big")
    return (
        f"{_PAIRS[n >> 70]}{_PAIRS[n >> 60 & 1023]}{_PAIRS[n >> 50 & 1023]}{_PAIRS[n >> 40 & 1023]}"
        f"{_PAIRS[n >> 30 & 1023]}{_PAIRS[n >> 20 & 1023]}{_PAIRS[n >> 10 & 1023]}{_PAIRS[n & 1023]}"
    )


def _base32(raw: bytes) -> str:
    """base64.b32hexencode in lower case without padding, several times as fast."""
    bits = len(raw) * 8
    number = int.from_bytes(raw, "big") << -bits % 5
    return "".join([_DIGITS[number >> shift & 31] for shift in range((bits - 1) // 5 * 5, -1, -5)])


def _digits_of(value: int) -> str:
    if value < 0:
        raise ValueError("only ids can be signed")
    return _base32(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _read_digits(digits: str) -> int | None:
    """The number `_digits_of` wrote, None for any other spelling of it."""
    try:
        value = int.from_bytes(base64.b32hexdecode(digits.upper() + "=" * (-len(digits) % 8)), "big")
    except ValueError:
        return None
    return value if _digits_of(value) == digits else None


def sign_id(purpose: str, value: int) -> str:
    """`<id in base 32>.<mac>`; different for every purpose."""
    return f"{_digits_of(value)}.{_mac(purpose, value, settings.SECRET_KEY)}"


def read_id(purpose: str, token: str) -> int | None:
    """The id, or None when the token was not made here for this purpose. Upper case is accepted."""
    digits, dot, mac = token.strip().lower().partition(".")
    if not dot or not digits or not mac.isascii() or len(token) > 64:
        return None
    value = _read_digits(digits)
    if value is None:
        return None
    if hmac.compare_digest(_mac(purpose, value, settings.SECRET_KEY), mac):
        return value
    former = any(
        hmac.compare_digest(_mac(purpose, value, secret), mac) for secret in settings.SECRET_KEY_FALLBACKS
    )
    return value if former else None


def sign_pair(purpose: str, first: int, second: int) -> str:
    """`<first>.<second>.<mac>`: both ids under one signature."""
    return f"{_digits_of(first)}.{sign_id(f'{purpose}-{first}', second)}"


def read_pair(purpose: str, token: str) -> tuple[int, int] | None:
    """Both ids, or None when the token was not made here for this purpose."""
    digits, _dot, rest = token.strip().lower().partition(".")
    first = _read_digits(digits) if 0 < len(digits) <= 16 else None
    second = None if first is None else read_id(f"{purpose}-{first}", rest)
    return None if first is None or second is None else (first, second)

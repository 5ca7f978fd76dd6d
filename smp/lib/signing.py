"""Short signed tokens: an id and a purpose in, one URL- and address-safe word out. Nothing is stored.

`0-9a-v` only, so a token survives lower-casing (mail addresses) and double-clicking (URLs).
"""

import base64
import hashlib
import hmac
from functools import lru_cache

from django.conf import settings

MAC_BYTES = 10
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


@lru_cache(maxsize=4)
def _keyed(secret: str) -> hmac.HMAC:
    key = hashlib.sha256(b"smp-token:" + secret.encode()).digest()
    return hmac.new(key, digestmod="sha256")


def _mac(purpose: str, value: int) -> str:
    """80 bits as 16 digits. A mail needs four of these, so the keyed state is copied. Not `hmac.digest`: it lets other
    threads run, and getting one's turn back costs milliseconds in a busy worker."""
    mac = _keyed(settings.SECRET_KEY).copy()
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


def sign_id(purpose: str, value: int) -> str:
    """`<id in base 32>.<mac>`; different for every purpose."""
    if value < 0:
        raise ValueError("only ids can be signed")
    digits = _base32(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))
    return f"{digits}.{_mac(purpose, value)}"


def read_id(purpose: str, token: str) -> int | None:
    """The id, or None when the token was not made here for this purpose. Upper case is accepted."""
    digits, dot, mac = token.strip().lower().partition(".")
    if not dot or not digits or len(token) > 64:
        return None
    try:
        raw = base64.b32hexdecode(digits.upper() + "=" * (-len(digits) % 8))
    except ValueError:
        return None
    value = int.from_bytes(raw, "big")
    return value if hmac.compare_digest(sign_id(purpose, value), f"{digits}.{mac}") else None

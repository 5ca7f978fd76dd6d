"""Short signed tokens: an id and a purpose in, one URL- and address-safe word out. Nothing is stored.

`0-9a-v` only, so a token survives lower-casing (mail addresses) and double-clicking (URLs).
"""

import base64
import hashlib
import hmac

from django.conf import settings

MAC_BYTES = 10


def _mac(purpose: str, value: int) -> bytes:
    key = hashlib.sha256(b"smp-token:" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, f"{purpose}:{value}".encode(), hashlib.sha256).digest()[:MAC_BYTES]


def _base32(raw: bytes) -> str:
    return base64.b32hexencode(raw).decode().rstrip("=").lower()


def sign_id(purpose: str, value: int) -> str:
    """`<id in base 32>.<mac>`; different for every purpose."""
    if value < 0:
        raise ValueError("only ids can be signed")
    digits = _base32(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))
    return f"{digits}.{_base32(_mac(purpose, value))}"


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

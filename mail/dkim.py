"""DKIM signatures (RFC 6376, RFC 8463; RATE-4), relaxed/relaxed. Pure: the RSA operation is OpenSSL's by `cryptography`.

    signer = Signer([Key("example.jp", "s1", "rsa", private)])      # once; may be used by several threads
    data = signer.sign(data, at=now) + data

What receivers and list members rely on is covered, and signed once more than it is there ("oversigned"), so that a
second one cannot be added to a signed mail and shown in its place. Never `l=`: it would let anybody append a body.
"""

import base64
import binascii
import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

Algorithm = Literal["rsa", "ed25519"]
PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

RSA_BITS = 2048
SMALLEST_RSA_BITS = 1024  # RFC 8301 3.2: nobody verifies less

# Signed where present, each as often as it is there.
SIGNED = (
    "From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Sender", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID",
)  # fmt: skip
# Signed once more than present, also when there is none: adding one breaks the signature.
OVERSIGNED = (
    "From", "To", "Cc", "Subject", "Date", "Reply-To", "Content-Type", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip
_NAMES = tuple((name.lower().encode("ascii"), int(name in OVERSIGNED)) for name in SIGNED)
_LINE = 72

_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_SELECTOR = re.compile(r"(?=.{1,63}\Z)[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?")
_PIECE = 2047  # hashlib lets go of the GIL from 2048 bytes on
_PADDING = padding.PKCS1v15()
_SHA256 = hashes.SHA256()


class KeyProblem(ValueError):
    """A key that cannot sign; the text says why."""


@dataclass(frozen=True)
class Key:
    """One signing key. `private`: a key object, or PKCS#8 as DER or PEM. `domain` in A-labels. Raises KeyProblem."""

    domain: str
    selector: str
    algorithm: Algorithm
    private: PrivateKey | bytes

    def __post_init__(self) -> None:
        for name, pattern in (("domain", _DOMAIN), ("selector", _SELECTOR)):
            value = getattr(self, name).lower()
            if not pattern.fullmatch(value):
                raise KeyProblem(f"not a {name}: {value[:80]!r}")
            object.__setattr__(self, name, value)
        if isinstance(self.private, bytes | bytearray | memoryview):
            object.__setattr__(self, "private", load_private_key(bytes(self.private)))
        if algorithm_of(self.private_key) != self.algorithm:
            raise KeyProblem(f"not an {self.algorithm} key")

    @property
    def private_key(self) -> PrivateKey:
        assert not isinstance(self.private, bytes)
        return self.private


class Signer:
    """Signs with all its keys: RSA first, because some receivers look at the first signature only and not every one
    knows Ed25519."""

    def __init__(self, keys: Sequence[Key]) -> None:
        if not keys:
            raise KeyProblem("a signer needs a key")
        self.keys = tuple(sorted(keys, key=lambda key: key.algorithm != "rsa"))
        self._heads = [
            f"v=1; a={key.algorithm}-sha256; c=relaxed/relaxed; d={key.domain}; i=@{key.domain}; "
            f"q=dns/txt; s={key.selector}; t="
            for key in self.keys
        ]

    def sign(self, data: bytes, *, at: datetime) -> bytes:
        """The DKIM-Signature fields to put in front of the mail, with their CRLF. `at` becomes t=.

        `data` is the whole mail as it will be sent, before dot-stuffing. ValueError for a mail without From, and for
        a lone CR or LF, which a server on the way would change and with it the signature.
        """
        if not data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r"):
            raise ValueError("a lone CR or LF")
        header, _end, body = data.partition(b"\r\n\r\n")
        if data.startswith(b"\r\n"):
            header = b""
        names, signed = _signed_headers(header)
        body_hash = base64.b64encode(_hash(canonical_body(body)))
        fields = []
        for key, head in zip(self.keys, self._heads, strict=True):
            start, canonical = _layout(head, names)
            moment = b"%d" % at.timestamp()
            unsigned = canonical % (moment, body_hash)
            signature = _signature(key.private_key, signed + unsigned)
            fields.append(start % (moment, body_hash) + _folded_signature(signature))
        return b"".join(fields)


def _hash(data: bytes) -> bytes:
    """In pieces that hashlib hashes without letting other threads run: in a busy worker, getting one's turn back
    costs more than the hash."""
    digest = hashlib.sha256()
    view = memoryview(data)
    for start in range(0, len(data), _PIECE):
        digest.update(view[start : start + _PIECE])
    return digest.digest()


def _signature(private: PrivateKey, data: bytes) -> bytes:
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, _PADDING, _SHA256)
    return private.sign(hashlib.sha256(data).digest())  # RFC 8463 3: the hash is what is signed


def _folded_signature(signature: bytes) -> bytes:
    text = base64.b64encode(signature)
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return b"\r\n ".join(lines) + b"\r\n"


@functools.lru_cache(maxsize=1024)
def _layout(head: str, names: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """(the field as it stands in the mail, its canonical form), both with places for t= and bh=, and ending "b=".

    Mails of one job have the same names and key, so this happens once.
    """
    text = f"{head}{_MOMENT}; h={' : '.join(name.decode('ascii') for name in names)}; bh={_HASH}; b="
    folded = _fold(f"DKIM-Signature: {text}")
    field, canonical = (
        form.replace(_MOMENT, "%s").replace(_HASH, "%s").encode("ascii")
        for form in (folded, f"dkim-signature:{text}")
    )
    return field, canonical


# As wide as what comes there, and nothing that stands in a field.
_MOMENT, _HASH = "\0" * 10, "\1" * 44


def _fold(text: str) -> str:
    """Breaks at spaces only, so that the relaxed form is the text itself; bh= and b= on lines of their own."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and (len(lines[-1]) + len(word) >= _LINE or word.startswith(("bh=", "b="))):
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return "\r\n ".join(lines)


def _signed_headers(header: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """(names for h=, the header fields as they are signed). RFC 6376 3.4.2; several of one name from the last on
    (5.4.2)."""
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for field in _one_space(header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")).split(b"\r\n"):
        name, _colon, value = field.partition(b":")
        found[name.strip(b" ").lower()].append(value.strip(b" "))
    if b"from" not in found:
        raise ValueError("a mail without From cannot be signed")
    names: list[bytes] = []
    lines: list[bytes] = []
    for name, more in _NAMES:
        values = found.get(name, ())
        names += [name] * (len(values) + more)
        lines += [name + b":" + value + b"\r\n" for value in reversed(values)]
    return tuple(names), b"".join(lines)


def canonical_body(body: bytes) -> bytes:
    """The relaxed form (RFC 6376 3.4.4). What our encodings produce mostly has nothing to change: looked at first."""
    body = _one_space(body)
    if not body.endswith(b"\r\n"):
        body += b"\r\n"  # also of the empty body, which becomes empty again below
    if body.find(b" \r\n", 0, body.rfind(b" ") + 3) >= 0:
        body = body.replace(b" \r\n", b"\r\n")
    if body.endswith(b"\r\n\r\n") or body == b"\r\n":
        body = body.rstrip(b"\r\n")
        body = body + b"\r\n" if body else b""
    return body


def _one_space(text: bytes) -> bytes:
    """Runs of spaces and tabs as one space. Halving is faster than a pattern, and takes log2(n) rounds at most. Nothing
    is looked for behind the last space: base64 has none."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while text.find(b"  ", 0, text.rfind(b" ") + 1) >= 0:
        text = text.replace(b"  ", b" ")
    return text


# ---- keys


def generate_private_key(algorithm: Algorithm) -> bytes:
    """A new key as PKCS#8 DER, unencrypted: RSA-2048 or Ed25519."""
    key: PrivateKey
    if algorithm == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_key(pkcs8: bytes) -> PrivateKey:
    """From DER or PEM. KeyProblem for what cannot sign here."""
    load = (
        serialization.load_pem_private_key
        if pkcs8.lstrip().startswith(b"-----")
        else serialization.load_der_private_key
    )
    try:
        key = load(pkcs8, password=None)
    except Exception as error:  # cryptography raises several kinds for bytes that are no key
        raise KeyProblem("this is no PKCS#8 private key without a password") from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SMALLEST_RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise KeyProblem(f"only RSA keys of at least {SMALLEST_RSA_BITS} bits and Ed25519 keys can sign")


def algorithm_of(private: object) -> Algorithm:
    if isinstance(private, rsa.RSAPrivateKey):
        return "rsa"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise KeyProblem("only RSA and Ed25519 keys can sign")


def public_key_text(private: PrivateKey | bytes) -> str:
    """Base64 for p= of the key's DNS record: SubjectPublicKeyInfo for RSA, the bare 32 bytes for Ed25519 (RFC 8463 4)."""
    key = load_private_key(private) if isinstance(private, bytes) else private
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if isinstance(key, ed25519.Ed25519PrivateKey):
        encoding, form = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return binascii.b2a_base64(key.public_key().public_bytes(encoding, form), newline=False).decode("ascii")

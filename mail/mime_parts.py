"""The content of a mail as MIME entities (RFC 2045, 2046): (header fields, body), both with CRLF at their ends.

A mail is made a million times a job, so nothing here looks at single lines or characters in Python: what is nearly
always in order (no control characters, no odd line ends) is found out by a few passes of C over the bytes.
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from mail.headers import file_name_parameters, raw_field
from mail.japanese import as_iso_2022_jp, compose_kana, without_controls
from mail.merging import normalise_newlines
from mail.models.template import Charset

Entity = tuple[bytes, bytes]

_MIME_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")
_ORDINARY = bytes([0x09, 0x0A, *range(0x20, 0x7F)])  # tab, line feed, printable ASCII
_NON_ASCII = bytes(range(0x80, 0x100))
_C1_CONTROL = re.compile(rb"\xc2[\x80-\x9f]")
_LINE_MAX = 998  # RFC 5322 2.1.1
_BASE64_LINE = 76  # RFC 2045 6.8


class Body(NamedTuple):
    """A merged text with LF only, without control characters, ending with a line end."""

    text: str
    utf8: bytes  # the same
    others: int  # how many of these bytes are not ASCII


EMPTY_BODY = Body("", b"", 0)  # of a form without this part


def clean_body(text: str) -> Body:
    """What may be sent of a merged text."""
    if "\r" not in text and "\u3099" not in text and "\u309a" not in text:
        try:
            utf8 = text.encode()
        except UnicodeEncodeError:  # lone surrogates
            return _clean_slowly(text)
        others = utf8.translate(None, _ORDINARY)
        if not others.translate(None, _NON_ASCII) and not _C1_CONTROL.search(others):
            if not utf8.endswith(b"\n"):
                text, utf8 = text + "\n", utf8 + b"\n"
            return Body(text, utf8, len(others))
    return _clean_slowly(text)


def _clean_slowly(text: str) -> Body:
    text = without_controls(normalise_newlines(compose_kana(text)))
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)  # lone surrogates are no characters
    if not text.endswith("\n"):
        text += "\n"
    utf8 = text.encode()
    return Body(text, utf8, len(utf8.translate(None, bytes(range(0x80)))))


def text_part(subtype: str, body: Body, charset: str) -> Entity:
    """text/plain or text/html in the character set, or in UTF-8 where it does not fit."""
    encoded = as_iso_2022_jp(body.text) if charset == Charset.ISO_2022_JP else None
    if encoded is not None:
        label, others = "ISO-2022-JP", 0
    else:
        label, encoded, others = "UTF-8", body.utf8, body.others
    if not others and max(map(len, encoded.split(b"\n"))) <= _LINE_MAX:
        # ISO-2022-JP's own form; its longest lines go the other way rather than being broken inside a sentence.
        way, content = "7bit", encoded.replace(b"\n", b"\r\n")
    elif others * 6 < len(encoded) and b"\x1b" not in encoded:
        # Readable as it is, for mostly ASCII text; base64 for Japanese.
        way, content = "quoted-printable", _quoted_printable(encoded)
    else:
        way, content = "base64", _base64(encoded.replace(b"\n", b"\r\n"))
    return _text_header(subtype, label, way), content


@cache  # a dozen combinations
def _text_header(subtype: str, label: str, way: str) -> bytes:
    return raw_field("Content-Type", f"text/{subtype}; charset={label}") + raw_field(
        "Content-Transfer-Encoding", way
    )


def _quoted_printable(encoded: bytes) -> bytes:
    return binascii.b2a_qp(encoded, istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _base64(raw: bytes) -> bytes:
    """RFC 2045 6.8, in lines of 76 characters. Many times as fast as base64.encodebytes."""
    encoded = binascii.b2a_base64(raw, newline=False)
    full = len(encoded) // _BASE64_LINE
    if full <= 1000:
        lines = list(_lines(full).unpack_from(encoded))  # one call instead of a slice a line
    else:
        lines = [encoded[start : start + 76] for start in range(0, full * _BASE64_LINE, _BASE64_LINE)]
    if rest := encoded[full * _BASE64_LINE :]:
        lines.append(rest)
    lines.append(b"")
    return b"\r\n".join(lines)


@lru_cache(maxsize=256)
def _lines(count: int) -> struct.Struct:
    return struct.Struct(f"{_BASE64_LINE}s" * count)


def multipart(subtype: str, boundary: str, parts: list[Entity]) -> Entity:
    """`boundary`: nothing that can stand in a part; our own, of the delivery's id and `=_`."""
    mark = b"--" + boundary.encode("ascii")
    pieces = []
    for header, content in parts:
        pieces += [mark, b"\r\n", header, b"\r\n", content, b"\r\n"]
    pieces += [mark, b"--\r\n"]
    return raw_field("Content-Type", f"multipart/{subtype};", f'boundary="{boundary}"'), b"".join(pieces)


def attachment_part(part: Mapping[str, str]) -> Entity:
    """`part`: name, type and content (base64) as they stand in a snapshot."""
    typed, disposed = file_name_parameters(part["name"])
    kind = part["type"] if _MIME_TYPE.fullmatch(part["type"]) else "application/octet-stream"
    header = (
        raw_field("Content-Type", f"{kind};", *typed)
        + raw_field("Content-Disposition", "attachment;", *disposed)
        + raw_field("Content-Transfer-Encoding", "base64")
    )
    return header, _base64(base64.b64decode(part["content"]))

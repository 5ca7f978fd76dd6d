"""A small MIME reader for mail that comes back: total, iterative where it matters, bounded whatever comes in.

`email.parser` is not used here: nested parts make it recurse and cost depth × lines, and bounces are broken in ways it
gives up on (no boundary parameter, bare CR line ends, a delivery-status in base64). Never raises.
"""

import binascii
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.header import decode_header

READ_MAX = (
    1024 * 1024
)  # what a report says stands before the returned mail; the rest of a big one is not needed
DEPTH_MAX = 12
PARTS_MAX = 200
HEADERS_MAX = 400
HEADER_MAX = 4000
LINE_MAX = 2000
TEXT_MAX = 200_000


@dataclass
class Part:
    """One entity. `body` is raw (still encoded); `parts` are the parts of a multipart, or the one mail inside a
    message/rfc822 or text/rfc822-headers."""

    headers: list[tuple[str, str]] = field(default_factory=list)  # lower-case names, unfolded values
    body: bytes = b""
    parts: list["Part"] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def shown(self, name: str) -> str:
        """A header for reading: encoded words decoded, one line."""
        return decoded_words(self.get(name))

    @property
    def type(self) -> str:
        kind = re.match(r"\s*([\w.+-]+/[\w.+-]+)", self.get("content-type"))
        return kind[1].lower() if kind else "text/plain"

    def parameter(self, name: str) -> str:
        match = re.search(
            rf";\s*{name}\s*\*?\s*=\s*(?:\"([^\"]*)\"|([^\s;]+))", self.get("content-type"), re.IGNORECASE
        )
        return (match[1] if match[1] is not None else match[2]) if match else ""

    @property
    def is_message(self) -> bool:
        return self.type in _MESSAGES

    def decoded(self) -> bytes:
        return _transfer_decoded(self.body, self.get("content-transfer-encoding"))

    def text(self) -> str:
        """What a person reads of a text part (HTML as text), lines and length bounded."""
        text = decoded_text(self.decoded()[: TEXT_MAX * 4], self.parameter("charset"))[:TEXT_MAX]
        if self.type == "text/html":
            text = text_of_html(text)
        return "\n".join(line[:LINE_MAX] for line in text.split("\n"))

    def walk(self) -> Iterator["Part"]:
        """This part and all in it, without what stands inside a returned mail."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            if not part.is_message:
                waiting.extend(reversed(part.parts))


_MESSAGES = frozenset(
    {"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers", "text/rfc822"}
)


def parse(raw: bytes) -> Part:
    raw = raw[:READ_MAX].replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b" ")
    raw = re.sub(rb"\A(?:[ \t]*\n)*(?:>?From [^\n]*\n)?", b"", raw, count=1)
    return _Parser().entity(raw, 0)


class _Parser:
    def __init__(self) -> None:
        self.count = 0

    def entity(self, raw: bytes, depth: int, default_type: str = "") -> Part:
        self.count += 1
        headers, body = split_headers(raw)
        part = Part(headers, body)
        if default_type and not part.get("content-type"):
            part.headers.append(("content-type", default_type))
        if depth >= DEPTH_MAX or self.count >= PARTS_MAX:
            return part
        if part.type.startswith("multipart/"):
            inner = "message/rfc822" if part.type == "multipart/digest" else ""
            for chunk in _chunks(body, part.parameter("boundary")):
                if self.count < PARTS_MAX:
                    part.parts.append(self.entity(chunk, depth + 1, inner))
        elif part.is_message:
            part.parts.append(self.entity(part.decoded().lstrip(b"\n"), depth + 1))
        return part


_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:(.*)", re.DOTALL)


def split_headers(raw: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Headers until the first empty line, or the first line that can be none; then the body."""
    headers: list[tuple[str, str]] = []
    position = 0
    while position < len(raw):
        end = raw.find(b"\n", position)
        end = len(raw) if end < 0 else end
        line = raw[position:end]
        if not line.strip():
            return headers, raw[end + 1 :]
        match = _FIELD.match(line[:HEADER_MAX])
        if line[:1] in b" \t" and headers:
            name, value = headers[-1]
            if len(value) < HEADER_MAX:
                headers[-1] = (name, f"{value} {_utf8(line[:HEADER_MAX]).strip()}")
        elif match and len(headers) < HEADERS_MAX:
            headers.append((match[1].decode("ascii").lower(), _utf8(match[2]).strip()))
        elif not match:
            return headers, raw[position:]
        position = end + 1
    return headers, b""


def _chunks(body: bytes, boundary: str) -> list[bytes]:
    """The parts of a multipart. Without a (right) boundary: whatever line looks like one."""
    wanted = b"--" + boundary.encode("utf-8", "replace").rstrip()
    found = (
        re.search(rb"^" + re.escape(wanted) + rb"(?:--)?[ \t]*$", body, re.MULTILINE) if boundary else None
    )
    if not found:
        guess = re.search(
            rb"^(--[^\s\n][^\n]{2,98}?)[ \t]*\n(?:[ \t]*\n)?content-", body, re.MULTILINE | re.IGNORECASE
        )
        if not guess:
            return [b"\n" + body] if body.strip() else []
        wanted = guess[1]
    pieces = re.split(
        rb"^" + re.escape(wanted) + rb"(--)?[ \t]*(?:\n|\Z)", body, maxsplit=PARTS_MAX, flags=re.MULTILINE
    )
    # pieces: preamble, mark, part, mark, part, …; a part after the closing mark is the epilogue
    chunks = []
    for closing, chunk in zip(pieces[1::2], pieces[2::2], strict=False):
        if closing:
            break
        chunks.append(chunk.removesuffix(b"\n"))
    return chunks


def _transfer_decoded(body: bytes, encoding: str) -> bytes:
    encoding = encoding.split(";")[0].strip().strip('"').lower()
    if encoding == "base64":
        data = re.sub(rb"[^A-Za-z0-9+/]", b"", re.split(rb"\n[ \t]*\n(?=[^\n]*[ .<@])", body)[0])
        try:
            return binascii.a2b_base64(
                data[: len(data) // 4 * 4] + _padded(data[len(data) // 4 * 4 :])
            ).replace(b"\r\n", b"\n")
        except (binascii.Error, ValueError):
            return body
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body).replace(b"\r\n", b"\n")
    return body


def _padded(rest: bytes) -> bytes:
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


_CHARSET = re.compile(
    r"(?:utf-?8|utf-?16\w*|us-ascii|ascii|iso-?8859-?\d+|iso-?2022-?(?:jp|kr)\w*|windows-?\d+|cp-?\d+|koi8-\w|gb\w+|big5\w*|euc-?\w+|shift[_-]?jis|sjis|x-sjis|ks_c_5601\S*|latin-?\d|tis-620)"
)
_ALIASES = {
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "iso-2022-jp": "iso2022_jp_ext",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
}


def decoded_text(data: bytes, charset: str = "") -> str:
    charset = charset.strip().strip("'\"").lower()
    if b"\x1b$" in data:
        charset = "iso-2022-jp"
    if not _CHARSET.fullmatch(charset) or charset in {"us-ascii", "ascii"}:
        charset = "utf-8"
    for name in (_ALIASES.get(charset, charset), "utf-8", "euc_jp", "cp932"):  # EUC-JP would pass for CP932
        try:
            return data.decode(name)
        except (UnicodeError, LookupError):
            continue
    try:
        return data.decode(_ALIASES.get(charset, charset), "replace")
    except (UnicodeError, LookupError):
        return data.decode("latin-1")


def _utf8(data: bytes) -> str:
    return decoded_text(data) if b"\x1b$" in data else data.decode("utf-8", "replace")


def decoded_words(value: str) -> str:
    """RFC 2047, for reading; what cannot be decoded stays as it is."""
    if "=?" in value:
        try:
            value = "".join(
                decoded_text(text, charset or "") if isinstance(text, bytes) else text
                for text, charset in decode_header(value[:HEADER_MAX])
            )
        except Exception:
            return " ".join(value.split())
    return " ".join(value.split())


def text_of_html(text: str) -> str:
    for name in ("style", "script", "head"):
        text = _without(text, name)
    text = re.sub(
        r"(?i)<(?:br|p|/p|div|/div|tr|/tr|li|/li|h\d|/h\d|hr|table|/table|pre|/pre|blockquote)\b[^<>]{0,500}>",
        "\n",
        text,
    )
    text = re.sub(r"<(?!\S{1,64}@)[!/a-zA-Z][^<>]{0,1000}>", " ", text)
    text = html.unescape(text).replace("\xa0", " ")
    return re.sub(r"\n[ \t]*(?:\n[ \t]*)+", "\n\n", text)


def _without(text: str, element: str) -> str:
    """Without the elements of this name; one that is never closed takes the rest along. Linear."""
    folded = text.lower()
    if len(folded) != len(text):  # İ and its like change length
        folded = text
    kept, position = [], 0
    while (start := folded.find(f"<{element}", position)) >= 0:
        if folded[start + len(element) + 1 : start + len(element) + 2].isalnum():  # <header> is no <head>
            kept.append(text[position : start + 1])
            position = start + 1
            continue
        kept.append(text[position:start])
        end = folded.find(f"</{element}", start)
        if end < 0:
            return "".join(kept)
        position = folded.find(">", end) + 1 or len(text)
    return "".join([*kept, text[position:]])

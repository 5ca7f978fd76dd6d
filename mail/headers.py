"""Header fields as bytes (RFC 5322, 2047, 2231), written here because Python 3.11's `email` lets a subject such as
`=?utf-8?q?x=0D=0ABcc:_evil@example.com?=` become a real Bcc field. Everything that comes in is hostile.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from urllib.parse import quote

from mail.japanese import as_iso_2022_jp, compose_kana

LINE = 76  # RFC 2047 2: a line with an encoded word
WORD = 75  # RFC 2047 2: an encoded word
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_PLAIN = re.compile(r"[\x20-\x7e]*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\- ]*")
# What may belong to the character before or after it; a text without any can be cut between all its characters.
_JOINING = re.compile(
    "[\u0300-\u036f\u200d\u3099\u309a\ufe00-\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
)
# A character with what belongs to it: marks, variation selectors, joined emoji. Kept in one word while they fit.
_CLUSTER = re.compile(
    "(?:[\U0001f1e6-\U0001f1ff]{2}|.)(?:[\u0300-\u036f\u3099\u309a\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]|\u200d.)*",
    re.DOTALL,
)


def one_line(text: str) -> str:
    """Line ends and every other control character folded into one space: called after merging, on every value."""
    text = compose_kana(text)
    return (text if text.isprintable() else _UNSAFE.sub(" ", text)).strip()


def fits_plain(text: str) -> bool:
    """Whether the text may stand in a header as it is: printable ASCII without anything like an encoded word."""
    return bool(_PLAIN.fullmatch(text)) and "=?" not in text


def text_field(name: str, text: str, charset: str) -> bytes:
    """`Name: text` with encoded words where needed, folded. `charset`: utf-8 or iso-2022-jp."""
    text = one_line(text)
    if fits_plain(text) and len(name) + 2 + len(text) <= LINE:
        return f"{name}: {text}\r\n".encode("ascii")
    words = encoded_words(text, charset, first=LINE - len(name) - 2)
    return f"{name}: ".encode("ascii") + b"\r\n ".join(words) + b"\r\n"


def raw_field(name: str, *pieces: str) -> bytes:
    """A field whose pieces are already in their final form, one line each. ValueError for what could break out."""
    for piece in (name, *pieces):
        if not _PLAIN.fullmatch(piece):
            raise ValueError(f"not a header line: {piece!r}")
    return f"{name}: ".encode("ascii") + "\r\n ".join(pieces).encode("ascii") + b"\r\n"


def mailboxes_field(name: str, mailboxes: Iterable[tuple[str, str]], charset: str) -> bytes:
    """`Name: "display" <address>, …`, one mailbox a line. Addresses must be in envelope form."""
    entries = []
    for display, address in mailboxes:
        words = _display_name(display, charset, first=LINE - len(name) - 2) if display else []
        spec = f"<{address}>" if words else address
        lines = [word.decode("ascii") for word in words]
        if lines and len(lines[-1]) + 1 + len(spec) + (len(name) + 2 if len(lines) == 1 else 1) <= LINE:
            lines[-1] += f" {spec}"
        else:
            lines.append(spec)
        entries.append(lines)
    pieces = [
        line + ("," if line is lines[-1] and lines is not entries[-1] else "")
        for lines in entries
        for line in lines
    ]
    return raw_field(name, *pieces)


def _display_name(text: str, charset: str, first: int) -> list[bytes]:
    text = one_line(text)
    if not text:
        return []
    if fits_plain(text) and len(text) <= 60:
        if _ATOMS.fullmatch(text):
            return [text.encode("ascii")]
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{escaped}"'.encode("ascii")]
    return encoded_words(text, charset, first=first)


def encoded_words(text: str, charset: str, *, first: int = WORD) -> list[bytes]:
    """The text as encoded words of at most 75 characters, the first at most `first`, none cutting a character.

    An ISO-2022-JP word begins and ends in ASCII. A text that does not fit into ISO-2022-JP is encoded as UTF-8.
    """
    japanese = charset == "iso-2022-jp" and as_iso_2022_jp(text) is not None
    if not japanese and not _JOINING.search(text):
        return _utf8_words(text.encode(), first)
    label = "ISO-2022-JP" if japanese else "UTF-8"
    words: list[bytes] = []
    current = ""
    for cluster in _clusters(text, 24):
        room = (min(first, WORD) if not words else WORD) - len(label) - 7
        if current and _base64_length(_encode(current + cluster, japanese)) > room:
            words.append(_word(current, label, japanese))
            current = ""
        current += cluster
    if current or not words:
        words.append(_word(current, label, japanese))
    return words


def _utf8_words(raw: bytes, first: int) -> list[bytes]:
    """The same for UTF-8 that may be cut between any two characters: as much as fits, word by word."""
    words: list[bytes] = []
    start, width = 0, min(first, WORD)
    while start < len(raw) or not words:
        end = start + max(width - len("=?UTF-8?B??="), 0) // 4 * 3
        while start < end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        if end <= start:  # no room for one character: it goes in all the same
            end = start + 1
            while end < len(raw) and raw[end] & 0xC0 == 0x80:
                end += 1
        words.append(b"=?UTF-8?B?" + binascii.b2a_base64(raw[start:end], newline=False) + b"?=")
        start, width = end, WORD
    return words


def _clusters(text: str, longest: int) -> Iterable[str]:
    """The text in pieces of at most `longest` bytes of UTF-8, split inside a cluster only when it is longer."""
    for match in _CLUSTER.finditer(text):
        cluster = match.group()
        if len(cluster.encode()) <= longest:
            yield cluster
        else:
            yield from cluster


def _encode(text: str, japanese: bool) -> bytes:
    if japanese:
        encoded = as_iso_2022_jp(text)
        if encoded is not None:
            return encoded
    return text.encode()


def _base64_length(raw: bytes) -> int:
    return (len(raw) + 2) // 3 * 4


def _word(text: str, label: str, japanese: bool) -> bytes:
    return f"=?{label}?B?".encode("ascii") + base64.b64encode(_encode(text, japanese)) + b"?="


def file_name_parameters(name: str) -> tuple[list[str], list[str]]:
    """(for Content-Type, for Content-Disposition): the file name in the two ways mail programs look for it.

    RFC 2231 in the disposition; encoded words inside `name="…"` for programs that only know those.
    """
    name = one_line(name)
    if fits_plain(name) and len(name) <= 60:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return [f'name="{quoted}"'], [f'filename="{quoted}"']
    words = [word.decode("ascii") for word in encoded_words(name, "utf-8", first=WORD - 8)]
    words[0] = f'name="{words[0]}'
    words[-1] += '"'
    return words, _continued("filename", name)


def _continued(parameter: str, text: str) -> list[str]:
    """RFC 2231 3 and 4: `filename*0*=UTF-8''…; filename*1*=…`, no character cut in two."""
    chunks = [""]
    for character in text:
        escaped = quote(character, safe="")
        if len(chunks[-1]) + len(escaped) > 50:
            chunks.append("")
        chunks[-1] += escaped
    if len(chunks) == 1:
        return [f"{parameter}*=UTF-8''{chunks[0]}"]
    lines = [
        f"{parameter}*{i}*={'UTF-8' + chr(39) * 2 if i == 0 else ''}{chunk}" for i, chunk in enumerate(chunks)
    ]
    return [line + ";" for line in lines[:-1]] + lines[-1:]


def field_names(block: bytes) -> list[str]:
    """The names a header block really has, as a receiver reads it. ValueError for anything that is no header line:
    the last check before a mail leaves, so that a mistake above cannot let a value become a field."""
    names: list[str] = []
    if not block.endswith(b"\r\n"):
        raise ValueError("header block does not end with CRLF")
    for line in block[:-2].split(b"\r\n"):
        if (
            b"\r" in line
            or b"\n" in line
            or b"\0" in line
            or not line.isascii()
            or not line.strip()
            or len(line) > 998
        ):
            raise ValueError(f"not a header line: {line[:80]!r}")
        if line[:1] in b" \t":
            if not names:
                raise ValueError("a header block cannot begin with a continuation")
            continue
        name, colon, _value = line.partition(b":")
        if not colon or not re.fullmatch(rb"[!-9;-~]+", name):
            raise ValueError(f"not a header line: {line[:80]!r}")
        names.append(name.decode("ascii"))
    return names


def reads_back(block: bytes, starts: list[bytes]) -> bool:
    """Whether a receiver reads exactly these fields (`starts`: b"Subject:", …) in the block: what `field_names` finds
    out line by line, in a fraction of the time."""
    lines = block[:-2].split(b"\r\n")
    return (
        block.endswith(b"\r\n")
        and not block.startswith((b" ", b"\t"))
        and block.isascii()
        and b"\0" not in block
        and block.count(b"\r") == block.count(b"\n") == len(lines)
        and max(map(len, lines)) <= 998
        and all(map(bytes.strip, lines))
        and [line[: line.find(b":") + 1] for line in lines if line[:1] not in b" \t"] == starts
    )

"""From the bytes of a file to rows of text. Streams: memory stays flat whatever the size.

What is recognised: UTF-8 (with BOM or without), CP932, UTF-16 with BOM (Excel's "Unicode text"); comma, tab or
semicolon; quoted line breaks; every kind of line end. The order of the guesses matters: Japanese CP932 text is
practically never valid UTF-8, while nearly any bytes can be read as CP932.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from leads.imports.problems import FileProblem

Blocks = Callable[[], Iterator[bytes]]  # the file from its beginning, in pieces of about a megabyte

LONGEST_LINE = 4_000_000  # bytes; more is a file without line ends, or no text
LONGEST_CELL = 200_000
# Python's codec lets these single bytes pass (80 A0 FD FE FF); no Japanese program writes them.
_NO_CP932 = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
_END = "\x1eend of the file\x1e"


@dataclass(frozen=True)
class Recognised:
    encoding: str  # "utf-8", "cp932", "utf-16"
    delimiter: str
    lines: int  # line ends in the file: about the number of rows


def recognise(blocks: Blocks) -> Recognised:
    """Looks at the whole file. Raises FileProblem with line and byte (both from 1) of what cannot be read."""
    start = next((block for block in blocks() if block), b"")
    if not start:
        raise FileProblem("empty")
    if start[:4] in {b"PK\x03\x04", b"\xd0\xcf\x11\xe0"}:
        raise FileProblem("workbook")
    if start[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        encoding, lines = "utf-16", _check_utf16(blocks)
    else:
        encoding, lines = _utf8_or_cp932(blocks)
    return Recognised(encoding, _delimiter(blocks, encoding), lines)


def rows_of(blocks: Blocks, found: Recognised) -> Iterator[list[str]]:
    """The file's rows from the header on, as lists of cells; [] for an empty line. Raises FileProblem."""
    encoding = "utf-8-sig" if found.encoding == "utf-8" else found.encoding
    text = io.TextIOWrapper(io.BufferedReader(_Stream(blocks()), 1 << 20), encoding=encoding, newline="")
    csv.field_size_limit(LONGEST_CELL)
    rows = csv.reader(_with_end(text), delimiter=found.delimiter)
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            if row and row[-1].endswith(_END):
                # An unclosed quotation mark swallows everything behind it, our end mark too.
                if row != [_END]:
                    raise FileProblem("open_quote", line=number)
                return
            yield row
    except csv.Error:
        raise FileProblem("open_quote", line=number + 1) from None


def _with_end(lines: Iterator[str] | io.TextIOWrapper) -> Iterator[str]:
    line = ""
    for line in lines:
        yield line
    # A last line without line end would otherwise run into the mark.
    yield "\n" + _END if line and line[-1] not in "\r\n" else _END


class _Stream(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        taken = min(len(buffer), len(self._left))
        buffer[:taken] = self._left[:taken]
        self._left = self._left[taken:]
        return taken


def _utf8_or_cp932(blocks: Blocks) -> tuple[str, int]:
    first_fault: tuple[int, int] | None = None  # line, byte: where it stops being UTF-8
    lines = 0
    utf8_line = 0  # a line that only makes sense as UTF-8, once UTF-8 was given up
    cp932_fault: tuple[int, int] | None = None
    bom = next(blocks(), b"").startswith(codecs.BOM_UTF8)
    for block in _whole_lines(blocks):
        if (nul := block.find(b"\0")) >= 0:
            line, byte = _place(block, nul, lines)
            raise FileProblem("binary", line=line, byte=byte)
        if not block.isascii():
            fault = _fault(block, "utf-8")
            if fault is not None and first_fault is None:
                first_fault = _place(block, fault, lines)
            if cp932_fault is None and (fault := _fault(block, "cp932")) is not None:
                cp932_fault = _place(block, fault, lines)
            if utf8_line == 0:
                utf8_line = _line_of_japanese_utf8(block, lines)
        lines += block.count(b"\n")
    if first_fault is None:
        return "utf-8", lines
    line, byte = first_fault
    if utf8_line or bom:
        raise FileProblem("mixed_encoding", line=line, byte=byte, other=utf8_line or 1)
    if cp932_fault is not None:
        line, byte = cp932_fault
        raise FileProblem("encoding", line=line, byte=byte)
    return "cp932", lines


def _line_of_japanese_utf8(block: bytes, lines: int) -> int:
    """The number of the first line that reads as Japanese in UTF-8, or 0. CP932 text practically never does."""
    for number, line in enumerate(block.split(b"\n"), lines + 1):
        if not line.isascii():
            try:
                text = line.decode()
            except UnicodeDecodeError:
                continue
            if max(text) >= "\u3000":
                return number
    return 0


def _fault(block: bytes, encoding: str) -> int | None:
    try:
        text = block.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    if encoding == "cp932" and (odd := _NO_CP932.search(text)):
        return len(text[: odd.start()].encode("cp932"))
    return None


def _place(block: bytes, offset: int, lines: int) -> tuple[int, int]:
    return lines + block.count(b"\n", 0, offset) + 1, offset - block.rfind(b"\n", 0, offset)


def _whole_lines(blocks: Blocks) -> Iterator[bytes]:
    """The same bytes, cut behind line ends only, so that no character is cut."""
    rest = b""
    lines = 0
    for block in blocks():
        cut = block.rfind(b"\n") + 1
        if not cut:  # old Macintosh line ends: cut behind \r, which is no part of a character either
            cut = block.rfind(b"\r") + 1
        if cut:
            yield rest + block[:cut]
            lines += block.count(b"\n")
            rest = block[cut:]
        else:
            rest += block
        if len(rest) > LONGEST_LINE:
            raise FileProblem("long_line", line=lines + 1, limit=LONGEST_LINE)
    if rest:
        yield rest


def _check_utf16(blocks: Blocks) -> int:
    decoder = codecs.getincrementaldecoder("utf-16")()
    lines, before, run = 0, 0, 0
    try:
        for block in blocks():
            text = decoder.decode(block)
            lines += text.count("\n")
            run = len(text) - text.rfind("\n") - 1 if "\n" in text else run + len(text)
            if run > LONGEST_LINE:
                raise FileProblem("long_line", line=lines + 1, limit=LONGEST_LINE)
            before += len(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise FileProblem("utf16", byte=before + error.start + 1) from None
    return lines


def _delimiter(blocks: Blocks, encoding: str) -> str:
    """Comma, tab or semicolon: what stands most often in the header, outside of quotation marks."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    header = ""
    for block in blocks():
        header += decoder.decode(block)
        if "\n" in header or "\r" in header:
            break
    counts = dict.fromkeys(",\t;", 0)
    quoted = False
    for character in header:
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character in "\r\n":
            if any(counts.values()) or header.strip("\r\n\ufeff ") == "":
                break
        elif character in counts:
            counts[character] += 1
    return max(counts, key=lambda delimiter: counts[delimiter])

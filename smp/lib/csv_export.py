"""CSV-3: files for a spreadsheet. UTF-8 with a byte order mark, CRLF, streamed; no cell can be a formula, zeros stay."""

import csv
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from django.http import StreamingHttpResponse
from django.utils import timezone

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
BOM = "\ufeff"


def safe_cell(value: Any) -> str:
    """The cell's text. One that a spreadsheet would compute (or that begins with our own mark) gets a leading '.

    Numbers are written plain; negative ones are numbers, not formulas. Times are Japan's, to the second.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, datetime):
        return f"{timezone.localtime(value) if timezone.is_aware(value) else value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return value.isoformat()
    text = str(value).replace("\0", "")
    # A file that is read in again must give the same text, so a text that begins like a mark is marked too.
    if text.startswith(FORMULA_STARTS) or is_marked(text) or text.startswith("''"):
        return "'" + text
    return text


def is_marked(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == "'" and cell[1:].startswith((*FORMULA_STARTS, "'"))


def plain_cell(cell: str) -> str:
    """The opposite of `safe_cell`, for imports of our own exports: takes off the mark, and only the mark."""
    return cell[1:] if is_marked(cell) else cell


class _Echo:
    def write(self, line: str) -> str:
        return line


def csv_lines(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    yield BOM + writer.writerow([safe_cell(cell) for cell in header])
    for row in rows:
        yield writer.writerow([safe_cell(cell) for cell in row])


def csv_response(
    file_name: str, header: Iterable[Any], rows: Iterable[Iterable[Any]]
) -> StreamingHttpResponse:
    """A download that never holds the whole file in memory; `rows` may be `queryset.iterator()`-fed."""
    response = StreamingHttpResponse(csv_lines(header, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(file_name)}"
    response["Cache-Control"] = "no-store"
    return response

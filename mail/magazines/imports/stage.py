"""Rows of a file of readers → mail_readerimportrow, by COPY, a few thousand at a time. What the readers of the moment make of
them is seen by judge.py; here only what the file itself says: wrong cells, and the same address twice (EXC-4)."""

import io
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import connection

from leads.imports.columns import Column
from leads.imports.problems import FileProblem, Found
from leads.imports.read import Blocks, Recognised, rows_of
from leads.imports.stage import blank_rows, copy_json, copy_text, refuse_values_without_header, sort_out
from leads.models import LeadColumn
from leads.search_text import FIELDS, search_texts
from mail.magazines.imports.columns import LEAD_FIELDS, REGISTERED_AT, clean
from mail.models import ReaderImport, ReaderImportRow

BATCH = 5_000
MOST_ROWS = 1_000_000

_COPY = (
    'COPY mail_readerimportrow (reader_import_id, line, "group", address, address_norm, "values", problems, notes) '
    "FROM STDIN"
)
_as_json = json.JSONEncoder(ensure_ascii=False).encode  # made once: half the time of json.dumps
Group = ReaderImportRow.Group


def refuse_too_many(blocks: Blocks, found: Recognised) -> None:
    """A file with too many line ends is counted before a minute is spent on judging its rows (line ends may stand in cells).
    Raises FileProblem."""
    if found.lines > MOST_ROWS:
        rows = sum(1 for row in rows_of(blocks, found) if any(cell.strip() for cell in row)) - 1  # the header
        if rows > MOST_ROWS:
            raise FileProblem("too_many_rows", limit=MOST_ROWS)


class ReaderStager:
    """Stages one file's rows; `rows` counts them."""

    def __init__(self, reader_import: ReaderImport, columns: Sequence[Column], *, now: datetime) -> None:
        self.import_id = reader_import.pk
        self.columns = columns
        self.now = now
        self.targets = [(number, column) for number, column in enumerate(columns) if column.target]
        self.address_place = next(n for n, column in enumerate(columns) if column.target == "email")
        self.ignored = [n for n, column in enumerate(columns) if not column.target and not column.note]
        self.rows = 0
        self.first_of: dict[str, int] = {}  # EXC-4: norm → the first row that has it, and nothing wrong

    def stage(self, rows: Iterator[list[str]], first_line: int) -> int:
        """Takes the next batch from `rows`; the number of rows taken from it, 0 at the end."""
        batch = list(islice(rows, BATCH))
        if not batch:
            return 0
        taken = len(batch)
        lines, batch, ragged = sort_out(range(first_line, first_line + taken), batch, len(self.columns))
        out = [self._line(line, Group.MALFORMED, "", "", {}, [problem], None) for line, problem in ragged]
        if batch:
            out += self._staged(lines, batch)
        self.rows += len(out)
        if self.rows > MOST_ROWS:
            raise FileProblem("too_many_rows", limit=MOST_ROWS)
        if out:
            with connection.cursor() as cursor:
                cursor.copy_expert(_COPY, io.StringIO("".join(out)))
        return taken

    def end(self) -> None:
        """Everything is staged: the planner hears of it, else it guesses one row. Not of the wide columns, which nobody compares."""
        with connection.cursor() as cursor:
            cursor.execute(
                'ANALYZE mail_readerimportrow (reader_import_id, line, "group", address_norm, problems, lead_id, before)'
            )

    def _line(
        self,
        line: int,
        group: str,
        address: str,
        norm: str,
        values: dict[str, Any],
        problems: list[Found] | None,
        notes: list[Found] | None,
    ) -> str:
        stored = copy_text(_as_json(values))
        return (
            f"{self.import_id}\t{line}\t{group}\t{copy_text(address)}\t{copy_text(norm)}\t{stored}\t"
            f"{copy_json(problems)}\t{copy_json(notes)}\n"
        )

    def _staged(self, lines: Sequence[int], batch: list[list[str]]) -> list[str]:
        cells = list(zip(*batch, strict=True))
        refuse_values_without_header(self.ignored, cells, lines)
        blank = blank_rows(batch)
        count = len(batch)
        problems: dict[int, list[Found]] = {}
        notes: dict[int, list[Found]] = {}
        norms: Sequence[str] = ()
        plain: dict[str, Sequence[str]] = {}
        for number, column in self.targets:
            cleaned = clean(column, cells[number], now=self.now)
            for place, (code, params) in cleaned.problems.items():
                problems.setdefault(place, []).append((number, code, params))
            for place, (code, params) in cleaned.notes.items():
                notes.setdefault(place, []).append((number, code, params))
            norms = cleaned.norms if cleaned.norms is not None else norms
            plain[column.target] = cleaned.cells
        nothing = [""] * count
        texts = search_texts(*(plain.get(name, nothing) for name in FIELDS))
        said = [(name, plain[name]) for name in LEAD_FIELDS if name in plain]
        items = [(column, plain[column.target]) for _n, column in self.targets if column.extra_key]
        out = []
        for place, line in enumerate(lines):
            if place in blank:
                continue
            values: dict[str, Any] = {"search": texts[place]}
            if lead := {name: column[place] for name, column in said if column[place]}:
                values["lead"] = lead
            if items:
                values["items"] = {
                    column.extra_key: _typed(column, column_cells[place]) for column, column_cells in items
                }
            if REGISTERED_AT in plain and plain[REGISTERED_AT][place]:
                values["registered_at"] = plain[REGISTERED_AT][place]
            found = problems.get(place)
            group = Group.MALFORMED.value if found else ""
            if not found and (first := self.first_of.setdefault(norms[place], line)) != line:
                found, group = [(self.address_place, "same_address", {"line": first})], Group.UNCHANGED.value
            out.append(
                self._line(line, group, plain["email"][place], norms[place], values, found, notes.get(place))
            )
        return out


def _typed(column: Column, cell: str) -> str | int | float | None:
    """The value in Reader.values; None clears it (CSV-2)."""
    if not cell:
        return None
    if column.type == LeadColumn.Type.NUMBER:
        number = Decimal(cell)
        return int(number) if number == number.to_integral_value() else float(number)
    return cell

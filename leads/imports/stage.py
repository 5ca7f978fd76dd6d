"""Rows of a file → leads_leadimportrow, by COPY, a few thousand at a time."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import connection

from leads.imports.applying import applier
from leads.imports.columns import Cleaned, Column, clean
from leads.imports.problems import FileProblem, Found
from leads.models import LeadImport, LeadImportRow
from leads.search_text import FIELDS, search_texts

BATCH = 5_000
MOST_ROWS = 5_000_000

_COPY = "COPY leads_leadimportrow (lead_import_id, line, action, email_norm, search_text, cells, problems, notes) FROM STDIN"
_SPECIAL = re.compile(r'[\\"\n\r\t]')
# A cell inside an array inside COPY's text format: both have their own escapes.
_ESCAPES = str.maketrans({"\\": "\\\\\\\\", '"': '\\\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Stager:
    """Stages one file's rows; `rows` counts them."""

    def __init__(self, lead_import: LeadImport, columns: Sequence[Column]) -> None:
        self.lead_import_id = lead_import.pk
        self.mode = lead_import.mode
        self.columns = columns
        self.targets = [(number, column) for number, column in enumerate(columns) if column.target]
        self.ignored = [
            number for number, column in enumerate(columns) if not column.target and not column.note
        ]
        self.rows = 0
        # Whether a row is new is known at once; what an update does is seen by judge.py.
        self.action = LeadImportRow.Action.NEW.value if self.mode == LeadImport.Mode.ADD else ""

    def stage(self, rows: Iterator[list[str]], first_line: int) -> int:
        """Takes the next batch from `rows`; the number of rows taken from it, 0 at the end."""
        batch = list(islice(rows, BATCH))
        if not batch:
            return 0
        taken = len(batch)
        lines: Sequence[int] = range(first_line, first_line + taken)
        lines, batch, out = self._sort_out(lines, batch)
        if batch:
            out += self._staged(lines, batch)
        self.rows += len(out)
        if self.rows > MOST_ROWS:
            raise FileProblem("too_many_rows", limit=MOST_ROWS)
        if out:
            with connection.cursor() as cursor:
                cursor.copy_expert(_COPY, io.StringIO("".join(out)))
        return taken

    def _sort_out(
        self, lines: Sequence[int], batch: list[list[str]]
    ) -> tuple[Sequence[int], list[list[str]], list[str]]:
        kept_lines, kept, ragged = sort_out(lines, batch, len(self.columns))
        out = [
            f"{self.lead_import_id}\t{line}\twrong\t\t\t{{}}\t{copy_json([problem])}\t\\N\n"
            for line, problem in ragged
        ]
        return kept_lines, kept, out

    def _staged(self, lines: Sequence[int], batch: list[list[str]]) -> list[str]:
        cells = list(zip(*batch, strict=True))
        refuse_values_without_header(self.ignored, cells, lines)
        problems: dict[int, list[Found]] = {}
        notes: dict[int, list[Found]] = {}
        blank = blank_rows(batch)
        norms: Sequence[str] = ()
        escaped: list[list[str]] = []
        plain: dict[str, Sequence[str]] = {}
        for number, column in self.targets:
            cleaned: Cleaned = clean(column, cells[number], mode=self.mode)
            if column.is_answer:
                cleaned.problems |= applier().clean(column, cleaned.cells)
            for place, (code, params) in cleaned.problems.items():
                problems.setdefault(place, []).append((number, code, params))
            for place, (code, params) in cleaned.notes.items():
                notes.setdefault(place, []).append((number, code, params))
            norms = norms if cleaned.norms is None else _escaped_texts(cleaned.norms)
            escaped.append(_escaped(cleaned.cells))
            plain[column.target] = cleaned.cells
        if not norms:
            norms = [""] * len(batch)
        texts = self._search_texts(plain, len(batch))
        head, action = f"{self.lead_import_id}\t", f"\t{self.action}\t"
        out = [
            f'{head}{line}{action}{norm}\t{text}\t{{"' + '","'.join(row) + '"}\t\\N\t\\N\n'
            for line, norm, text, row in zip(lines, norms, texts, zip(*escaped, strict=True), strict=True)
        ]
        for place in problems.keys() | notes.keys():
            row = '","'.join(column[place] for column in escaped)
            found, noted = problems.get(place), notes.get(place)
            action = LeadImportRow.Action.WRONG.value if found else self.action
            out[place] = (
                f'{head}{lines[place]}\t{action}\t{norms[place]}\t{texts[place]}\t{{"{row}"}}\t{copy_json(found)}\t{copy_json(noted)}\n'
            )
        return [line for place, line in enumerate(out) if place not in blank] if blank else out

    def _search_texts(self, cells: dict[str, Sequence[str]], count: int) -> Sequence[str]:
        """Lead.search_text of the new leads; what an update changes is folded by the database."""
        if self.mode != LeadImport.Mode.ADD:
            return [""] * count
        blank = [""] * count
        return _escaped_texts(search_texts(*(cells.get(name, blank) for name in FIELDS)))


def sort_out(
    lines: Sequence[int], batch: list[list[str]], width: int
) -> tuple[Sequence[int], list[list[str]], list[tuple[int, Found]]]:
    """Leaves empty lines out and cuts blank cells at the end that Excel adds: (lines, rows, [(line, its problem)]).

    A row that is too short is not filled up: a blank cell clears a value (CSV-2), a missing one says nothing.
    """
    if set(map(len, batch)) == {width}:
        return lines, batch, []
    kept_lines, kept, ragged = [], [], []
    for line, row in zip(lines, batch, strict=True):
        if not any(map(str.strip, row)):
            continue
        if len(row) > width and not any(map(str.strip, row[width:])):
            row = row[:width]
        if len(row) == width:
            kept_lines.append(line)
            kept.append(row)
        else:
            problem: Found = (None, "ragged", {"cells": len(row), "columns": width})
            ragged.append((line, problem))
    return kept_lines, kept, ragged


def blank_rows(batch: Sequence[Sequence[str]]) -> set[int]:
    """Rows of nothing but delimiters, which spreadsheets leave behind."""
    return {place for place, row in enumerate(batch) if not any(row) or not "".join(row).strip()}


def refuse_values_without_header(
    places: Sequence[int], cells: Sequence[Sequence[str]], lines: Sequence[int]
) -> None:
    """A column without header must be empty all the way down. Raises FileProblem."""
    for place in places:
        for line, cell in zip(lines, cells[place], strict=True):
            if cell.strip():
                raise FileProblem("blank_header", column=place + 1, line=line)


def _escaped(cells: list[str]) -> list[str]:
    if _SPECIAL.search("\x1f".join(cells)):
        return [cell.translate(_ESCAPES) for cell in cells]
    return cells


def _escaped_texts(texts: list[str]) -> list[str]:
    return [copy_text(text) for text in texts] if _SPECIAL.search("\x1f".join(texts)) else texts


def copy_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def copy_json(found: Any) -> str:
    return copy_text(json.dumps(found, ensure_ascii=False)) if found else "\\N"

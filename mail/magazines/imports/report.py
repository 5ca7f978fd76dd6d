"""What people see of an import: its groups, the rows behind each with what and why, and the same rows as a file."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from leads.imports.columns import Column
from leads.imports.problems import NOTE
from leads.imports.read import recognise, rows_of
from leads.imports.report import Remark, Value
from leads.models import Lead
from mail.magazines.imports import words
from mail.magazines.imports.columns import LEAD_FIELDS, REGISTERED_AT
from mail.magazines.imports.judge import UNMAILED
from mail.magazines.imports.steps import columns_of, file_blocks
from mail.models import Magazine, Reader, ReaderImport, ReaderImportRow
from smp.lib.csv_export import BOM, csv_lines, safe_cell

Group = ReaderImportRow.Group
ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Kind:
    """One count of the page; a link to its rows."""

    key: str
    label: str
    count: int


@dataclass(frozen=True)
class ShownRow:
    line: int
    address: str
    group: str
    group_label: str
    lead: Lead | None
    reader_id: int | None
    values: list[Value]
    problems: list[Remark]
    reasons: list[str]
    notes: list[Remark]


@dataclass(frozen=True)
class Elsewhere:
    """MAG-11: another magazine in which addresses of the file are stopped."""

    magazine: Magazine
    count: int


def kinds(reader_import: ReaderImport) -> list[Kind]:
    """MAG-10's groups, always all of them, and those who become readers without being mailed (MAG-12)."""
    counts = reader_import.counts
    shown = [Kind(group.value, str(group.label), counts[group]) for group in Group]
    unmailed = sum(counts["reasons"].get(code, 0) for code in UNMAILED)
    if unmailed:
        shown.append(Kind("unmailed", _("Not mailed because of the lead"), unmailed))
    if counts["elsewhere_rows"]:
        shown.append(Kind(ELSEWHERE, _("Stopped in another magazine"), counts["elsewhere_rows"]))
    return shown


def elsewhere(reader_import: ReaderImport) -> list[Elsewhere]:
    counts: dict[str, int] = reader_import.counts.get(ELSEWHERE, {})
    found = Magazine.objects.in_bulk([int(key) for key in counts])
    return [Elsewhere(found[int(key)], n) for key, n in counts.items() if int(key) in found]


def rows_of_kind(
    reader_import: ReaderImport, kind: str, magazine_id: int | None = None
) -> QuerySet[ReaderImportRow]:
    """`magazine_id`: of ELSEWHERE, those stopped in this one."""
    rows = ReaderImportRow.objects.filter(reader_import=reader_import).order_by("line")
    if kind == "unmailed":
        told = rows.none()
        for code in UNMAILED:
            told |= rows.filter(reasons__contains=[[None, code]])
        return told
    if kind == ELSEWHERE:
        params = {"magazine": magazine_id} if magazine_id else {}
        return rows.filter(reasons__contains=[[None, ELSEWHERE, params]])
    return rows.filter(group=kind)


def file_notes(reader_import: ReaderImport) -> list[tuple[str, str]]:
    """(header, note) for columns that are not imported."""
    return [
        (column.header, str(words.NOTE.get(column.note) or NOTE[column.note]))
        for column in columns_of(reader_import)
        if column.note
    ]


def rows_shown(reader_import: ReaderImport, rows: Sequence[ReaderImportRow]) -> list[ShownRow]:
    """One page of rows: two queries for their leads and readers, whatever their number."""
    columns = columns_of(reader_import)
    lead_ids = [row.lead_id for row in rows if row.lead_id is not None]
    leads = Lead.objects.existing().in_bulk(lead_ids)
    readers: dict[int, int] = dict(
        Reader.objects.filter(magazine_id=reader_import.magazine_id, lead_id__in=lead_ids).values_list(
            "lead_id", "id"
        )
    )
    names = _names_of_magazines(rows)
    labels = dict(Group.choices)
    shown = []
    for row in rows:
        lead = leads.get(row.lead_id) if row.lead_id is not None else None
        problems, reasons, notes = remarks(row, columns, names)
        shown.append(
            ShownRow(
                row.line, row.address, row.group, str(labels.get(row.group, "")), lead,
                readers.get(row.lead_id) if row.lead_id is not None else None,
                _values(row, columns), problems, reasons, notes,
            )
        )  # fmt: skip
    return shown


def remarks(
    row: ReaderImportRow, columns: Sequence[Column], magazines: dict[int, str]
) -> tuple[list[Remark], list[str], list[Remark]]:
    """(problems, reasons, notes) of one row in the active language."""

    def header(place: int | None) -> str:
        return columns[place].header if place is not None and place < len(columns) else ""

    problems = [
        Remark(row.line, header(place), words.row_problem_text(code, params))
        for place, code, params in row.problems or []
    ]
    notes = [
        Remark(row.line, header(place), text)
        for place, code, params in row.notes or []
        for text in words.note_texts(code, params)
    ]
    reasons = [words.reason_text(code, params, magazines) for _place, code, params in row.reasons or []]
    return problems, reasons, notes


def _names_of_magazines(rows: Sequence[ReaderImportRow]) -> dict[int, str]:
    ids = {
        params["magazine"] for row in rows for _p, _code, params in row.reasons or [] if "magazine" in params
    }
    return dict(Magazine.objects.filter(pk__in=ids).values_list("id", "name")) if ids else {}


def _values(row: ReaderImportRow, columns: Sequence[Column]) -> list[Value]:
    """What the row writes: of a new lead its values, of a reader the items with old → new."""
    was_reader = bool((row.before or {}).get("reader"))
    before = (row.before or {}).get("values") or {}
    given: dict[str, Any] = row.values.get("lead", {}) if row.lead_id is None or row.lead_made else {}
    items = row.values.get("items", {})
    values = []
    for column in columns:
        if column.target in LEAD_FIELDS and given.get(column.target):
            values.append(Value(column.header, "", str(given[column.target])))
        elif column.target == REGISTERED_AT and row.values.get(REGISTERED_AT) and not was_reader:
            at = timezone.localtime(datetime.fromisoformat(row.values[REGISTERED_AT]))
            values.append(Value(column.header, "", f"{at:%Y-%m-%d %H:%M}"))
        elif column.extra_key:
            old, new = _text(before.get(column.extra_key)), _text(items.get(column.extra_key))
            if old != new:
                values.append(Value(column.header, old, new))
    return values


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def problem_lines(reader_import: ReaderImport, limit: int) -> list[str]:
    """The first problems as sentences, for commands."""
    columns = columns_of(reader_import)
    lines = []
    for row in rows_of_kind(reader_import, Group.MALFORMED)[:limit]:
        for problem in remarks(row, columns, {})[0]:
            where = _("row %(line)s, %(column)s") if problem.column else _("row %(line)s")
            lines.append(f"{where % {'line': problem.line, 'column': problem.column}}: {problem.text}")
    return lines


def rows_csv(reader_import: ReaderImport, rows: QuerySet[ReaderImportRow]) -> Iterator[str]:
    """Rows as they stand in the file, with 行, 列, 理由 behind them: to correct and to import again as it is (the three
    columns are not imported)."""

    class Echo:
        def write(self, line: str) -> str:
            return line

    writer = csv.writer(Echo(), lineterminator="\r\n")
    columns = columns_of(reader_import)
    blocks = file_blocks(reader_import.pk)
    lines = enumerate(rows_of(blocks, recognise(blocks)), 1)
    header = next(lines, (1, []))[1]
    names = dict(Magazine.objects.values_list("id", "name"))
    yield BOM + writer.writerow(
        [
            *map(safe_cell, header),
            pgettext("spreadsheet", "Row"),
            pgettext("spreadsheet", "Column"),
            _("Reason"),
        ]
    )
    for staged in rows.iterator(2000):
        cells = next((cells for line, cells in lines if line == staged.line), [])
        problems, reasons, _notes = remarks(staged, columns, names)
        padded = [*cells, *[""] * (len(header) - len(cells))]
        where = " / ".join(dict.fromkeys(problem.column for problem in problems if problem.column))
        why = " / ".join([*(problem.text for problem in problems), *reasons])
        yield writer.writerow([*map(safe_cell, padded), str(staged.line), safe_cell(where), safe_cell(why)])


def base_file(header: Sequence[str]) -> Iterator[str]:
    """An empty file with every header an import of this magazine knows."""
    return csv_lines(header, [])

"""What people see of an import: its rows with old → new values, what is wrong with them, and the file of wrong rows."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import pgettext

from leads.imports.applying import ALREADY, WAITING
from leads.imports.columns import CHOICE_DEFAULTS, Column, labels, lead_field
from leads.imports.problems import NOTE, Found, note_texts, row_problem_text
from leads.imports.read import recognise, rows_of
from leads.imports.steps import columns_of, file_blocks
from leads.models import Lead, LeadColumn, LeadImport, LeadImportRow, LeadQuerySet
from smp.lib.csv_export import BOM, csv_lines, safe_cell


@dataclass(frozen=True)
class Remark:
    """A problem or a note of one row in the active language. `column` is the header, "" for the whole row."""

    line: int
    column: str
    text: str


@dataclass(frozen=True)
class Value:
    label: str
    old: str
    new: str

    @property
    def changed(self) -> bool:
        return self.old != self.new


@dataclass(frozen=True)
class ShownRow:
    line: int
    action: str
    action_label: str
    lead: Lead | None
    values: list[Value]
    problems: list[Remark]
    notes: list[Remark]


def remarks(row: LeadImportRow, columns: Sequence[Column]) -> tuple[list[Remark], list[Remark]]:
    """(problems, notes) of one row."""

    def header(place: int | None) -> str:
        return columns[place].header if place is not None and place < len(columns) else ""

    found: list[Found] = (
        [] if row.action != LeadImportRow.Action.WRONG else [*(row.problems or []), *(row.conflicts or [])]
    )
    problems = [
        Remark(row.line, header(place), row_problem_text(code, params)) for place, code, params in found
    ]
    notes = [
        Remark(row.line, header(place), text)
        for place, code, params in row.notes or []
        for text in note_texts(code, params)
    ]
    return problems, notes


def file_notes(lead_import: LeadImport) -> list[tuple[str, str]]:
    """(header, note) for columns that are not imported."""
    return [(column.header, str(NOTE[column.note])) for column in columns_of(lead_import) if column.note]


def wrong_rows(lead_import: LeadImport) -> QuerySet[LeadImportRow]:
    return LeadImportRow.objects.filter(lead_import=lead_import, action=LeadImportRow.Action.WRONG).order_by(
        "line"
    )


def problem_lines(lead_import: LeadImport, limit: int) -> list[str]:
    """The first problems as sentences, for commands."""
    columns = columns_of(lead_import)
    lines = []
    for row in wrong_rows(lead_import)[:limit]:
        for problem in remarks(row, columns)[0]:
            where = _("row %(line)s, %(column)s") if problem.column else _("row %(line)s")
            lines.append(f"{where % {'line': problem.line, 'column': problem.column}}: {problem.text}")
    return lines


# Of Mode.APPLY: what becomes of the rows' applications, and the notes that say so.
_CHANGED = {LeadImportRow.Action.UPDATE, LeadImportRow.Action.UNCHANGED}
APPLICATIONS = {
    "apply": _lazy("Applications"),
    "waiting": _lazy("Waiting list"),
    "already": _lazy("Applied already"),
}
_NOTES = {"waiting": WAITING, "already": ALREADY}


@dataclass(frozen=True)
class Kind:
    """One count of the check's page; a link to its rows."""

    key: str
    label: str
    count: int


def kinds(lead_import: LeadImport) -> list[Kind]:
    """The counts worth a link, the wrong ones first."""
    counts = lead_import.counts
    add = lead_import.mode == LeadImport.Mode.ADD
    action = LeadImportRow.Action
    shown = [Kind("wrong", str(action.WRONG.label), counts["wrong"])]
    if add:
        shown.append(Kind("new", str(action.NEW.label), counts["new"]))
    else:
        if lead_import.mode == LeadImport.Mode.APPLY:
            shown = [
                *(Kind(key, str(APPLICATIONS[key]), counts[key]) for key in APPLICATIONS),
                *shown,
                Kind("new", _("New leads"), counts["new"]),
            ]
        shown.append(Kind("update", str(action.UPDATE.label), counts["update"]))
        shown.append(Kind("unchanged", str(action.UNCHANGED.label), counts["unchanged"]))
    shown.append(Kind("notes", _("With notes"), counts["notes"]))
    if add and lead_import.state == LeadImport.State.CHECKED:
        shown.append(Kind("shared", _("Address in several leads"), counts["shared"]))
    return shown


def writes(lead_import: LeadImport) -> int:
    """How much a commit would do, or did: leads written; of Mode.APPLY applications made."""
    counts = lead_import.counts
    names = ("apply", "waiting") if lead_import.mode == LeadImport.Mode.APPLY else ("new", "update")
    return sum(int(counts[name]) for name in names)


def rows_of_kind(lead_import: LeadImport, kind: str) -> QuerySet[LeadImportRow]:
    rows = LeadImportRow.objects.filter(lead_import=lead_import).order_by("line")
    if kind in APPLICATIONS:
        rows = rows.exclude(action=LeadImportRow.Action.WRONG)
        if kind in _NOTES:
            return rows.filter(notes__contains=[[None, _NOTES[kind], {}]])
        for code in _NOTES.values():
            rows = rows.exclude(notes__contains=[[None, code, {}]])
        return rows
    if kind == "notes":
        return rows.filter(notes__isnull=False)
    if kind == "shared":
        new = rows.filter(action=LeadImportRow.Action.NEW).exclude(email_norm="")
        twice = (
            new.order_by()
            .values("email_norm")
            .annotate(rows=Count("line"))
            .filter(rows__gt=1)
            .values("email_norm")
        )
        there = Lead.objects.existing().filter(email_norm=OuterRef("email_norm"))
        return new.filter(Q(email_norm__in=twice) | Q(Exists(there)))
    return rows.filter(action=kind)


def made_leads(lead_import: LeadImport, kind: str, start: int, number: int) -> list[int]:
    """The ids of the leads that the `start`-th (from 1) and following new rows became: written in the order of the
    rows, all with the moment of the commit, so nothing had to be noted row by row."""
    if (
        kind != "new"
        or lead_import.committed_at is None
        or start < 1
        or lead_import.mode == LeadImport.Mode.APPLY
    ):
        return []
    made = (
        Lead.objects.filter(created_at=lead_import.committed_at).order_by("id").values_list("id", flat=True)
    )
    return list(made[start - 1 : start - 1 + number])


def rows_shown(
    lead_import: LeadImport,
    rows: Sequence[LeadImportRow],
    *,
    made: Sequence[int] = (),
    may_see: LeadQuerySet | None = None,
) -> list[ShownRow]:
    """One page of rows with old → new values: one query for their leads, whatever their number. `made` holds the ids
    of the new rows' leads after the commit. Of leads that are not in `may_see` nothing is shown."""
    columns = columns_of(lead_import)
    if made:
        for row, lead_id in zip(rows, made, strict=False):
            row.lead_id = lead_id
    seen = Lead.objects.all() if may_see is None else may_see
    leads = seen.in_bulk([row.lead_id for row in rows if row.lead_id is not None])
    actions = dict(LeadImportRow.Action.choices)
    shown = []
    for row in rows:
        problems, notes = remarks(row, columns)
        lead = leads.get(row.lead_id) if row.lead_id is not None else None
        done = lead_import.state == LeadImport.State.DONE
        values = _values(columns, row, None if done else lead, update=row.action in _CHANGED)
        shown.append(
            ShownRow(row.line, row.action, str(actions.get(row.action, "")), lead, values, problems, notes)
        )
    return shown


def _values(columns: Sequence[Column], row: LeadImportRow, lead: Lead | None, *, update: bool) -> list[Value]:
    values = []
    targets = [column for column in columns if column.target]
    for column, cell in zip(targets, row.cells, strict=False):
        if column.target == "id":
            continue
        old = "" if lead is None or column.is_answer else _old(column, lead)
        if column.target in CHOICE_DEFAULTS and not cell and row.action != LeadImportRow.Action.WRONG:
            cell = (_old_raw(column, lead) if lead else "") if update else str(CHOICE_DEFAULTS[column.target])
        new = _display(column, cell)
        if new or old:
            values.append(Value(column.header, old, new))
    return values


def _old_raw(column: Column, lead: Lead) -> str:
    if column.extra_key:
        value = lead.extra.get(column.extra_key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return "" if value is None else str(value)
    return str(getattr(lead, column.target))


def _old(column: Column, lead: Lead) -> str:
    return _display(column, _old_raw(column, lead))


def _display(column: Column, value: str) -> str:
    if column.target in CHOICE_DEFAULTS:
        return str(dict(lead_field(column.target).flatchoices).get(value, value))
    return value


def wrong_rows_csv(lead_import: LeadImport) -> Iterator[str]:
    """The wrong rows as they stand in the file, with 行, 列, 理由 behind them: to correct and to import again (after
    deleting the three columns). Reads the file again, so that it costs nothing until somebody asks."""

    def blocks() -> Iterator[bytes]:
        return file_blocks(lead_import)

    class Echo:
        def write(self, line: str) -> str:
            return line

    writer = csv.writer(Echo(), lineterminator="\r\n")
    columns = columns_of(lead_import)
    wrong = wrong_rows(lead_import).iterator(2000)
    rows = enumerate(rows_of(blocks, recognise(blocks)), 1)
    header = next(rows, (1, []))[1]
    yield BOM + writer.writerow(
        [
            *map(safe_cell, header),
            pgettext("spreadsheet", "Row"),
            pgettext("spreadsheet", "Column"),
            _("Reason"),
        ]
    )
    for staged in wrong:
        row = next((row for line, row in rows if line == staged.line), [])
        problems, _notes = remarks(staged, columns)
        padded = [*row, *[""] * (len(header) - len(row))]
        where = " / ".join(dict.fromkeys(problem.column for problem in problems if problem.column))
        why = " / ".join(problem.text for problem in problems)
        yield writer.writerow([*map(safe_cell, padded), str(staged.line), safe_cell(where), safe_cell(why)])


def base_file() -> Iterator[str]:
    """An empty file with every header an import knows, the users' own columns included."""
    headers = [label for name, label in labels().items() if name != "id"]
    return csv_lines([*headers, *LeadColumn.objects.values_list("label", flat=True)], [])

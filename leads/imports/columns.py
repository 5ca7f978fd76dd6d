"""What a column of a file may be: its headers, and how its cells become values.

Cells are judged a column at a time, not one by one: joined into one string, a column of 5,000 cells is checked for
control characters, NFC, quotation tricks and length by a few calls into C. That is most of an import's speed.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from django.db.models import Field
from django.utils import translation

from leads.address import check_email
from leads.imports.problems import Code, FileProblem, Params
from leads.list_columns import list_column_labels
from leads.models import DmPermission, Lead, LeadColumn, LeadImport, LeadKind, Registration
from smp.lib.csv_export import plain_cell

MOST_COLUMNS = 500
LONGEST_NOTE = 20_000
LONGEST_EXTRA = 1_000  # as leads/columns.py

# What users of SMP and of spreadsheets call the columns, besides the labels in both languages and the field's name.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("リードID", "ID", "Lead ID", "lead_id", "visitor_id"),
    "kind": ("種別", "区分", "Kind"),
    "last_name": ("姓", "氏名(姓)", "氏名 姓", "Last name"),
    "first_name": ("名", "氏名(名)", "氏名 名", "First name"),
    "last_name_kana": ("姓(カナ)", "姓カナ", "セイ", "フリガナ(姓)", "Last name (kana)"),
    "first_name_kana": ("名(カナ)", "名カナ", "メイ", "フリガナ(名)", "First name (kana)"),
    "email": ("E-mailアドレス", "E-mail", "Eメール", "メール", "メールアドレス", "Mail", "E-mail address"),
    "company": ("会社名", "会社", "企業名", "法人名", "Company"),
    "department": ("部署名", "部署", "所属", "Department"),
    "job_title": ("役職", "役職名", "Job title"),
    "postal_code": ("郵便番号", "Postal code"),
    "prefecture": ("都道府県", "Prefecture"),
    "address": ("住所", "Address"),
    "phone": ("電話番号", "電話", "TEL", "Phone"),
    "note": ("備考", "メモ", "Note"),
    "language": ("言語", "Language"),
    "registration": ("登録ステータス", "Registration status"),
    "dm_permission": ("DM許可", "DM permission", "permission_type_master_id"),
}
# Exports have these columns; a file that came from an export must go back in. They are ignored with a note.
_IGNORED: Mapping[str, tuple[Code, tuple[str, ...]]] = {
    "email_valid": (
        "ignored_flag",
        ("E-mailアドレスの有効フラグ", "有効フラグ", "Valid flag of the e-mail address"),
    ),
    "email_failures": (
        "ignored_flag",
        ("E-mailアドレスの不達回数", "不達回数", "Failed deliveries in a row"),
    ),
    "unsubscribed_at": (
        "ignored_unsubscribed",
        ("配信停止", "配信停止日時", "Unsubscribed", "Unsubscribed at", "unsubscribed"),
    ),
    "created_at": ("ignored", ("登録日時", "Registered at")),
    "updated_at": ("ignored", ("更新日時", "Updated at")),
}
# The file of wrong rows has these behind the rest; corrected, it goes back in as it is.
_REMARKS = ("行", "列", "理由", "Row", "Column", "Reason")
LANGUAGES = {"ja": ("日本語", "Japanese"), "en": ("英語", "English")}
_CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "kind": {
        LeadKind.VISITOR: ("来場者", "Visitor"),
        LeadKind.STAFF: ("管理者", "Staff"),
        LeadKind.SPEAKER: ("講演者", "Speaker"),
    },
    "registration": {
        Registration.FULL: ("本登録", "Full registration", "Full"),
        Registration.PROVISIONAL: ("仮登録", "Provisional registration", "Provisional"),
    },
    "dm_permission": {
        DmPermission.WANTED: ("希望する", "Wanted", "有効", "1", "true", "yes"),
        DmPermission.UNWANTED: ("希望しない", "Not wanted", "無効", "0", "false", "no"),
    },
    "language": {
        code: (*names, dict(Lead._meta.get_field("language").choices or [])[code])
        for code, names in LANGUAGES.items()
    },
}
CHOICE_DEFAULTS = {
    "kind": LeadKind.VISITOR,
    "registration": Registration.FULL,
    "dm_permission": DmPermission.WANTED,
    "language": "ja",
}
WRITABLE = tuple(_ALIASES)[1:]

Problems = dict[int, tuple[Code, Params]]  # by the cell's place in the column


@dataclass
class Cleaned:
    cells: list[str]
    problems: Problems = field(default_factory=dict)
    notes: Problems = field(default_factory=dict)
    norms: list[str] | None = None  # EXC-4, for the address only


@dataclass(frozen=True)
class Column:
    """One column of the file. `target` is a field of Lead, "extra:<id>", "answer:<id>" of a
    campaign's question (Mode.APPLY), or "" for one that is not imported."""

    header: str
    target: str
    note: Code = ""
    type: str = ""  # of a custom column: LeadColumn.Type
    choices: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "header": self.header,
            "target": self.target,
            "note": self.note,
            "type": self.type,
            "choices": list(self.choices),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Column":
        return cls(
            stored["header"], stored["target"], stored["note"], stored["type"], tuple(stored["choices"])
        )

    @property
    def extra_key(self) -> str:
        return self.target.removeprefix("extra:") if self.target.startswith("extra:") else ""

    @property
    def is_answer(self) -> bool:
        return self.target.startswith("answer:")


def header_key(text: str) -> str:
    """Headers are compared without case, width, spaces and brackets' shape: 「Ｅ－ｍａｉｌアドレス 」 = "E-mailアドレス"."""
    return re.sub(r"[\s_*※]+", "", unicodedata.normalize("NFKC", text)).casefold()


def lead_field(name: str) -> "Field[Any, Any]":
    field = Lead._meta.get_field(name)
    assert isinstance(field, Field)
    return field


def labels() -> dict[str, str]:
    """Field name → the header of a base file in the active language, for everything an import may write."""
    names = {"id": str(LeadImport.Key.ID.label)}
    return names | {name: str(lead_field(name).verbose_name) for name in WRITABLE}


def known_headers() -> dict[str, tuple[str, Code]]:
    """header_key of every name a column may have → (its target, "" = not imported; the note that says so)."""
    known: dict[str, tuple[str, Code]] = {}
    for target, aliases in _ALIASES.items():
        for alias in (target, *aliases):
            known[header_key(alias)] = (target, "")
    for name, (note, aliases) in _IGNORED.items():
        for alias in (name, *aliases):
            known[header_key(alias)] = ("", note)
    known |= {header_key(name): ("", "ignored") for name in _REMARKS}
    for language in ("ja", "en"):
        with translation.override(language):
            for target, label in labels().items():
                known[header_key(label)] = (target, "")
            for name, (note, _aliases) in _IGNORED.items():
                known[header_key(str(lead_field(name).verbose_name))] = ("", note)
            for label in list_column_labels():
                known.setdefault(header_key(label), ("", "ignored"))
    return known


def understand_header(
    header: Sequence[str],
    *,
    mode: str,
    key: str,
    custom: Iterable[LeadColumn],
    questions: Mapping[str, str] | None = None,
) -> list[Column]:
    """What each column of the file is. Raises FileProblem naming the header that is unknown, doubled or missing.

    `questions`: {label: target} of what a campaign asks; a lead item of the same name comes first.
    Columns without a header stay as ignored ones; whether they are really empty is seen in the rows.
    """
    if len(header) > MOST_COLUMNS:
        raise FileProblem("too_many_columns", count=len(header), limit=MOST_COLUMNS)
    known = known_headers()
    own = {header_key(column.label): column for column in custom}
    for label, target in (questions or {}).items():
        if header_key(label) not in own:
            known.setdefault(header_key(label), (target, ""))
    columns: list[Column] = []
    seen: dict[str, int] = {}
    for number, raw in enumerate(header, 1):
        text = unicodedata.normalize("NFC", raw).strip()[:200].replace("\0", "\ufffd")
        column = _column(text, number, known, own)
        columns.append(column)
        if column.target and column.target in seen:
            raise FileProblem("header_twice", header=text, column=number, other=seen[column.target])
        seen[column.target] = number
    if mode == LeadImport.Mode.UPDATE and key not in seen:
        raise FileProblem("key_missing", header=labels()[key])
    if mode == LeadImport.Mode.APPLY and seen.keys() & {"id", "email"}:
        return columns  # who applies is enough
    if not any(
        column.target and column.target != "id" and not _is_key(column, mode, key) for column in columns
    ):
        raise FileProblem("nothing_to_write")
    return columns


def _is_key(column: Column, mode: str, key: str) -> bool:
    return mode == LeadImport.Mode.UPDATE and column.target == key


def _column(
    text: str, number: int, known: Mapping[str, tuple[str, Code]], own: Mapping[str, LeadColumn]
) -> Column:
    comparable = header_key(text)
    if not comparable:
        return Column("", "")
    if comparable in own:
        if comparable in known:
            raise FileProblem("ambiguous_header", header=text, column=number)
        column = own[comparable]
        return Column(text, f"extra:{column.pk}", type=column.type, choices=tuple(map(str, column.choices)))
    if comparable in known:
        target, note = known[comparable]
        return Column(text, target, note)
    refuse_header(text, number, [*labels().values(), *(c.label for c in own.values())])


def refuse_header(text: str, number: int, known: Iterable[str]) -> NoReturn:
    """Of the header `text` in column `number` nobody knows what it is; of those known the nearest is named."""
    everything = {header_key(label): label for label in known}
    nearest = difflib.get_close_matches(header_key(text), everything, n=1, cutoff=0.4)
    if nearest:
        raise FileProblem("unknown_header", header=text, column=number, nearest=everything[nearest[0]])
    raise FileProblem("unknown_header_alone", header=text, column=number)


# ── cells ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_SEPARATOR = "\x1f"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_CONTROL_IN_JOINED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1e\x7f-\x9f\ufffe\uffff]")


def _undo_spreadsheet(cell: str) -> str:
    """="0123" (Excel's way to keep zeros) and our export's leading ' are no part of the value."""
    if cell[:2] == '="' and cell[-1:] == '"' and len(cell) > 2:
        return cell[2:-1].replace('""', '"')
    return plain_cell(cell)


def clean(column: Column, cells: Sequence[str], *, mode: str) -> Cleaned:
    """A column's cells as values: text for Lead's field or for `extra`; "" for a blank cell or a wrong one."""
    cleaned = _clean_text(
        cells,
        keep_lines=column.target == "note"
        or column.is_answer
        or (bool(column.extra_key) and column.type == LeadColumn.Type.TEXT),
    )
    target = column.target
    if target == "email":
        return _clean_emails(cells, cleaned)
    if target == "id":
        return _clean_ids(cleaned, mode)
    if target in _CHOICES:
        return _clean_choices(
            cleaned,
            _choice_map(target),
            _choice_labels(target),
            clearable=mode != LeadImport.Mode.UPDATE or target == "dm_permission",
        )
    if column.extra_key and column.type == LeadColumn.Type.CHOICE:
        same = {choice_key(choice): choice for choice in column.choices}
        return _clean_choices(cleaned, same, column.choices, clearable=True)
    if column.extra_key and column.type in {LeadColumn.Type.NUMBER, LeadColumn.Type.DATE}:
        parse, code = (
            (parse_number, "number") if column.type == LeadColumn.Type.NUMBER else (parse_date, "date")
        )
        return _clean_parsed(cleaned, parse, code)
    if column.is_answer:
        return cleaned  # campaigns judge it (Applier.clean)
    limit = LONGEST_EXTRA if column.extra_key else lead_field(target).max_length or LONGEST_NOTE
    if max(map(len, cleaned.cells), default=0) > limit:
        for place, cell in enumerate(cleaned.cells):
            if len(cell) > limit:
                cleaned.problems.setdefault(place, ("too_long", {"length": len(cell), "limit": limit}))
                cleaned.cells[place] = ""
    return cleaned


def _clean_text(cells: Sequence[str], *, keep_lines: bool) -> Cleaned:
    """NFC (CHR-6), trimmed, without control characters, spreadsheets' tricks undone."""
    joined = _SEPARATOR.join(cells)
    cleaned = Cleaned([])
    if _CONTROL_IN_JOINED.search(joined) or joined.count(_SEPARATOR) != len(cells) - 1:
        kept = list(cells)
        for place, cell in enumerate(kept):
            if odd := _CONTROL.search(cell):
                cleaned.problems[place] = ("control", {"code": f"{ord(odd[0]):04X}"})
                kept[place] = ""
        cells, joined = kept, _SEPARATOR.join(kept)
    if '="' in joined or "'" in joined:
        cells = [_undo_spreadsheet(cell.strip()) for cell in cells]
        joined = _SEPARATOR.join(cells)
    if not joined.isascii() and not unicodedata.is_normalized("NFC", joined):
        joined = unicodedata.normalize("NFC", joined)
        cells = joined.split(_SEPARATOR)
    cleaned.cells = [cell.strip() for cell in cells]
    if "\n" in joined or "\r" in joined or "\t" in joined:
        for place, cell in enumerate(cleaned.cells):
            if "\n" in cell or "\r" in cell or "\t" in cell:
                if keep_lines:
                    cleaned.cells[place] = cell.replace("\r\n", "\n").replace("\r", "\n")
                else:
                    cleaned.cells[place] = re.sub(r"[ \t\r\n]*[\t\r\n][ \t\r\n]*", " ", cell)
                    cleaned.notes[place] = ("line_break", {})
    return cleaned


def _clean_emails(raw: Sequence[str], cleaned: Cleaned) -> Cleaned:
    """CHR-4, EXC-4. A malformed address is a problem, except where an update leaves it as it is (judge.py)."""
    cleaned.notes.clear()  # a line break inside an address is a problem, not a note
    norms: list[str] = []
    keep = norms.append
    cells = cleaned.cells
    for place, cell in enumerate(cells):
        address, norm, malformed, _code, _text, notes, suggestion = check_email(cell)
        keep(norm)
        if malformed:
            cleaned.problems.setdefault(place, ("email", {"value": cell[:400]}))
            cells[place] = address
        elif address is not cell:
            cells[place] = address
        if notes or suggestion:
            cleaned.notes[place] = ("email", {"value": raw[place][:400]})
    cleaned.norms = norms
    return cleaned


def _clean_ids(cleaned: Cleaned, mode: str) -> Cleaned:
    for place, cell in enumerate(cleaned.cells):
        if not cell:
            continue
        digits = unicodedata.normalize("NFKC", cell)
        cleaned.cells[place] = ""
        if mode == LeadImport.Mode.ADD:
            cleaned.problems[place] = ("lead_id_add", {})
        elif not re.fullmatch("[0-9]{1,18}", digits):
            cleaned.problems[place] = ("lead_id", {"value": cell[:100]})
        else:
            cleaned.cells[place] = str(int(digits))
    return cleaned


def choice_key(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _choice_map(target: str) -> dict[str, str]:
    """Every way to write a choice → its key."""
    ways = {}
    for key, names in _CHOICES[target].items():
        for name in (key, *names):
            ways[choice_key(name)] = str(key)
    return ways


def _choice_labels(target: str) -> tuple[str, ...]:
    return tuple(names[0] for names in _CHOICES[target].values())


def _clean_choices(
    cleaned: Cleaned, ways: Mapping[str, str], names: Sequence[str], *, clearable: bool
) -> Cleaned:
    found: dict[str, str | None] = {cell: ways.get(choice_key(cell)) for cell in set(cleaned.cells)}
    found[""] = "" if clearable else None
    cells = cleaned.cells
    if None in found.values():
        for place, cell in enumerate(cells):
            if found[cell] is None:
                code = "choice" if cell else "not_blank"
                cleaned.problems.setdefault(place, (code, {"value": cell[:100], "choices": list(names)}))
        found = {cell: value or "" for cell, value in found.items()}
    cleaned.cells = [found[cell] or "" for cell in cells]
    return cleaned


def _clean_parsed(cleaned: Cleaned, parse: Callable[[str], str], code: Code) -> Cleaned:
    for place, cell in enumerate(cleaned.cells):
        if cell:
            try:
                cleaned.cells[place] = parse(cell)
            except ValueError:
                cleaned.problems.setdefault(place, (code, {"value": cell[:100]}))
                cleaned.cells[place] = ""
    return cleaned


def parse_number(text: str) -> str:
    """ "１,２３４.50" → "1234.5". ValueError for what is no number, or has more than 30 digits."""
    plain = unicodedata.normalize("NFKC", text).replace(",", "").replace("−", "-").strip()
    if not re.fullmatch(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,10})?|\.[0-9]{1,10})", plain):
        raise ValueError(text)
    try:
        number = Decimal(plain)
    except InvalidOperation:
        raise ValueError(text) from None
    shown = format(number, "f")
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown in {"-0", ""} else shown


_DATE = re.compile(
    r"([0-9]{4})[/.\-年]([0-9]{1,2})[/.\-月]([0-9]{1,2})日?(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?"
)


def parse_date(text: str) -> str:
    """2026/11/21, 2026-11-21, 2026.11.21, 2026年11月21日, also with a time behind → "2026-11-21". ValueError."""
    match = _DATE.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if not match:
        raise ValueError(text)
    return date(int(match[1]), int(match[2]), int(match[3])).isoformat()

"""What a column of a file of readers may be. Names, address and company are those of leads/imports/columns.py; besides there
are the magazine's free items by their label, and 登録日時. An item comes first when it is called like a column of leads."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.utils import timezone, translation
from django.utils.translation import gettext as _

from leads.imports import columns as of_leads
from leads.imports.columns import MOST_COLUMNS, Cleaned, Column, header_key, known_headers
from leads.imports.problems import FileProblem
from leads.models import LeadImport
from mail.models import Reader, ReaderItem

# What a row may say of a lead that is made new. DM許可, 種別 and 登録ステータス are no business of a magazine.
LEAD_FIELDS = tuple(
    name for name in of_leads.WRITABLE if name not in {"kind", "registration", "dm_permission", "email"}
)
REGISTERED_AT = "registered_at"
_REGISTERED_AT = ("登録日時", "登録日", "Registered at", "registered_at")
_STATE = ("状態", "State", "読者の状態", "配信状態", "不達回数", "不達")


def understand_header(header: Sequence[str], items: Iterable[ReaderItem]) -> list[Column]:
    """What each column of the file is; of an item the target is "extra:<ReaderItem.id>". Raises FileProblem naming the
    header that is unknown, doubled or missing. Columns without a header stay as ignored ones."""
    if len(header) > MOST_COLUMNS:
        raise FileProblem("too_many_columns", count=len(header), limit=MOST_COLUMNS)
    known = _known()
    own = {
        header_key(item.label): Column(item.label, f"extra:{item.pk}", type=item.type, choices=tuple(item.choices))
        for item in items
    }  # fmt: skip
    columns: list[Column] = []
    seen: dict[str, int] = {}
    for number, raw in enumerate(header, 1):
        text = unicodedata.normalize("NFC", raw).strip()[:200].replace("\0", "\ufffd")
        key = header_key(text)
        if not key:
            column = Column("", "")
        elif key in own:
            column = Column(text, own[key].target, type=own[key].type, choices=own[key].choices)
        elif key in known:
            column = Column(text, *known[key])
        else:
            of_leads.refuse_header(text, number, [*base_header(()), *(item.header for item in own.values())])
        if column.target and column.target in seen:
            raise FileProblem("header_twice", header=text, column=number, other=seen[column.target])
        seen[column.target] = number
        columns.append(column)
    if "email" not in seen:
        raise FileProblem("email_missing", header=_address_label())
    return columns


def _known() -> dict[str, tuple[str, str]]:
    """header_key → (target, note)."""
    targets = {"email", *LEAD_FIELDS}
    known = {
        key: (target, note) if target in targets else ("", note or "ignored")
        for key, (target, note) in known_headers().items()
    }
    names = [*_REGISTERED_AT]
    states = [*_STATE]
    for language in ("ja", "en"):
        with translation.override(language):
            names.append(str(Reader._meta.get_field("registered_at").verbose_name))
            states.append(str(Reader._meta.get_field("state").verbose_name))
    known |= {header_key(name): (REGISTERED_AT, "") for name in names}
    known |= {header_key(name): ("", "ignored_state") for name in states}
    return known


def _address_label() -> str:
    return _("E-mail address")


def base_header(items: Iterable[ReaderItem]) -> list[str]:
    """The headers of an empty file, in the active language."""
    names = of_leads.labels()
    return [
        _address_label(),
        *(names[name] for name in LEAD_FIELDS),
        *(item.label for item in items),
        str(Reader._meta.get_field("registered_at").verbose_name),
    ]


def clean(column: Column, cells: Sequence[str], *, now: datetime) -> Cleaned:
    """A column's cells as values: text of a lead's field or an item; of 登録日時 ISO 8601; "" for blank or wrong."""
    if column.target == REGISTERED_AT:
        return _clean_registered(cells, now)
    cleaned = of_leads.clean(column, cells, mode=LeadImport.Mode.ADD)
    if column.target == "email":
        for place, cell in enumerate(cleaned.cells):
            if not cell:
                cleaned.problems.setdefault(place, ("address_blank", {}))
    return cleaned


def _clean_registered(cells: Sequence[str], now: datetime) -> Cleaned:
    as_text = Column("", "note")
    cleaned = of_leads.clean(as_text, cells, mode=LeadImport.Mode.ADD)
    for place, cell in enumerate(cleaned.cells):
        if not cell:
            continue
        cleaned.cells[place] = ""
        try:
            at = parse_moment(cell)
        except ValueError:
            cleaned.problems.setdefault(place, ("registered_at", {"value": cell[:100]}))
            continue
        if at > now:
            cleaned.problems.setdefault(place, ("registered_in_future", {"value": cell[:100]}))
        else:
            cleaned.cells[place] = at.isoformat()
    return cleaned


_MOMENT = re.compile(
    r"([0-9]{4})[/.\-年]([0-9]{1,2})[/.\-月]([0-9]{1,2})日?(?:[ T]*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?"
)


def parse_moment(text: str) -> datetime:
    """2026/11/21, 2026-11-21 10:30, 2026年11月21日 10:30:05 → that moment in Asia/Tokyo. ValueError; before 1900 too."""
    match = _MOMENT.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if not match or int(match[1]) < 1900:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.get_default_timezone())

"""リード項目: the users' own columns, and their values in Lead.extra. Forms and the API share `clean_value`."""

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from leads.models import Lead, LeadColumn, SavedSearch
from settings import audit
from settings.models import User

TEXT_MAX = 1000
NUMBER_LIMIT = Decimal(10) ** 15  # beyond it, JSON readers lose digits
DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%Y%m%d")

Value = str | int | float | None


def clean_text(value: str, *, lines: bool = False) -> str:
    """CHR-6: NFC, trimmed; control characters are refused (line ends and tabs only where `lines`)."""
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    allowed = "\n\t" if lines else ""
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in allowed for c in text):
        raise ValidationError(
            _("It contains a line break or an invisible control character; type it again."), code="control"
        )
    return text


def clean_value(column: LeadColumn, value: Any) -> Value:
    """What is stored in Lead.extra for what was typed: str, int, float, an ISO date; None for blank.
    ValidationError says what is wrong and what to do."""
    if isinstance(value, date):
        value = value.strftime("%Y-%m-%d")
    text = clean_text("" if value is None else str(value), lines=column.type == LeadColumn.Type.TEXT)
    if not text:
        return None
    if column.type == LeadColumn.Type.NUMBER:
        return _number(text)
    if column.type == LeadColumn.Type.DATE:
        return _date(text)
    if column.type == LeadColumn.Type.CHOICE and text not in column.choices:
        raise ValidationError(
            _("Choose one of: %(choices)s"),
            params={"choices": " / ".join(column.choices[:20])},
            code="choice",
        )
    if len(text) > TEXT_MAX:
        raise ValidationError(
            _("Enter at most %(limit)s characters."), params={"limit": TEXT_MAX}, code="too_long"
        )
    return text


def clean_extra(columns: Mapping[str, LeadColumn], values: Mapping[str, Any]) -> dict[str, Value]:
    """{column key: typed value or None} for {column key: typed text}; ValidationError by column key, all at once."""
    cleaned: dict[str, Value] = {}
    problems: dict[str, ValidationError] = {}
    for key, value in values.items():
        if key not in columns:
            problems["extra"] = ValidationError(
                _("There is no column %(key)s."), params={"key": key}, code="unknown"
            )
            continue
        try:
            cleaned[key] = clean_value(columns[key], value)
        except ValidationError as problem:
            problems[f"extra_{key}"] = problem
    if problems:
        raise ValidationError(problems)
    return cleaned


def _number(text: str) -> int | float:
    plain = unicodedata.normalize("NFKC", text).replace(",", "").replace("−", "-")
    try:
        number = Decimal(plain)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) >= NUMBER_LIMIT:
        raise ValidationError(_("Enter a number."), code="number")
    return int(number) if number == number.to_integral_value() else float(number)


def _date(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text)
    for form in DATE_FORMATS:
        try:
            return datetime.strptime(plain, form).date().isoformat()  # noqa: DTZ007  a day, not a moment
        except ValueError:
            continue
    raise ValidationError(_("Enter a date like 2026-11-21."), code="date")


# ---- the columns themselves


def save_column(
    column: LeadColumn,
    *,
    label: str,
    type: str,
    choices: Iterable[str],
    position: int,
    user: User | None,
    now: datetime,
) -> LeadColumn:
    """Creates or changes a column. ValidationError by field. The type of an existing one stays, and a choice that
    leads still have cannot be taken away: their values would be stored and selectable nowhere."""
    column = LeadColumn() if column.pk is None else LeadColumn.objects.get(pk=column.pk)  # not the form's
    before = (
        {}
        if column.pk is None
        else {"label": column.label, "choices": column.choices, "position": column.position}
    )
    problems: dict[str, ValidationError] = {}
    cleaned_choices = _clean_choices(choices, problems) if type == LeadColumn.Type.CHOICE else []
    try:
        cleaned_label = clean_text(label)
    except ValidationError as problem:
        problems["label"], cleaned_label = problem, ""
    if LeadColumn.objects.filter(label=cleaned_label).exclude(pk=column.pk).exists():
        problems["label"] = ValidationError(_("There is another item of this name."), code="unique")
    if column.pk is not None and column.type == LeadColumn.Type.CHOICE and "choices_text" not in problems:
        lost = used_choices(column) - set(cleaned_choices)
        if lost:
            problems["choices_text"] = ValidationError(
                _("Leads still have: %(choices)s. Change those leads first, or keep the choice."),
                params={"choices": " / ".join(sorted(lost)[:10])},
                code="in_use",
            )
    if problems:
        raise ValidationError(problems)
    column.type = column.type or type
    column.label, column.choices, column.position = cleaned_label, cleaned_choices, position
    with transaction.atomic():
        column.save()
        after = {"label": column.label, "choices": column.choices, "position": column.position}
        changes = {
            name: [before.get(name), value] for name, value in after.items() if before.get(name) != value
        }
        action = "lead_column.edit" if before else "lead_column.create"
        audit.record(action, user=user, target=column, detail={"at": now.isoformat(), "changes": changes})
    return column


def delete_column(column: LeadColumn, *, user: User | None, now: datetime) -> int:
    """Deletes a column and its values; the number of leads that had one. ValidationError when a saved search uses it."""
    names = searches_using(column)
    if names:
        raise ValidationError(
            _("It is used by saved searches: %(names)s. Change those first."),
            params={"names": " / ".join(names[:10])},
            code="in_use",
        )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE leads_lead SET extra = extra - %(key)s::text, updated_at = %(now)s WHERE extra ? %(key)s",
            {"key": column.key, "now": now},
        )
        cleared = int(cursor.rowcount)
        audit.record(
            "lead_column.delete",
            user=user,
            target=column,
            detail={"at": now.isoformat(), "leads": cleared, "type": column.type},
        )
        column.delete()
    return cleared


def used_choices(column: LeadColumn) -> set[str]:
    """The choices leads have, deleted leads included (they could be looked at again)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT extra ->> %(key)s FROM leads_lead WHERE extra ? %(key)s", {"key": column.key}
        )
        return {row[0] for row in cursor.fetchall() if row[0] is not None}


def leads_with_value(column: LeadColumn) -> int:
    return Lead.objects.existing().filter(extra__has_key=column.key).count()


def searches_using(column: LeadColumn) -> list[str]:
    """The names of the saved searches with a condition on it, whatever their shape (`column.<id>` as an item)."""
    item = f"column.{column.key}"
    return [
        search.name for search in SavedSearch.objects.order_by("name") if _mentions(search.condition, item)
    ]


def _mentions(part: Any, item: str) -> bool:
    if isinstance(part, Mapping):
        return any(_mentions(inner, item) for inner in part.values())
    if isinstance(part, list):
        return any(_mentions(inner, item) for inner in part)
    return bool(part == item)


def _clean_choices(choices: Iterable[str], problems: dict[str, ValidationError]) -> list[str]:
    try:
        cleaned = [text for text in map(clean_text, choices) if text]
    except ValidationError as problem:
        problems["choices_text"] = problem
        return []
    if not cleaned:
        problems["choices_text"] = ValidationError(_("Enter at least one choice."), code="required")
    elif len(cleaned) > 500 or max(map(len, cleaned)) > 200:
        problems["choices_text"] = ValidationError(
            _("At most 500 choices of at most 200 characters are possible."), code="too_many"
        )
    return list(dict.fromkeys(cleaned))

"""リード項目: the values of the users' own columns. Forms, imports and the API share `clean_value`."""

import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from leads.models import LeadColumn

TEXT_MAX = 1000
NUMBER_LIMIT = Decimal(10) ** 15  # beyond it, JSON readers lose digits
DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%Y%m%d")

Value = str | int | float | None


def clean_text(value: str, *, lines: bool = False) -> str:
    """CHR-6: NFC, trimmed; control characters are refused (line ends and tabs only where `lines`)."""
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    allowed = "\n\t" if lines else ""
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in allowed for c in text):
        raise ValidationError(_("It contains a line break or an invisible control character; type it again."), code="control")
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
        raise ValidationError(_("Choose one of: %(choices)s"), params={"choices": " / ".join(column.choices[:20])}, code="choice")
    if len(text) > TEXT_MAX:
        raise ValidationError(_("Enter at most %(limit)s characters."), params={"limit": TEXT_MAX}, code="too_long")
    return text


def clean_extra(columns: Mapping[str, LeadColumn], values: Mapping[str, Any]) -> dict[str, Value]:
    """{column key: typed value or None} for {column key: typed text}; ValidationError by column key, all at once."""
    cleaned: dict[str, Value] = {}
    problems: dict[str, ValidationError] = {}
    for key, value in values.items():
        if key not in columns:
            problems["extra"] = ValidationError(_("There is no column %(key)s."), params={"key": key}, code="unknown")
            continue
        try:
            cleaned[key] = clean_value(columns[key], value)
        except ValidationError as problem:
            problems[f"extra_{key}"] = problem
    if problems:
        raise ValidationError(problems)  # type: ignore[arg-type]  # a dict of errors is allowed
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

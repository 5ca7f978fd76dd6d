"""Operators of one type → Q on one expression. Every Q is true or false for every row, never NULL.

Text ignores case. A row without a value matches `is_not`, `not_contains` and `empty`, and no other operator.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Substr
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    IContains,
    IExact,
    In,
    IsNull,
    IStartsWith,
    LessThan,
    LessThanOrEqual,
)

from leads.search.condition import interval

LOCAL = ZoneInfo(settings.TIME_ZONE)


def _any(parts: list[Q]) -> Q:
    """At least one of a non-empty list."""
    either = parts[0]
    for part in parts[1:]:
        either |= part
    return either


def text_q(expression: Combinable | str, operator: str, values: list[str]) -> Q:
    """`expression` is never NULL. Several values: any of them; with is_not / not_contains: none of them."""
    text = F(expression) if isinstance(expression, str) else expression
    match operator:
        case "empty":
            return Q(Exact(text, ""))
        case "not_empty":
            return ~Q(Exact(text, ""))
        case "is":
            return _any([Q(IExact(text, value)) for value in values])
        case "is_not":
            return ~_any([Q(IExact(text, value)) for value in values])
        case "contains":
            return _any([Q(IContains(text, value)) for value in values])
        case "not_contains":
            return ~_any([Q(IContains(text, value)) for value in values])
        case "starts_with":
            return _any([Q(IStartsWith(text, value)) for value in values])
    raise ValueError(operator)


def choice_q(expression: Combinable | str, operator: str, values: list[str]) -> Q:
    text = F(expression) if isinstance(expression, str) else expression
    match operator:
        case "is":
            return Q(In(text, values))
        case "is_not":
            return ~Q(In(text, values))
    return text_q(text, operator, values)


def yes_no_q(yes: Q, values: list[str]) -> Q:
    """For a bool item: `yes` must be true or false for every lead."""
    if len(set(values)) == 2:
        return yes | ~yes
    return yes if values == ["yes"] else ~yes


def number_q(expression: Combinable | str, operator: str, values: list[str], *, integer: bool = False) -> Q:
    number = F(expression) if isinstance(expression, str) else expression
    read: Any = int if integer else Decimal
    return _ordered_q(number, operator, [read(value) for value in values])


def _ordered_q(column: Combinable, operator: str, values: list[Any]) -> Q:
    there = Q(IsNull(column, False))
    match operator:
        case "empty":
            return Q(IsNull(column, True))
        case "not_empty":
            return there
        case "is":
            return there & Q(In(column, values))
        case "is_not":
            return ~(there & Q(In(column, values)))
        case "lt":
            return there & Q(LessThan(column, values[0]))
        case "le":
            return there & Q(LessThanOrEqual(column, values[0]))
        case "gt":
            return there & Q(GreaterThan(column, values[0]))
        case "ge":
            return there & Q(GreaterThanOrEqual(column, values[0]))
        case "between":
            return there & Q(GreaterThanOrEqual(column, values[0])) & Q(LessThanOrEqual(column, values[1]))
    raise ValueError(operator)


def _between_q(column: Combinable, first: Any, before: Any) -> Q:
    return Q(IsNull(column, False)) & Q(GreaterThanOrEqual(column, first)) & Q(LessThan(column, before))


def relative_days(operator: str, values: list[str], today: date) -> tuple[date | None, date | None]:
    """First day, and the day before which: None = open. `within_days` 1 is today, 7 the last seven days with today."""
    days = int(values[0]) if values else 0
    match operator:
        case "today":
            return today, today + timedelta(days=1)
        case "within_days":
            return today - timedelta(days=max(days - 1, 0)), today + timedelta(days=1)
        case "next_days":
            return today, today + timedelta(days=max(days, 1))
        case "days_ago":
            return None, today - timedelta(days=days) + timedelta(days=1)
        case "in_days":
            return today + timedelta(days=days), None
        case "days_ago_exactly" | "in_days_exactly":
            day = today + timedelta(days=days if operator == "in_days_exactly" else -days)
            return day, day + timedelta(days=1)
        case "last_month" | "this_month" | "next_month":
            first = today.replace(day=1)
            if operator == "last_month":
                first = (first - timedelta(days=1)).replace(day=1)
            elif operator == "next_month":
                first = (first + timedelta(days=32)).replace(day=1)
            return first, (first + timedelta(days=32)).replace(day=1)
    raise ValueError(operator)


RELATIVE = frozenset(
    {
        "today", "within_days", "next_days", "days_ago", "in_days", "days_ago_exactly", "in_days_exactly",
        "last_month", "this_month", "next_month",
    }
)  # fmt: skip


def month_days(day: date) -> list[str]:
    """The month-days ("MM-DD") of which `day` is the anniversary: 28 February of a common year is that of the 29th too."""
    found = [f"{day:%m-%d}"]
    if found == ["02-28"] and (day + timedelta(days=1)).day == 1:
        found.append("02-29")
    return found


def date_q(expression: Combinable, operator: str, values: list[str], now: datetime) -> Q:
    """`expression`: ISO dates as text in the C collation, '' when there is none."""
    there = ~Q(Exact(expression, ""))
    if operator in RELATIVE:
        first, before = relative_days(operator, values, now.astimezone(LOCAL).date())
        q = there
        if first:
            q &= Q(GreaterThanOrEqual(expression, first.isoformat()))
        if before:
            q &= Q(LessThan(expression, before.isoformat()))
        return q
    if operator in {"anniversary", "month_of_year"}:  # of any year
        today = now.astimezone(LOCAL).date()
        if operator == "month_of_year":
            return there & Q(Exact(Substr(expression, 6, 2), f"{today:%m}"))
        return there & Q(In(Substr(expression, 6, 5), month_days(today)))
    if operator == "empty":
        return ~there
    if operator == "not_empty":
        return there
    return (
        (there & _ordered_q(expression, operator, values))
        if operator != "is_not"
        else ~(there & Q(In(expression, values)))
    )


def datetime_q(expression: Combinable | str, operator: str, values: list[str], now: datetime) -> Q:
    """A date means its whole day in local time, a minute its whole minute."""
    column = F(expression) if isinstance(expression, str) else expression
    there = Q(IsNull(column, False))

    def local(moment: date | datetime) -> datetime:
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001
        return moment.replace(tzinfo=LOCAL)

    if operator in RELATIVE:
        first, before = relative_days(operator, values, now.astimezone(LOCAL).date())
        q = there
        if first:
            q &= Q(GreaterThanOrEqual(column, local(first)))
        if before:
            q &= Q(LessThan(column, local(before)))
        return q
    spans = [tuple(local(edge) for edge in interval(value)) for value in values]
    match operator:
        case "is":
            return _any([_between_q(column, *span) for span in spans])
        case "is_not":
            return ~_any([_between_q(column, *span) for span in spans])
        case "lt":
            return there & Q(LessThan(column, spans[0][0]))
        case "le":
            return there & Q(LessThan(column, spans[0][1]))
        case "gt":
            return there & Q(GreaterThanOrEqual(column, spans[0][1]))
        case "ge":
            return there & Q(GreaterThanOrEqual(column, spans[0][0]))
        case "between":
            return _between_q(column, spans[0][0], spans[1][1])
        case "empty":
            return ~there
        case "not_empty":
            return there
    raise ValueError(operator)

"""What can be searched: every app registers its items in AppConfig.ready(); providers bring those that come and go."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q
from django.utils.functional import Promise

Text = str | Promise
Choices = list[tuple[str, Text]]


class ItemType(StrEnum):
    TEXT = "text"
    CHOICE = "choice"
    BOOL = "bool"
    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    RECORD = "record"  # several parts judged on the same row: the result of a mail


# The operators of each type, in the order a screen offers them; labels are in leads/search/describe.py.
OPERATORS: dict[str, tuple[str, ...]] = {
    ItemType.TEXT: ("contains", "not_contains", "is", "is_not", "starts_with", "empty", "not_empty"),
    ItemType.CHOICE: ("is", "is_not"),
    ItemType.BOOL: ("is",),
    ItemType.NUMBER: ("is", "is_not", "lt", "le", "gt", "ge", "between", "empty", "not_empty"),
    ItemType.DATE: (
        "is", "is_not", "lt", "le", "gt", "ge", "between", "today", "within_days", "days_ago", "next_days", "this_month",
        "empty", "not_empty",
    ),
    ItemType.DATETIME: (
        "is", "is_not", "lt", "le", "gt", "ge", "between", "today", "within_days", "days_ago", "this_month",
        "empty", "not_empty",
    ),
    ItemType.RECORD: ("is", "is_not"),
}  # fmt: skip

# How many values an operator takes: least and most.
MAX_VALUES = 1000
_ONE, _TWO, _NONE, _MANY = (1, 1), (2, 2), (0, 0), (1, MAX_VALUES)
ARITY: dict[str, tuple[int, int]] = {
    "is": _MANY, "is_not": _MANY, "contains": _MANY, "not_contains": _MANY, "starts_with": _MANY,
    "lt": _ONE, "le": _ONE, "gt": _ONE, "ge": _ONE, "between": _TWO,
    "within_days": _ONE, "days_ago": _ONE, "next_days": _ONE,
    "today": _NONE, "this_month": _NONE, "empty": _NONE, "not_empty": _NONE,
}  # fmt: skip
IN_DAYS = frozenset({"within_days", "days_ago", "next_days"})  # their value is a number of days


def no_choices() -> Choices:
    return []


@dataclass(frozen=True)
class Part:
    """One part of a record item: any of the given values, on the same row as the other parts."""

    key: str
    label: Text
    type: ItemType  # TEXT, CHOICE or NUMBER
    choices: Callable[[], Choices] = no_choices
    reference: bool = False  # its values are ids of rows that may be gone since
    labels: Callable[[Sequence[str]], dict[str, Text]] | None = None


@dataclass(frozen=True)
class Item:
    """A searchable item. `q` gets an allowed operator and cleaned values, and answers a condition on Lead.

    `q` must be true or false for every lead (never NULL), so that NOT of a block is exactly the others, and must
    reach other tables only through EXISTS, so that a lead is never found twice.
    For many-valued items (mails, later applications) `is_not` means "has some other one"; "has none" is NOT of `is`.
    """

    key: str
    label: Text
    group: Text
    type: ItemType
    q: Callable[[str, list[Any], datetime], Q]
    operators: tuple[str, ...] = ()
    choices: Callable[[], Choices] = no_choices
    closed: bool = False  # only the values of `choices` are possible (an enumeration of the code)
    reference: bool = False  # values are ids of rows that may be gone since
    integer: bool = False  # NUMBER: whole numbers only
    labels: Callable[[Sequence[str]], dict[str, Text]] | None = (
        None  # names of values in one query, gone ones left out
    )
    parts: tuple[Part, ...] = field(default=())
    help: Text = ""
    many: bool = False  # a lead may have several; the screens explain is_not and NOT

    def allowed(self) -> tuple[str, ...]:
        return self.operators or OPERATORS[self.type]


_ITEMS: dict[str, Item] = {}
_PROVIDERS: list[Callable[[], Iterable[Item]]] = []


def register_item(item: Item) -> None:
    """Registering a key again replaces it (AppConfig.ready may run twice in tests)."""
    _ITEMS[item.key] = item


def register_provider(provider: Callable[[], Iterable[Item]]) -> None:
    """`provider` answers items that exist only in the database, in one query; asked once per search."""
    if provider not in _PROVIDERS:
        _PROVIDERS.append(provider)


def all_items() -> dict[str, Item]:
    """Every item of this moment by key: the registered ones, then the providers' (one query each)."""
    items = dict(_ITEMS)
    for provider in _PROVIDERS:
        items.update((item.key, item) for item in provider())
    return items


def items_for(keys: Iterable[str]) -> dict[str, Item]:
    """Like all_items, but asks the providers only when one of the keys is not a registered one."""
    return dict(_ITEMS) if all(key in _ITEMS for key in keys) else all_items()

"""What can be searched: every app registers its items in AppConfig.ready(); providers bring those that come and go, and
lookups those that exist in one campaign only.

A search belongs to a mode (APP-1), and so do the items it may use: `all_items` and `items_for` answer for one mode, and
an item of another mode, or of another campaign, is unknown there. Only descriptions know every mode: `items_anywhere`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q
from django.utils.functional import Promise

from smp.lib.mode import ALL, BOTH, CAMPAIGN

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
        "is", "is_not", "lt", "le", "gt", "ge", "between", "today", "within_days", "days_ago", "days_ago_exactly",
        "next_days", "in_days", "in_days_exactly", "last_month", "this_month", "next_month", "anniversary", "month_of_year",
        "empty", "not_empty",
    ),
    ItemType.DATETIME: (
        "is", "is_not", "lt", "le", "gt", "ge", "between", "today", "within_days", "days_ago", "days_ago_exactly",
        "last_month", "this_month",
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
    "within_days": _ONE, "days_ago": _ONE, "days_ago_exactly": _ONE,
    "next_days": _ONE, "in_days": _ONE, "in_days_exactly": _ONE,
    "today": _NONE, "last_month": _NONE, "this_month": _NONE, "next_month": _NONE,
    "anniversary": _NONE, "month_of_year": _NONE,
    "empty": _NONE, "not_empty": _NONE,
}  # fmt: skip
IN_DAYS = frozenset(
    {"within_days", "days_ago", "days_ago_exactly", "next_days", "in_days", "in_days_exactly"}
)  # their value is a number of days


def no_choices() -> Choices:
    return []


@dataclass(frozen=True)
class Part:
    """One part of a record item: any of the given values, on the same row as the other parts."""

    key: str
    label: Text
    type: ItemType  # TEXT, CHOICE, NUMBER or DATE
    choices: Callable[[], Choices] = no_choices
    closed: bool = True  # CHOICE: only the values of `choices` are possible
    reference: bool = False  # its values are ids of rows that may be gone since
    labels: Callable[[Sequence[str]], dict[str, Text]] | None = None
    single: bool = False  # takes one value; a DATE always
    # Answers a value as it is stored; ValidationError says what is wrong with it.
    check: Callable[[str], str] = str


def askable(source: "Item | Part", values: Sequence[str]) -> list[str]:
    """The values that `source.labels` may be asked about: of references only what can be an id."""
    return [value for value in values if not source.reference or (value.isdecimal() and len(value) < 19)]


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
    modes: Collection[str] = BOTH  # smp.lib.mode: where it is offered and understood

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


@dataclass(frozen=True)
class Lookup:
    """Items that stand in the database with the campaign they belong to; each function asks one query.

    `for_keys(keys)`: the items of these keys (all begin with `prefix`), of whatever campaign; unknown keys left out.
    `of_campaign(id)`: every item that is offered and understood inside this campaign. An item with the key of a
    registered one takes its place there.
    """

    prefix: str
    for_keys: Callable[[Collection[str]], Iterable[Item]]
    of_campaign: Callable[[int], Iterable[Item]]


_LOOKUPS: dict[str, Lookup] = {}


def register_lookup(
    prefix: str,
    for_keys: Callable[[Collection[str]], Iterable[Item]],
    of_campaign: Callable[[int], Iterable[Item]],
) -> None:
    _LOOKUPS[prefix] = Lookup(prefix, for_keys, of_campaign)


def _registered(mode: str) -> dict[str, Item]:
    return {key: item for key, item in _ITEMS.items() if mode in item.modes}


def _provided() -> Iterable[Item]:
    return (item for provider in _PROVIDERS for item in provider())


def all_items(campaign_id: int | None = None) -> dict[str, Item]:
    """Every item of a mode by key, of this moment: the registered ones, then the providers', then the campaign's (one
    query each). None: the all-campaign mode."""
    items = _registered(ALL if campaign_id is None else CAMPAIGN)
    items.update((item.key, item) for item in _provided())
    if campaign_id is not None:
        for lookup in _LOOKUPS.values():
            items.update((item.key, item) for item in lookup.of_campaign(campaign_id))
    return items


def items_for(
    keys: Iterable[str], campaign_id: int | None = None, more: Mapping[str, Item] | None = None
) -> dict[str, Item]:
    """`more`: items that are known in this place only (a magazine's delivery filter). Like all_items, but in the all-campaign mode the database is asked only when one of the keys is not a registered
    one. A key that is missing in the answer is unknown in this mode."""
    if campaign_id is None:
        items = _registered(ALL) | dict(more or {})
        if all(key in items for key in keys):
            return items
    return all_items(campaign_id) | dict(more or {})


def items_anywhere(keys: Collection[str]) -> dict[str, Item]:
    """What the keys mean in whatever mode, to describe conditions: histories name those of several campaigns. As many
    queries for one key as for many."""
    items = dict(_ITEMS)
    missing = [key for key in keys if key not in items]
    for lookup in _LOOKUPS.values():
        if wanted := [key for key in missing if key.startswith(lookup.prefix)]:
            items.update((item.key, item) for item in lookup.for_keys(wanted))
    if any(not key.startswith(tuple(_LOOKUPS)) for key in missing):
        items.update((item.key, item) for item in _provided())
    return items

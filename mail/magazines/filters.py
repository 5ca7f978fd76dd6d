"""配信フィルタ (MAG-7): whom a story is delivered *to*. It never excludes by itself: 配信可能 comes first, then "does this reader
match?", in the one statement of mail/recipients/.

A filter is a condition tree as 複合検索 has it, over the items of leads and, under keys `reader.<magazine>.…`, over what
the magazine knows of its readers. Those keys are known in filters of that magazine only.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from django.db.models import Case, DecimalField, Exists, F, Func, OuterRef, Q, TextField, Value, When
from django.db.models.functions import Coalesce, Collate
from django.db.models.lookups import Exact
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.models import Lead, Registration
from leads.search import EVERYONE, condition_q, describe_condition, validate_condition
from leads.search.comparisons import choice_q, date_q, datetime_q, number_q, text_q
from leads.search.registry import Choices, Item, ItemType, register_lookup
from mail.magazines.item_uses import FILTER_PREFIX, filter_key
from mail.magazines.items import items_of
from mail.models import FailureGroup, Reader, ReaderItem, ReaderState, ReaderWay

ITEMS, READER = gettext_lazy("Free items of the magazine"), gettext_lazy("Reader of the magazine")
_OPEN_CHOICE = ("is", "is_not", "contains", "not_contains", "empty", "not_empty")
_NEVER_EMPTY = (
    "is", "is_not", "lt", "le", "gt", "ge", "between", "today", "within_days", "days_ago", "days_ago_exactly", "last_month",
    "this_month",
)  # fmt: skip
_FAILURES = ("is", "is_not", "lt", "le", "gt", "ge", "between")

Compare = Callable[[str, list[str], datetime], Q]


def check_filter(condition: Any, magazine_id: int) -> dict[str, Any]:
    """The filter in canonical form, to be stored. ValidationError names the block and says what is wrong: a wrong filter
    is refused, never widened."""
    return validate_condition(condition, more=filter_items(magazine_id))


def filter_q(condition: Any, magazine_id: int, *, now: datetime) -> Q:
    """MAG-7 as a condition on Lead, true or false for every lead; relative dates count from `now`, the start.
    ValidationError when it names what is gone."""
    return condition_q(condition, now=now, more=filter_items(magazine_id) if has_filter(condition) else None)


def has_filter(condition: Any) -> bool:
    return isinstance(condition, dict) and bool(condition.get("blocks"))


def describe_filter(condition: Any) -> str:
    """In words, "" without a filter; readable even when items it names are gone."""
    return describe_condition(condition) if has_filter(condition) else ""


def matching(condition: Any, magazine_id: int, *, now: datetime) -> int:
    """How many deliverable readers match now, of those whose lead may be mailed (MAG-12): the n of `filter_sentence`. One query. The
    dry run of a start says it exactly, with every reason."""
    leads = Lead.objects.existing().filter(filter_q(condition, magazine_id, now=now))
    leads = leads.filter(
        unsubscribed_at=None, email_valid=True, email_malformed=False, registration=Registration.FULL
    ).exclude(email_norm="")
    readers = Reader.objects.filter(
        magazine=magazine_id, state=ReaderState.DELIVERABLE, lead_id=OuterRef("pk")
    )
    return leads.filter(Exists(readers)).count()


def filter_sentence(condition: Any, magazine_id: int, *, now: datetime) -> str:
    """MAG-7 in one sentence with its number, as the story's page says it."""
    number = matching(condition, magazine_id, now=now)
    if not has_filter(condition):
        return _("It is delivered to all %(n)s readers that are deliverable.") % {"n": f"{number:,}"}
    return _("Of the readers that are deliverable, it is delivered to the %(n)s that match: %(filter)s") % {
        "n": f"{number:,}",
        "filter": describe_filter(condition),
    }


# ---- what a filter may ask of the reader


def filter_items(magazine_id: int) -> dict[str, Item]:
    """{key: Item} of one magazine, retired items left out. One query."""
    return {item.key: item for item in [*_reader_items(magazine_id), *map(_item, items_of(magazine_id))]}


def _readers(magazine_id: int) -> Any:
    return Reader.objects.filter(magazine=magazine_id, lead_id=OuterRef("pk"))


def _of_reader(magazine_id: int, compare: Compare, **aliases: Any) -> Callable[[str, list[Any], datetime], Q]:
    def q(operator: str, values: list[Any], now: datetime) -> Q:
        return Q(Exists(_readers(magazine_id).alias(**aliases).filter(compare(operator, values, now))))

    return q


def _reader_items(magazine_id: int) -> list[Item]:
    prefix = f"{FILTER_PREFIX}{magazine_id}."
    return [
        Item(
            prefix + "registered_at", gettext_lazy("Registered as a reader at"), READER, ItemType.DATETIME,
            _of_reader(magazine_id, lambda operator, values, now: datetime_q("registered_at", operator, values, now)),
            operators=_NEVER_EMPTY,
        ),
        Item(
            prefix + "way", gettext_lazy("Way of registering"), READER, ItemType.CHOICE, closed=True,
            q=_of_reader(magazine_id, lambda operator, values, now: choice_q("way", operator, values)), choices=_ways,
        ),
        *(
            Item(
                f"{prefix}failures.{group}", gettext_lazy("Failures: %(group)s") % {"group": group.label}, READER, ItemType.NUMBER,
                _of_reader(magazine_id, _failures_q(f"failures_{group}")), operators=_FAILURES, integer=True,
            )
            for group in FailureGroup
        ),
    ]  # fmt: skip


def _failures_q(column: str) -> Compare:
    return lambda operator, values, now: number_q(column, operator, values, integer=True)


def _ways() -> Choices:
    return [
        (way.value, way.label)
        for way in (ReaderWay.FORM, ReaderWay.EMPTY_MAIL, ReaderWay.IMPORT, ReaderWay.ADMIN, ReaderWay.MERGE)
    ]


class _JsonText(Func):
    """Not Django's KeyTransform: it takes a key of digits for an array index."""

    function = "jsonb_extract_path_text"
    output_field = TextField()


class _ToNumeric(Func):
    """Only inside a Case that knows it is a number: the cast cannot fail there."""

    template = "(%(expressions)s)::numeric"
    output_field = DecimalField()


def _item(item: ReaderItem) -> Item:
    key, value = filter_key(item), _JsonText(F("values"), Value(item.key))
    text = Coalesce(value, Value(""), output_field=TextField())
    match item.type:
        case ReaderItem.Type.NUMBER:
            kind = Func(
                Func(F("values"), Value(item.key), function="jsonb_extract_path", output_field=TextField()),
                function="jsonb_typeof", output_field=TextField(),
            )  # fmt: skip
            number = Case(When(Exact(kind, "number"), then=_ToNumeric(value)), output_field=DecimalField())
            return Item(
                key, item.label, ITEMS, ItemType.NUMBER,
                _of_reader(item.magazine_id, lambda operator, values, now: number_q("answer", operator, values), answer=number),
            )  # fmt: skip
        case ReaderItem.Type.DATE:
            day = Collate(text, "C")
            return Item(
                key, item.label, ITEMS, ItemType.DATE,
                _of_reader(item.magazine_id, lambda operator, values, now: date_q(day, operator, values, now)),
            )  # fmt: skip
        case ReaderItem.Type.CHOICE:
            return Item(
                key, item.label, ITEMS, ItemType.CHOICE, operators=_OPEN_CHOICE,
                q=_of_reader(item.magazine_id, lambda operator, values, now: choice_q("answer", operator, values), answer=text),
                choices=lambda: [(str(choice), str(choice)) for choice in item.choices],
            )  # fmt: skip
    return Item(
        key, item.label, ITEMS, ItemType.TEXT,
        _of_reader(item.magazine_id, lambda operator, values, now: text_q("answer", operator, values), answer=text),
    )  # fmt: skip


def _described(keys: Collection[str]) -> list[Item]:
    """For descriptions in whatever place: histories name items of several magazines, retired ones too. Two queries at most."""
    magazines = {
        int(parts[1])
        for key in keys
        if len(parts := key.split(".")) > 2 and parts[1].isdecimal() and len(parts[1]) < 18
    }
    items = ReaderItem.objects.filter(magazine__in=magazines)
    known = [item for magazine_id in magazines for item in _reader_items(magazine_id)]
    return [item for item in [*known, *map(_item, items)] if item.key in keys]


def register() -> None:
    """From MailConfig.ready(): conditions that name readers can be described anywhere; no search but a filter may use them."""
    register_lookup(FILTER_PREFIX, _described, lambda campaign_id: ())


__all__ = [
    "EVERYONE", "check_filter", "describe_filter", "filter_items", "filter_q", "filter_sentence", "has_filter", "matching",
    "register",
]  # fmt: skip

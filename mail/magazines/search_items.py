"""What magazines bring to 複合検索 of all campaigns: whose reader a lead is, in which state (MAG-1), and which stories it was
sent. A lead reads several magazines: `is_not` is "has some other one"; "reads none" is NOT of `is`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from leads.search.comparisons import datetime_q
from leads.search.registry import Choices, Item, ItemType, Part, Text, register_item
from mail.models import Delivery, Magazine, Reader, ReaderState, SendJob, Story, StoryState
from mail.models.delivery import DeliveryKind
from mail.results import SENT_OR_ON_ITS_WAY
from smp.lib.mode import BLUE

GROUP = _("Mail magazines")
SHOWN_CHOICES = 300
_SINCE = ("today", "within_days", "days_ago", "this_month", "last_month", "between", "ge", "le")


def _readers() -> Any:
    return Reader.objects.filter(lead_id=OuterRef("pk"))


def _ids(values: Sequence[str]) -> list[int]:
    return [int(value) for value in values]


def _reader_q(operator: str, values: list[dict[str, list[str]]], now: datetime) -> Q:
    record, wanted = values[0], Q()
    if magazines := record.get("magazine"):
        wanted &= Q(magazine__in=_ids(magazines))
    if states := record.get("state"):
        wanted &= Q(state__in=states)
    return Q(Exists(_readers().filter(wanted) if operator == "is" else _readers().exclude(wanted)))


def _registered_q(operator: str, values: list[str], now: datetime) -> Q:
    return Q(Exists(_readers().filter(datetime_q("registered_at", operator, values, now))))


def _story_q(operator: str, values: list[str], now: datetime) -> Q:
    sent = Delivery.objects.filter(
        lead_id=OuterRef("pk"), kind=DeliveryKind.MAGAZINE, state__in=SENT_OR_ON_ITS_WAY
    )
    wanted = Q(job__in=SendJob.objects.filter(story__in=_ids(values)).values("pk"))
    match operator:
        case "is":
            return Q(Exists(sent.filter(wanted)))
        case "is_not":
            return Q(Exists(sent.exclude(wanted)))
        case "not_empty":
            return Q(Exists(sent))
    return ~Q(Exists(sent))


def magazine_choices() -> Choices:
    rows = Magazine.objects.filter(archived_at=None).order_by("name", "pk").values_list("pk", "name")
    return [(str(pk), name) for pk, name in rows[:SHOWN_CHOICES]]


def magazine_labels(values: Sequence[str]) -> dict[str, Text]:
    return {
        str(pk): name for pk, name in Magazine.objects.filter(pk__in=_ids(values)).values_list("pk", "name")
    }


def _story_label(row: Mapping[str, Any]) -> str:
    return f"{row['magazine__name']} › {row['name']}"


def story_choices() -> Choices:
    rows = Story.objects.exclude(state__in=[StoryState.DRAFT, StoryState.DELETED]).order_by("-pk")
    return [
        (str(row["pk"]), _story_label(row))
        for row in rows.values("pk", "name", "magazine__name")[:SHOWN_CHOICES]
    ]


def story_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = Story.objects.filter(pk__in=_ids(values)).values("pk", "name", "magazine__name")
    return {str(row["pk"]): _story_label(row) for row in rows}


def register() -> None:
    """From MailConfig.ready()."""
    register_item(
        Item(
            "magazine.reader", _("Reader of a magazine"), GROUP, ItemType.RECORD, _reader_q, many=True, modes=BLUE,
            help=_("All parts are asked of the same reader."),
            parts=(
                Part("magazine", _("Mail magazine"), ItemType.CHOICE, magazine_choices, reference=True, labels=magazine_labels),
                Part("state", _("State"), ItemType.CHOICE, lambda: list(ReaderState.choices)),
            ),
        )
    )  # fmt: skip
    register_item(
        Item(
            "magazine.registered_at", _("Registered as a reader at"), GROUP, ItemType.DATETIME, _registered_q,
            operators=_SINCE, many=True, modes=BLUE,
        )
    )  # fmt: skip
    register_item(
        Item(
            "magazine.story", _("Was sent the story"), GROUP, ItemType.CHOICE, _story_q, many=True, modes=BLUE,
            operators=("is", "is_not", "not_empty", "empty"), choices=story_choices, labels=story_labels, reference=True,
        )
    )  # fmt: skip

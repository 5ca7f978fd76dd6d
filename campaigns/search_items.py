"""What campaigns bring to 複合検索 in the all-campaign mode: an application, and an answer, as record items (EXC-5).

A lead has many of both: `is_not` = has some other one; "has none" = NOT of `is` (the manual's 「一致しない」 and NOT).
Applications that were merged into another one (APP-5) are no rows of their own. Inside a campaign other items are
offered: campaign_items.py.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import (
    BooleanField,
    CharField,
    Exists,
    F,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
)
from django.db.models.expressions import Combinable, Func
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.application_list import ATTENDED, NOT_ATTENDED
from campaigns.models import (
    Application,
    ApplicationState,
    ApplicationWay,
    Campaign,
    CancelledBy,
    FormItem,
    ItemSource,
)
from leads.models import SavedSearch
from leads.search.comparisons import text_q
from leads.search.registry import Choices, Item, ItemType, Part, Text, register_item
from smp.lib.mode import BLUE

GROUP = _("Campaigns (seminars)")
SHOWN_CHOICES = 300  # the newest; older ones are reached by their ID
STATES: Choices = [(state.value, state.label) for state in ApplicationState]
CAME: Choices = [
    (ATTENDED, pgettext_lazy("application", "Attended")),
    (NOT_ATTENDED, pgettext_lazy("application", "Did not attend")),
]


def applications() -> QuerySet[Application]:
    """Those of the lead of the outer query."""
    return Application.objects.filter(lead=OuterRef("pk")).exclude(cancelled_by=CancelledBy.MERGED).order_by()


class JsonPath(Func):
    """A value of a JSON object under a key that may be digits (which Django's lookups take for an array index)."""

    function = "jsonb_extract_path"
    output_field = JSONField()


class JsonText(Func):
    """The same as text: that of a string, the JSON of anything else; NULL when there is none."""

    function = "jsonb_extract_path_text"
    output_field = TextField()


class HasAnyKey(Func):
    """Whether a JSON array of text holds one of the keys. False for NULL and for what is no array."""

    template = "COALESCE(%(expressions)s, false)"
    arg_joiner = " ?| "
    output_field = BooleanField()

    def __init__(self, array: Combinable, keys: Sequence[str]) -> None:
        super().__init__(array, Value(list(keys), output_field=ArrayField(TextField())))


def ids(values: Sequence[str]) -> list[int]:
    return [int(value) for value in values]


# ---- 申込
def _application_q(operator: str, values: list[dict[str, list[str]]], now: datetime) -> Q:
    record = values[0]
    wanted = Q()
    if campaigns := record.get("campaign"):
        wanted &= Q(campaign__in=ids(campaigns))
    if states := record.get("state"):
        wanted &= Q(state__in=states)
    if came := record.get("attended"):
        # Both: every application fits, and none is "some other one".
        fits = Q(pk__in=[])
        for one in came:
            fits |= Q(attended_at__isnull=one == NOT_ATTENDED)
        wanted &= fits
    if ways := record.get("way"):
        wanted &= Q(way__in=ways)
    rows = applications()
    return Q(Exists(rows.filter(wanted) if operator == "is" else rows.exclude(wanted)))


# ---- 回答
def _answer_q(operator: str, values: list[dict[str, list[str]]], now: datetime) -> Q:
    """Rows are pairs of an application and a question of its campaign that it answers."""
    record = values[0]
    answered = (
        FormItem.objects.filter(source=ItemSource.QUESTION, campaign=OuterRef("campaign_id"))
        .order_by()
        .alias(
            answer=JsonPath(OuterRef("answers"), Cast("pk", CharField())),
            words=JsonText(OuterRef("answers"), Cast("pk", CharField())),
        )
        .filter(words__isnull=False)
    )
    wanted = Q()
    if questions := record.get("question"):
        wanted &= Q(pk__in=ids(questions))
    if choices := record.get("choice"):
        wanted &= _chosen(choices)
    if texts := record.get("text"):
        # The stored form of choices are their keys; what people read are the labels.
        wanted &= (~Q(type__in=_KEYED) & text_q("words", "contains", texts)) | _chosen(_labelled(texts))
    rows = answered.filter(wanted) if operator == "is" else answered.exclude(wanted)
    return Q(Exists(applications().filter(Exists(rows))))


_KEYED = ("choice", "select", "multiple", "agreement")


def _chosen(choices: Sequence[str]) -> Q:
    chosen = Q(pk__in=[])
    for question, keys in _by_question(choices).items():
        chosen |= Q(pk=question) & Q(HasAnyKey(F("answer"), keys))
    return chosen


def _labelled(texts: Sequence[str]) -> list[str]:
    """The choices ("12:a1") whose label, in either language, contains one of the texts; one query."""
    wanted = [text.casefold() for text in texts]
    return [
        f"{item.pk}:{choice['key']}"
        for item in FormItem.objects.filter(source=ItemSource.QUESTION, type__in=_KEYED)
        for choice in item.choices
        if any(text in f"{choice['label']}\n{choice.get('label_en', '')}".casefold() for text in wanted)
    ]


def _by_question(choices: Sequence[str]) -> dict[int, list[str]]:
    """{question id: keys} of "12:a1"; what has another shape is no choice of any question."""
    found: dict[int, list[str]] = {}
    for choice in choices:
        question, colon, key = choice.partition(":")
        if colon and key and question.isascii() and question.isdigit() and len(question) < 18:
            found.setdefault(int(question), []).append(key)
    return found


# ---- what the screens offer
def _campaign_label(pk: int, name: str) -> str:
    return f"{name} (#{pk})"


def campaign_choices() -> Choices:
    rows = Campaign.objects.order_by("-pk").values_list("pk", "name")[:SHOWN_CHOICES]
    return [(str(pk), _campaign_label(pk, name)) for pk, name in rows]


def campaign_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = Campaign.objects.filter(pk__in=ids(values)).values_list("pk", "name")
    return {str(pk): _campaign_label(pk, name) for pk, name in rows}


def _questions() -> QuerySet[FormItem]:
    rows = FormItem.objects.filter(source=ItemSource.QUESTION).select_related("campaign")
    return rows.order_by("-campaign_id", "position", "pk")


def _question_label(item: FormItem) -> str:
    return f"{item.campaign.name} › {item.label}"


def question_choices() -> Choices:
    return [(str(item.pk), _question_label(item)) for item in _questions()[:SHOWN_CHOICES]]


def question_labels(values: Sequence[str]) -> dict[str, Text]:
    return {str(item.pk): _question_label(item) for item in _questions().filter(pk__in=ids(values))}


def choices_of_question(item: FormItem) -> Choices:
    """Its choices by key, those too that are offered no more."""
    if item.type == "agreement":
        return [("yes", _("Agreed"))]
    return [(str(choice["key"]), str(choice["label"])) for choice in item.choices]


def _choices_of(items: QuerySet[FormItem]) -> Choices:
    return [
        (f"{item.pk}:{key}", f"{_question_label(item)}: {label}")
        for item in items
        for key, label in choices_of_question(item)
    ]


def choice_choices() -> Choices:
    return _choices_of(_questions().filter(type__in=_KEYED)[:SHOWN_CHOICES])


def choice_labels(values: Sequence[str]) -> dict[str, Text]:
    wanted = set(values)
    found = _choices_of(_questions().filter(pk__in=_by_question(values)))
    return {key: label for key, label in found if key in wanted}


def register_campaign_items() -> None:
    """Called by CampaignsConfig.ready()."""
    register_item(
        Item(
            "application", _("Application"), GROUP, ItemType.RECORD, _application_q, many=True, modes=BLUE,
            help=_("All parts are asked of the same application. “Has some other” finds who has another application too; who has none: NOT."),
            parts=(
                Part("campaign", _("Campaign"), ItemType.CHOICE, campaign_choices, reference=True, labels=campaign_labels),
                Part("state", _("State"), ItemType.CHOICE, lambda: STATES),
                Part("attended", _("Attendance"), ItemType.CHOICE, lambda: CAME),
                Part("way", _("Way of applying"), ItemType.CHOICE, lambda: list(ApplicationWay.choices)),
            ),
        )
    )  # fmt: skip
    register_item(
        Item(
            "answer", _("Answer to a question"), GROUP, ItemType.RECORD, _answer_q, many=True, modes=BLUE,
            help=_("All parts are asked of the same answer. “Has some other” finds who gave another answer too; who gave none: NOT."),
            parts=(
                Part("question", _("Question"), ItemType.CHOICE, question_choices, reference=True, labels=question_labels),
                Part("choice", pgettext_lazy("answer", "Choice"), ItemType.CHOICE, choice_choices, closed=False, labels=choice_labels),
                Part("text", _("Text contains"), ItemType.TEXT),
            ),
        )
    )  # fmt: skip


# ---- who uses a choice
def searches_using(item: FormItem, choice_key: str | None = None) -> list[str]:
    """The names of the saved searches, of every mode, with a condition on this question, or on this choice of it."""
    key = f"campaign.{item.campaign_id}.question.{item.pk}"
    return [
        search.name
        for search in SavedSearch.objects.order_by("name")
        if any(_uses(block, item, key, choice_key) for block in search.condition.get("blocks", []))
    ]


def _uses(block: Any, item: FormItem, key: str, choice_key: str | None) -> bool:
    if not isinstance(block, dict):
        return False
    values = block.get("values") or []
    if block.get("item") == key:
        return choice_key is None or choice_key in values
    if block.get("item") == "answer" and values and isinstance(values[0], dict):
        choices = [str(choice) for choice in values[0].get("choice", [])]
        if choice_key is not None:
            return f"{item.pk}:{choice_key}" in choices
        return str(item.pk) in values[0].get("question", []) or item.pk in _by_question(choices)
    return False

"""What can be searched inside one campaign (APP-1): keys `campaign.<id>.…`, unknown in every other mode.

All are asked of the lead's present application for the campaign: the one that is live, else the newest one. Leads
without an application match nothing; who applied and gave no answer has an empty one.
"""

import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any

from django.db.models import (
    Case,
    CharField,
    DecimalField,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Collate
from django.db.models.lookups import Exact, IsNull
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.models import (
    Application,
    ApplicationSession,
    ApplicationState,
    ApplicationWay,
    Campaign,
    CancelledBy,
    FormItem,
    ItemSource,
    QuestionType,
    Session,
)
from campaigns.search_items import HasAnyKey, JsonPath, JsonText, applications, choices_of_question, ids
from leads.search.comparisons import choice_q, date_q, datetime_q, number_q, text_q
from leads.search.registry import Item, ItemType, register_lookup

PREFIX = "campaign."
GROUP, QUESTIONS = _("Application for this campaign"), _("Questions of this campaign")
_KEY = re.compile(
    r"campaign\.([0-9]{1,17})\.(?:(state|attended|applied_at|way|session)|question\.([0-9]{1,17}))"
)
Compare = Callable[[str, list[str], datetime], Q]


def present(campaign_id: int) -> QuerySet[Application]:
    """The present application of the outer query's lead."""
    mine = applications().filter(campaign=campaign_id)
    better = (
        Application.objects.filter(campaign=campaign_id, lead=OuterRef("lead_id"))
        .exclude(cancelled_by=CancelledBy.MERGED)
        .order_by()
        .filter(Q(pk__gt=OuterRef("pk")) | ~Q(state=ApplicationState.CANCELLED))
        .exclude(pk=OuterRef("pk"))
    )
    return mine.filter(~Q(state=ApplicationState.CANCELLED) | ~Exists(better))


def _of_present(
    campaign_id: int, compare: Compare, **aliases: Any
) -> Callable[[str, list[Any], datetime], Q]:
    def q(operator: str, values: list[Any], now: datetime) -> Q:
        return Q(Exists(present(campaign_id).alias(**aliases).filter(compare(operator, values, now))))

    return q


def _fixed_items(campaign_id: int, sessions: list[tuple[str, str]]) -> list[Item]:
    prefix = f"{PREFIX}{campaign_id}."
    return [
        Item(
            prefix + "state", _("State"), GROUP, ItemType.CHOICE, closed=True,
            q=_of_present(campaign_id, lambda operator, values, now: choice_q("state", operator, values)),
            choices=lambda: list(ApplicationState.choices),
        ),
        Item(
            prefix + "attended", pgettext_lazy("application", "Attended"), GROUP, ItemType.BOOL, closed=True,
            q=_of_present(campaign_id, _attended_q), choices=lambda: [("yes", _("Yes")), ("no", _("No"))],
        ),
        Item(
            prefix + "applied_at", _("Applied at"), GROUP, ItemType.DATETIME,
            q=_of_present(campaign_id, lambda operator, values, now: datetime_q("created_at", operator, values, now)),
            operators=("is", "is_not", "lt", "le", "gt", "ge", "between", "today", "within_days", "days_ago", "this_month"),
        ),
        Item(
            prefix + "way", _("Way of applying"), GROUP, ItemType.CHOICE, closed=True,
            q=_of_present(campaign_id, lambda operator, values, now: choice_q("way", operator, values)),
            choices=lambda: list(ApplicationWay.choices),
        ),
        Item(
            prefix + "session", _("Session"), GROUP, ItemType.CHOICE, reference=True, many=True,
            operators=("is", "is_not", "not_empty", "empty"), q=_of_present(campaign_id, _session_q),
            choices=lambda: list(sessions), labels=_session_labels,
        ),
    ]  # fmt: skip


def _attended_q(operator: str, values: list[str], now: datetime) -> Q:
    return Q() if len(set(values)) == 2 else Q(attended_at__isnull=values == ["no"])


def _session_q(operator: str, values: list[str], now: datetime) -> Q:
    chosen = ApplicationSession.objects.filter(application=OuterRef("pk"))
    match operator:
        case "is":
            return Q(Exists(chosen.filter(session__in=ids(values))))
        case "is_not":
            return Q(Exists(chosen.exclude(session__in=ids(values))))
        case "not_empty":
            return Q(Exists(chosen))
    return ~Q(Exists(chosen))


def _session_labels(values: Iterable[str]) -> dict[str, Any]:
    rows = Session.objects.filter(pk__in=ids(list(values))).values_list("pk", "title")
    return {str(pk): title for pk, title in rows}


# ---- questions, typed as they are answered
def _question_item(item: FormItem) -> Item:
    key = f"{PREFIX}{item.campaign_id}.question.{item.pk}"
    place = Value(item.key, output_field=CharField())
    words = Coalesce(JsonText("answers", place), Value(""), output_field=TextField())
    label = item.label
    match item.type:
        case QuestionType.NUMBER:
            raw = JsonPath("answers", place)
            is_number = Exact(JsonTypeof(raw), "number")
            number = Case(
                When(is_number, then=ToNumeric(JsonText("answers", place))), output_field=DecimalField()
            )
            return Item(
                key, label, QUESTIONS, ItemType.NUMBER,
                _of_present(item.campaign_id, lambda operator, values, now: number_q("answer", operator, values), answer=number),
            )  # fmt: skip
        case QuestionType.DATE:
            day = Collate(words, "C")
            return Item(
                key, label, QUESTIONS, ItemType.DATE,
                _of_present(item.campaign_id, lambda operator, values, now: date_q(day, operator, values, now)),
            )  # fmt: skip
        case QuestionType.CHOICE | QuestionType.SELECT | QuestionType.MULTIPLE | QuestionType.AGREEMENT:
            several = item.type == QuestionType.MULTIPLE
            return Item(
                key, label, QUESTIONS, ItemType.CHOICE, many=several, closed=True,
                operators=("is", "is_not", "not_empty", "empty"),
                q=_of_present(item.campaign_id, _keys_q(item, several), answer=JsonPath("answers", place), words=JsonText("answers", place)),
                choices=lambda: choices_of_question(item),
            )  # fmt: skip
    return Item(
        key, label, QUESTIONS, ItemType.TEXT,
        _of_present(item.campaign_id, lambda operator, values, now: text_q("answer", operator, values), answer=words),
    )  # fmt: skip


def _keys_q(item: FormItem, several: bool) -> Compare:
    """Of several, `is_not` is "has some other one"; of one, "is none of these" (an empty one too)."""

    def q(operator: str, values: list[str], now: datetime) -> Q:
        answer = F("answer")
        match operator:
            case "is":
                return Q(HasAnyKey(answer, values))
            case "is_not" if several:
                others = [key for key, _label in choices_of_question(item) if key not in values]
                return Q(HasAnyKey(answer, others))
            case "is_not":
                return ~Q(HasAnyKey(answer, values))
            case "not_empty":
                return Q(IsNull(F("words"), False))
        return Q(IsNull(F("words"), True))

    return q


class JsonTypeof(JsonText):
    function = "jsonb_typeof"


class ToNumeric(Func):
    """Only inside a Case that knows it is a number: the cast cannot fail there."""

    template = "(%(expressions)s)::numeric"
    output_field = DecimalField()


# ---- for the registry
def items_of_campaign(campaign_id: int) -> list[Item]:
    """Two queries: its sessions and its questions, retired ones too (their answers are kept)."""
    sessions = [
        (str(pk), title)
        for pk, title in Session.objects.filter(campaign=campaign_id).values_list("pk", "title")
    ]
    questions = FormItem.objects.filter(campaign=campaign_id, source=ItemSource.QUESTION)
    return _fixed_items(campaign_id, sessions) + [_question_item(item) for item in questions]


def items_for_keys(keys: Collection[str]) -> list[Item]:
    """To describe: of any campaign that exists; three queries at most."""
    fixed: set[int] = set()
    wanted: set[int] = set()
    for key in keys:
        if found := _KEY.fullmatch(key):
            if found[3]:
                wanted.add(int(found[3]))
            else:
                fixed.add(int(found[1]))
    items: list[Item] = []
    if fixed:
        known = Campaign.objects.filter(pk__in=fixed).values_list("pk", flat=True)
        items = [item for pk in known for item in _fixed_items(pk, [])]
    if wanted:
        rows = FormItem.objects.filter(pk__in=wanted, source=ItemSource.QUESTION)
        items += [_question_item(item) for item in rows]
    return [item for item in items if item.key in keys]


def register_items_of_one() -> None:
    register_lookup(PREFIX, items_for_keys, items_of_campaign)

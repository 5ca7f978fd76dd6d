"""What campaigns bring to 複合検索 (EXC-5): applied, cancelled, attended, and what was answered.

Among all campaigns a lead has many applications: `is_not` = has some other one, "has none" = NOT of `is` (the manual's
「一致しない」 and NOT). Inside one campaign a lead has one that counts, the live one or else the newest; its items have
keys of that campaign (`campaign.12.state`) and are known nowhere else.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    DecimalField,
    Exists,
    F,
    Func,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Collate
from django.db.models.lookups import Exact
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.form_items import choices_of, label_of
from campaigns.models import (
    Application,
    ApplicationSession,
    ApplicationState,
    ApplicationWay,
    Campaign,
    FormItem,
    ItemSource,
    QuestionType,
    Session,
)
from leads.search.comparisons import choice_q, date_q, datetime_q, number_q, text_q, yes_no_q
from leads.search.items import yes_or_no
from leads.search.registry import Choices, Item, ItemType, Part, Text, register_item, register_lookup
from smp.lib.mode import BLUE, ORANGE

GROUP = _("Applications")
ANSWERS = pgettext_lazy("search", "Answers")
PREFIX = "campaign."
SHOWN_CHOICES = 300  # the newest; older ones are reached by their ID
ATTENDED = yes_or_no(pgettext_lazy("application", "Attended"), pgettext_lazy("application", "Not attended"))
Compare = Callable[[str, list[Any], datetime], Q]


def register_campaign_items() -> None:
    """Called by CampaignsConfig.ready()."""
    register_item(
        Item(
            "application", _("Application"), GROUP, ItemType.RECORD, _application_q, many=True, modes=BLUE,
            help=_("All parts are asked of the same application."),
            parts=(
                Part("campaign", _("Campaign"), ItemType.CHOICE, campaign_choices, reference=True, labels=campaign_labels),
                Part("state", _("State"), ItemType.CHOICE, lambda: list(ApplicationState.choices)),
                Part("attended", pgettext_lazy("search", "Attendance"), ItemType.CHOICE, ATTENDED),
                Part("way", _("Way"), ItemType.CHOICE, lambda: list(ApplicationWay.choices)),
            ),
        )
    )  # fmt: skip
    register_item(
        Item(
            "answer", _("Answer to a question"), GROUP, ItemType.RECORD, _answer_q, many=True, modes=BLUE,
            help=_("The words occur in the answer, or in the label of the choice; without words: it was answered at all."),
            parts=(
                Part("question", _("Question"), ItemType.CHOICE, question_choices, reference=True, labels=question_labels),
                Part("words", _("Words of the answer"), ItemType.TEXT),
            ),
        )
    )  # fmt: skip
    register_lookup(PREFIX, items_of_keys, items_of_campaign)


# ---- among all campaigns
def campaign_choices() -> Choices:
    rows = Campaign.objects.order_by("-pk").values_list("pk", "name")[:SHOWN_CHOICES]
    return [(str(pk), f"{name} (#{pk})") for pk, name in rows]


def campaign_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = Campaign.objects.filter(pk__in=[int(value) for value in values]).values_list("pk", "name")
    return {str(pk): f"{name} (#{pk})" for pk, name in rows}


def _questions() -> QuerySet[FormItem]:
    return FormItem.objects.filter(source=ItemSource.QUESTION).select_related("campaign")


def question_choices() -> Choices:
    return [_question(item) for item in _questions().order_by("-campaign_id", "position")[:SHOWN_CHOICES]]


def question_labels(values: Sequence[str]) -> dict[str, Text]:
    return dict(_question(item) for item in _questions().filter(pk__in=[int(value) for value in values]))


def _question(item: FormItem) -> tuple[str, Text]:
    return str(item.pk), f"{item.label} ({item.campaign.name} #{item.pk})"


def _application_q(operator: str, values: list[dict[str, list[str]]], now: datetime) -> Q:
    record, wanted = values[0], Q()
    if campaigns := record.get("campaign"):
        wanted &= Q(campaign_id__in=[int(value) for value in campaigns])
    if states := record.get("state"):
        wanted &= Q(state__in=states)
    if attended := record.get("attended"):
        wanted &= yes_no_q(Q(attended_at__isnull=False), attended)
    if ways := record.get("way"):
        wanted &= Q(way__in=ways)
    rows = Application.objects.filter(lead=OuterRef("pk"))
    return Q(Exists(rows.filter(wanted) if operator == "is" else rows.exclude(wanted)))


def _answer_q(operator: str, values: list[dict[str, list[str]]], now: datetime) -> Q:
    """`is_not`: some question (one of those named, or any) was answered with something else."""
    record = values[0]
    questions = _questions()
    if asked := record.get("question"):
        questions = questions.filter(pk__in=[int(value) for value in asked])
    words = [word for word in record.get("words", []) if word]
    found = Q(pk__in=[])  # nobody, when none of the questions exists any more
    for item in questions:
        there = Q(campaign_id=item.campaign_id, answers__has_key=item.key)
        said = _words_q(item, words) if words else Q(pk__isnull=False)
        found |= there & (said if operator == "is" else ~said)
    return Q(Exists(Application.objects.filter(lead=OuterRef("pk")).filter(found)))


def _words_q(item: FormItem, words: list[str]) -> Q:
    """Any of the words in the answer as people read it."""
    if item.type not in WITH_KEYS:
        return text_q(_text(item), "contains", words)
    keys = [
        key
        for language in ("ja", "en")
        for key, label in choices_of(item, language, retired=True)
        if any(word.lower() in str(label).lower() for word in words)
    ]
    return Q(_has_any(item, keys))


# ---- inside one campaign
WITH_KEYS = frozenset({QuestionType.CHOICE, QuestionType.SELECT, QuestionType.MULTIPLE})


def items_of_keys(keys: Collection[str]) -> Iterable[Item]:
    """The items of these keys, whatever their campaigns: three queries a campaign."""
    campaigns = {
        int(part) for key in keys if (part := key.removeprefix(PREFIX).partition(".")[0]).isdecimal()
    }
    wanted = set(keys)
    return [item for pk in sorted(campaigns) for item in items_of_campaign(pk) if item.key in wanted]


def items_of_campaign(campaign_id: int) -> Iterable[Item]:
    """Two queries: its sessions and its questions, the retired ones too."""
    prefix = f"{PREFIX}{campaign_id}."
    sessions = [
        (str(pk), title)
        for pk, title in Session.objects.filter(campaign=campaign_id).values_list("pk", "title")
    ]
    questions = FormItem.objects.filter(campaign=campaign_id, source=ItemSource.QUESTION)

    def compare(q: Callable[[str, list[Any], datetime], Q]) -> Compare:
        return lambda operator, values, now: Q(Exists(_current(campaign_id).filter(q(operator, values, now))))

    def item(key: str, label: Text, group: Text, type: ItemType, q: Compare, **more: Any) -> Item:
        return Item(f"{prefix}{key}", label, group, type, compare(q), modes=ORANGE, **more)

    found = [
        item(
            "state", _("Applied / cancelled"), GROUP, ItemType.CHOICE,
            lambda operator, values, now: choice_q("state", operator, values),
            choices=lambda: list(ApplicationState.choices), closed=True,
        ),
        item(
            "attended", pgettext_lazy("search", "Attendance"), GROUP, ItemType.BOOL,
            lambda operator, values, now: yes_no_q(Q(attended_at__isnull=False), values), choices=ATTENDED, closed=True,
        ),
        item(
            "created_at", _("Applied at"), GROUP, ItemType.DATETIME,
            lambda operator, values, now: datetime_q("created_at", operator, values, now),
            operators=("today", "within_days", "days_ago", "this_month", "between", "ge", "le"),
        ),
        item(
            "way", _("Way"), GROUP, ItemType.CHOICE, lambda operator, values, now: choice_q("way", operator, values),
            choices=lambda: list(ApplicationWay.choices), closed=True,
        ),
    ]  # fmt: skip
    if sessions:
        found.append(
            item("session", _("Session chosen"), GROUP, ItemType.CHOICE, _session_q, choices=lambda: list(sessions), closed=True)
        )  # fmt: skip
    for question in questions:
        type, q, more = _typed(question)
        label = label_of(question, "ja")
        found.append(item(f"question.{question.pk}", label, ANSWERS, type, q, **more))
    return found


def _current(campaign_id: int) -> QuerySet[Application]:
    """The one application of the lead that counts: the live one, or else the newest."""
    mine = Application.objects.filter(campaign_id=campaign_id)
    same = mine.filter(lead=OuterRef("lead"))
    later = same.filter(Q(pk__gt=OuterRef("pk")) | ~Q(state=ApplicationState.CANCELLED))
    return mine.filter(lead=OuterRef("pk")).exclude(Q(state=ApplicationState.CANCELLED) & Q(Exists(later)))


def _session_q(operator: str, values: list[str], now: datetime) -> Q:
    chosen = ApplicationSession.objects.filter(
        application=OuterRef("pk"), session_id__in=[int(value) for value in values]
    )
    return Q(Exists(chosen)) if operator == "is" else ~Q(Exists(chosen))


def _typed(question: FormItem) -> tuple[ItemType, Compare, dict[str, Any]]:
    """How a question is searched, by its type."""
    match question.type:
        case QuestionType.CHOICE | QuestionType.SELECT | QuestionType.MULTIPLE:
            choices: Choices = [(key, label) for key, label in choices_of(question, "ja", retired=True)]
            more = {
                "choices": lambda: choices,
                "closed": True,
                "operators": ("is", "is_not", "empty", "not_empty"),
            }
            return ItemType.CHOICE, lambda operator, values, now: _keys_q(question, operator, values), more
        case QuestionType.AGREEMENT:
            given = Q(answers__has_key=question.key)
            return ItemType.BOOL, lambda operator, values, now: yes_no_q(given, values), {"choices": yes_or_no(), "closed": True}  # fmt: skip
        case QuestionType.NUMBER:
            return ItemType.NUMBER, lambda operator, values, now: number_q(_number(question), operator, values), {}  # fmt: skip
        case QuestionType.DATE:
            day = Collate(_text(question), "C")
            return ItemType.DATE, lambda operator, values, now: date_q(day, operator, values, now), {}
    return ItemType.TEXT, lambda operator, values, now: text_q(_text(question), operator, values), {}


def _keys_q(question: FormItem, operator: str, values: list[str]) -> Q:
    answered = Q(answers__has_key=question.key)
    match operator:
        case "is":
            return Q(_has_any(question, values))
        case "is_not":
            return ~Q(_has_any(question, values))
        case "empty":
            return ~answered
        case "not_empty":
            return answered
    raise ValueError(operator)


# ---- Application.answers, under the question's id. Not Django's KeyTransform: it takes a key of digits for an array index.
def _json(question: FormItem) -> Func:
    return Func(F("answers"), Value(question.key), function="jsonb_extract_path", output_field=JSONField())


def _text(question: FormItem) -> Coalesce:
    value = Func(
        F("answers"), Value(question.key), function="jsonb_extract_path_text", output_field=TextField()
    )
    return Coalesce(value, Value(""), output_field=TextField())


def _number(question: FormItem) -> Case:
    """NULL for what is no number, so that no cast can fail."""
    kind = Func(_json(question), function="jsonb_typeof", output_field=TextField())
    return Case(
        When(
            Exact(kind, "number"), then=Cast(_text(question), DecimalField(max_digits=40, decimal_places=10))
        ),
        output_field=DecimalField(),
    )


class _HasAny(Func):
    """True or false, never NULL: whether a list of keys has one of these."""

    function = "jsonb_exists_any"
    template = "COALESCE(%(function)s(%(expressions)s), FALSE)"
    output_field = BooleanField()


def _has_any(question: FormItem, keys: Sequence[str]) -> _HasAny:
    return _HasAny(_json(question), Cast(Value("{" + ",".join(map(_quoted, keys)) + "}"), _TextArray()))


class _TextArray(TextField):  # type: ignore[type-arg]
    def db_type(self, connection: Any) -> str:
        return "text[]"

    def cast_db_type(self, connection: Any) -> str:
        return "text[]"


def _quoted(key: str) -> str:
    """An element of a PostgreSQL array literal."""
    return '"' + str(key).replace("\\", "\\\\").replace('"', '\\"') + '"'

"""The items of a campaign's form: which there are, and adding, changing, ordering, retiring and copying them.

The e-mail address and the last name always stand on the form and are always required. Nothing that may have been
answered is deleted: an item or a choice that is taken away is retired, so that answers, searches and exports keep their
words. Put back, it is the same one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.models import Campaign, FormItem, ItemSource, QuestionType
from campaigns.texts import text_in
from leads.columns import clean_text
from leads.models import Lead, LeadColumn
from settings import audit
from settings.models import User

# What an attendee may be asked of leads.edit.FIELDS, in the order the screen offers it.
LEAD_ITEMS = (
    "last_name", "first_name", "last_name_kana", "first_name_kana", "company", "department", "job_title", "email",
    "postal_code", "prefecture", "address", "phone", "dm_permission",
)  # fmt: skip
ALWAYS = frozenset({"email", "last_name"})
# 特定電子メール法 3条1項 asks for consent given beforehand: the question has no answer until the attendee gives one, so
# it is never optional and nothing is chosen for them.
ALWAYS_REQUIRED = ALWAYS | {"dm_permission"}
_DEFAULT = (
    ("last_name", True), ("first_name", True), ("company", True), ("department", False), ("job_title", False),
    ("email", True), ("phone", False), ("dm_permission", True),
)  # fmt: skip

WITH_CHOICES = frozenset({QuestionType.CHOICE, QuestionType.SELECT, QuestionType.MULTIPLE})
AGREED = "yes"  # the answer to an agreement
CHOICES_MAX = 100
LABEL_MAX, HELP_MAX = 200, 500
ITEMS_MAX = 100

DM_QUESTION = gettext_lazy("Would you like to receive material and information?")


class Choice(TypedDict, total=False):
    """One of FormItem.choices. A retired one is offered no more and keeps its words."""

    key: str
    label: str
    label_en: str
    retired: bool


@dataclass(frozen=True)
class ItemValues:
    """What a person decides about an item. `choices` with key "" are new ones."""

    label: str = ""
    label_en: str = ""
    help: str = ""
    help_en: str = ""
    required: bool = False
    type: str = ""
    choices: Sequence[Mapping[str, Any]] = ()


# ---- reading
def items_of(campaign: Campaign) -> list[FormItem]:
    """The live items in order; those of a new campaign (not stored) where there are none. One query."""
    return list(campaign.form_items.filter(retired_at=None)) or _default_items(campaign)


def _default_items(campaign: Campaign) -> list[FormItem]:
    return [
        FormItem(campaign=campaign, source=ItemSource.LEAD, field=field, required=required, position=position)
        for position, (field, required) in enumerate(_DEFAULT, start=1)
    ]


def questions_of(campaign: Campaign) -> list[FormItem]:
    """The questions, retired ones last: what Application.answers may hold."""
    rows = campaign.form_items.filter(source=ItemSource.QUESTION)
    return list(rows.order_by(models.F("retired_at").asc(nulls_first=True), "position", "id"))


def addable_lead_items(items: Iterable[FormItem]) -> list[str]:
    taken = {item.field for item in items if item.source == ItemSource.LEAD}
    return [name for name in LEAD_ITEMS if name not in taken]


def addable_columns(items: Iterable[FormItem]) -> list[LeadColumn]:
    taken = {item.field for item in items if item.source == ItemSource.COLUMN}
    return [column for column in LeadColumn.objects.all() if column.key not in taken]


def lead_label(name: str, language: str) -> str:
    """What a lead item is called on a form without a label of its own."""
    with translation.override(language):
        if name == "dm_permission":
            return str(DM_QUESTION)
        field = Lead._meta.get_field(name)
        assert isinstance(field, models.Field)
        return str(field.verbose_name)


def label_of(item: FormItem, language: str, columns: Mapping[str, LeadColumn] | None = None) -> str:
    """`columns`: {key: column}, for added items without a label of their own."""
    if item.label or (item.label_en and language == "en"):
        return text_in(item, "label", language)
    if item.source == ItemSource.LEAD:
        return lead_label(item.field, language)
    if columns is None:
        columns = {column.key: column for column in LeadColumn.objects.filter(pk=int(item.field))}
    return columns[item.field].label if item.field in columns else item.field


def choices_of(item: FormItem, language: str, *, retired: bool = False) -> list[tuple[str, str]]:
    """(key, label) of a question's choices, of an agreement the one; with `retired` those too that are offered no more."""
    if item.type == QuestionType.AGREEMENT:
        with translation.override(language):
            return [(AGREED, _("Agreed"))]
    return [
        (choice["key"], (language == "en" and choice.get("label_en")) or choice["label"])
        for choice in item.choices
        if retired or not choice.get("retired")
    ]


# ---- writing
def ensure_default_items(campaign: Campaign) -> None:
    """The form a new campaign starts with. Does nothing where there are items already."""
    with transaction.atomic():
        _lock(campaign)
        if not campaign.form_items.exists():
            FormItem.objects.bulk_create(_default_items(campaign))


def copy_items(source: Campaign, target: Campaign) -> None:
    """For a copied campaign: the live items, with choices that keep their keys."""
    FormItem.objects.bulk_create(
        FormItem(
            campaign=target,
            source=item.source,
            field=item.field,
            label=item.label,
            label_en=item.label_en,
            help=item.help,
            help_en=item.help_en,
            type=item.type,
            choices=[choice for choice in item.choices if not choice.get("retired")],
            required=item.required,
            position=position,
        )
        for position, item in enumerate(items_of(source), start=1)
    )


def add_item(
    campaign: Campaign, source: str, field: str = "", *, values: ItemValues, user: User | None, now: datetime
) -> FormItem:
    """A new last item. One that was retired comes back with these values. ValidationError by field."""
    with transaction.atomic():
        _lock(campaign)
        ensure_default_items(campaign)
        live = items_of(campaign)
        if len(live) >= ITEMS_MAX:
            raise ValidationError(_("A form can have at most %(limit)s items.") % {"limit": ITEMS_MAX})
        item = None
        if source != ItemSource.QUESTION:
            _check_field(live, source, field)
            item = campaign.form_items.filter(source=source, field=field).exclude(retired_at=None).first()
        item = item or FormItem(campaign=campaign, source=source, field=field)
        item.retired_at = None
        item.position = max((other.position for other in live), default=0) + 1
        if source == ItemSource.QUESTION:
            item.type = values.type
        _set(item, values)
        item.save()
        _record("form_item.create", item, user, now)
    return item


def save_item(item: FormItem, values: ItemValues, *, user: User | None, now: datetime) -> FormItem:
    """Changes an item; the type of a question stays. ValidationError by field (`choices` for all of them)."""
    with transaction.atomic():
        _lock(item.campaign)
        item = FormItem.objects.select_related("campaign").get(pk=item.pk)
        before = _described(item)
        _set(item, values)
        item.save()
        changes = {k: [before[k], v] for k, v in _described(item).items() if before[k] != v}
        if changes:
            _record("form_item.edit", item, user, now, changes=changes)
    return item


def move_item(item: FormItem, *, up: bool, user: User | None, now: datetime) -> bool:
    """One place up or down; False at the end of the list. Positions are numbered anew, whatever they were."""
    with transaction.atomic():
        _lock(item.campaign)
        items = items_of(item.campaign)
        places = [other.pk for other in items]
        if item.pk not in places:
            return False
        old = places.index(item.pk)
        new = old - 1 if up else old + 1
        if not 0 <= new < len(items):
            return False
        items[old], items[new] = items[new], items[old]
        for position, other in enumerate(items, start=1):
            other.position = position
        FormItem.objects.bulk_update(items, ["position"])
        _record("form_item.move", item, user, now, changes={"position": [old + 1, new + 1]})
    return True


def retire_item(item: FormItem, *, user: User | None, now: datetime) -> bool:
    """Takes an item off the form. Answers stay. False if it was off already; ValidationError for those of ALWAYS."""
    if always(item):
        raise ValidationError(_("The e-mail address and the last name always stand on the form."))
    with transaction.atomic():
        _lock(item.campaign)
        retired = bool(FormItem.objects.filter(pk=item.pk, retired_at=None).update(retired_at=now))
        if retired:
            _record("form_item.retire", item, user, now)
    return retired


def restore_item(item: FormItem, *, user: User | None, now: datetime) -> bool:
    """Puts a retired question back, as the last one."""
    with transaction.atomic():
        _lock(item.campaign)
        live = items_of(item.campaign)
        last = max((other.position for other in live), default=0)
        rows = FormItem.objects.filter(pk=item.pk, source=ItemSource.QUESTION).exclude(retired_at=None)
        restored = bool(rows.update(retired_at=None, position=last + 1)) if len(live) < ITEMS_MAX else False
        if restored:
            _record("form_item.restore", item, user, now)
    return restored


def always(item: FormItem) -> bool:
    return item.source == ItemSource.LEAD and item.field in ALWAYS


def always_required(item: FormItem) -> bool:
    return item.source == ItemSource.LEAD and item.field in ALWAYS_REQUIRED


# ---- checks
def _lock(campaign: Campaign) -> None:
    Campaign.objects.select_for_update(no_key=True).only("pk").get(pk=campaign.pk)


def _check_field(live: list[FormItem], source: str, field: str) -> None:
    if source == ItemSource.LEAD:
        known = field in LEAD_ITEMS
    elif source == ItemSource.COLUMN:
        known = field.isdecimal() and len(field) < 10 and LeadColumn.objects.filter(pk=int(field)).exists()
    else:
        known = False
    if not known:
        raise ValidationError(
            {"field": ValidationError(_("Choose one of the items offered."), code="unknown")}
        )
    if any(item.source == source and item.field == field for item in live):
        raise ValidationError(
            {"field": ValidationError(_("This item is on the form already."), code="twice")}
        )


def _set(item: FormItem, values: ItemValues) -> None:
    problems: dict[str, Any] = {}
    for name, limit in (
        ("label", LABEL_MAX),
        ("label_en", LABEL_MAX),
        ("help", HELP_MAX),
        ("help_en", HELP_MAX),
    ):
        try:
            setattr(item, name, _clean(getattr(values, name), limit))
        except ValidationError as problem:
            problems[name] = problem
    item.required = values.required or always_required(item)
    if item.source == ItemSource.QUESTION:
        if not item.label and "label" not in problems:
            problems["label"] = ValidationError(_("Enter the question."), code="required")
        if item.type not in QuestionType.values:
            problems["type"] = ValidationError(_("Choose a type."), code="required")
        elif item.type in WITH_CHOICES:
            try:
                item.choices = _clean_choices(item.choices, values.choices)
            except ValidationError as problem:
                problems["choices"] = problem
    if problems:
        raise ValidationError(problems)


def _clean(text: str, limit: int) -> str:
    cleaned = clean_text(text)
    if len(cleaned) > limit:
        raise ValidationError(
            _("Enter at most %(limit)s characters."), params={"limit": limit}, code="too_long"
        )
    return cleaned


def _clean_choices(before: Sequence[Choice], wanted: Sequence[Mapping[str, Any]]) -> list[Choice]:
    """The choices in the order wanted. Keys are never given twice; one that is left out is retired, not dropped."""
    known = {choice["key"]: choice for choice in before}
    by_label = {choice["label"]: choice["key"] for choice in before if choice.get("retired")}
    number = max((int(key[1:]) for key in known if key[1:].isdecimal()), default=0)
    cleaned: list[Choice] = []
    for entry in wanted:
        label, label_en = (
            _clean(str(entry["label"]), LABEL_MAX),
            _clean(str(entry.get("label_en", "")), LABEL_MAX),
        )
        key = str(entry.get("key") or "")
        if not key and not label and not label_en:
            continue
        if not label:
            raise ValidationError(_("Every choice needs a label."), code="required")
        if not key and label in by_label:
            key = by_label[label]  # typed again: the same choice as before
        if key not in known:
            number += 1
            key = f"a{number}"
        choice = Choice(key=key, label=label, label_en=label_en)
        if entry.get("retired"):
            choice["retired"] = True
        cleaned = [other for other in cleaned if other["key"] != key]
        cleaned.append(choice)
    kept = {choice["key"] for choice in cleaned}
    cleaned += [Choice(**{**choice, "retired": True}) for key, choice in known.items() if key not in kept]
    offered = [choice["label"] for choice in cleaned if not choice.get("retired")]
    if not offered:
        raise ValidationError(_("Enter at least one choice."), code="required")
    if len(offered) > CHOICES_MAX:
        raise ValidationError(
            _("At most %(limit)s choices are possible."), params={"limit": CHOICES_MAX}, code="too_many"
        )
    folded = [label.casefold() for label in offered]
    if len(set(folded)) < len(folded):
        raise ValidationError(_("Two choices have the same label."), code="twice")
    return cleaned


def _described(item: FormItem) -> dict[str, Any]:
    names = ("label", "label_en", "help", "help_en", "required", "choices")
    return {name: getattr(item, name) for name in names}


def _record(
    action: str, item: FormItem, user: User | None, now: datetime, *, changes: Mapping[str, Any] | None = None
) -> None:
    audit.record(
        action,
        user=user,
        target=item,
        target_label=label_of(item, "ja"),
        detail={"at": now.isoformat(), "campaign": str(item.campaign), "changes": dict(changes or {})},
    )

"""自由項目 of a magazine: what it knows of its readers beyond the lead, and the values in Reader.values. Forms, pages, imports
and the filter share `clean_values`.

A value is text, a number or an ISO date under the item's id, as Lead.extra holds those of リード項目; the same functions
clean both (leads/columns.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.columns import clean_text, clean_value
from leads.models import LeadColumn
from mail.magazines.item_uses import uses_of
from mail.models import Magazine, Reader, ReaderItem
from settings import audit
from settings.models import User

MOST_ITEMS = 100
MOST_CHOICES = 200
LABEL_MAX = 60
CHOICE_MAX = 100
TEXT_MAX = 1000


def items_of(magazine: Magazine | int, *, retired: bool = False) -> list[ReaderItem]:
    """In their order; `retired`: those that are asked no more too (their values are kept). One query."""
    items = ReaderItem.objects.filter(magazine=magazine)
    return list(items if retired else items.filter(retired_at=None))


def hold_items(magazine: Magazine | int) -> None:
    """Until the transaction ends none of them is retired: for who saves a story that may count on one (`retire_item` looks at the
    stories after it). After the story's own row."""
    number = magazine if isinstance(magazine, int) else magazine.pk
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM mail_readeritem WHERE magazine_id = %s AND retired_at IS NULL ORDER BY id FOR SHARE",
            [number],
        )


def clean_item_value(item: ReaderItem, value: Any) -> str | int | float | None:
    """What is stored for what was typed; None for blank. ValidationError says what is wrong and what to do."""
    column = LeadColumn(label=item.label, type=item.type, choices=item.choices)
    cleaned = clean_value(column, value)
    if cleaned is None and item.required:
        raise ValidationError(_("Fill in “%(item)s”.") % {"item": item.label}, code="required")
    return cleaned


def clean_values(
    magazine: Magazine | int,
    values: Mapping[str, Any],
    *,
    items: Sequence[ReaderItem] | None = None,
    all_required: bool = False,
) -> dict[str, str | int | float]:
    """{item key: stored value} for {item key: typed text}, blank ones left out. `all_required`: an item that must be
    filled in and is missing is an error as well (forms). ValidationError by field "item_<key>", all at once."""
    known = {item.key: item for item in (items_of(magazine) if items is None else items)}
    cleaned: dict[str, str | int | float] = {}
    problems: dict[str, ValidationError] = {}
    for key, value in values.items():
        item = known.get(key)
        if item is None:
            problems["items"] = ValidationError(
                _("There is no item %(key)s.") % {"key": key[:20]}, code="unknown"
            )
            continue
        try:
            stored = clean_item_value(item, value)
        except ValidationError as problem:
            problems[f"item_{key}"] = problem
            continue
        if stored is not None:
            cleaned[key] = stored
    if all_required:
        for key, item in known.items():
            if item.required and key not in values:
                problems[f"item_{key}"] = ValidationError(
                    _("Fill in “%(item)s”.") % {"item": item.label}, code="required"
                )
    if problems:
        raise ValidationError(problems)
    return cleaned


def value_text(item: ReaderItem, value: Any, language: str = "ja") -> str:
    """A stored value as people read it; "" when there is none."""
    if value is None or value == "":
        return ""
    if item.type == ReaderItem.Type.DATE:
        try:
            day = date.fromisoformat(str(value))
        except ValueError:
            return str(value)
        return f"{day.year}年{day.month}月{day.day}日" if language == "ja" else day.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def value_rows(reader: Reader, items: Iterable[ReaderItem], language: str = "ja") -> list[tuple[str, str]]:
    """[(label, text)] of a reader's page, in the order of the items."""
    return [(item.label, value_text(item, reader.values.get(item.key), language)) for item in items]


# ---- the items themselves


def save_item(
    magazine: Magazine,
    *,
    item: ReaderItem | None = None,
    label: str,
    type: str,
    choices: Iterable[str] = (),
    on_form: bool = True,
    required: bool = False,
    position: int | None = None,
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> ReaderItem:
    """Creates or changes an item. ValidationError by field. The type of an existing one stays, and a choice that readers
    still have cannot be taken away: their values would be stored and selectable nowhere."""
    with transaction.atomic():
        # One after the other: labels are unique, and so are positions.
        Magazine.objects.select_for_update(no_key=True).get(pk=magazine.pk)
        if item is None:
            if magazine.items.filter(retired_at=None).count() >= MOST_ITEMS:
                raise ValidationError(
                    {"label": _("A magazine has at most %(limit)s items.") % {"limit": MOST_ITEMS}}
                )
            last = magazine.items.order_by("-position").values_list("position", flat=True).first()
            stored = ReaderItem(magazine=magazine, type=type, position=(last or 0) + 1)
        else:
            stored = ReaderItem.objects.select_for_update().get(pk=item.pk, magazine=magazine)
        before = {} if item is None else _said(stored)
        stored.label, stored.choices = _checked(magazine, stored, label=label, choices=choices)
        stored.on_form, stored.required = on_form, required and on_form
        if position is not None:
            stored.position = position
        stored.save()
        changes = {
            name: [before.get(name), value]
            for name, value in _said(stored).items()
            if before.get(name) != value
        }
        if changes:
            audit.record(
                "reader_item.add" if item is None else "reader_item.change",
                user=user, target=magazine, ip=ip,
                detail={"at": now.isoformat(), "item": stored.label, "changes": changes},
            )  # fmt: skip
    return stored


def _said(item: ReaderItem) -> dict[str, Any]:
    return {
        "label": item.label, "type": str(item.type), "choices": item.choices, "on_form": item.on_form,
        "required": item.required, "position": item.position,
    }  # fmt: skip


def _checked(
    magazine: Magazine, item: ReaderItem, *, label: str, choices: Iterable[str]
) -> tuple[str, list[str]]:
    problems: dict[str, ValidationError] = {}
    cleaned_label = ""
    try:
        cleaned_label = clean_text(label)
    except ValidationError as problem:
        problems["label"] = problem
    if "label" not in problems:
        if not cleaned_label:
            problems["label"] = ValidationError(_("Enter a label."), code="required")
        elif len(cleaned_label) > LABEL_MAX:
            problems["label"] = ValidationError(
                _("Enter at most %(limit)s characters.") % {"limit": LABEL_MAX}, code="too_long"
            )
        elif magazine.items.filter(label=cleaned_label, retired_at=None).exclude(pk=item.pk).exists():
            problems["label"] = ValidationError(_("There is another item of this name."), code="unique")
    if item.type not in ReaderItem.Type.values:
        problems["type"] = ValidationError(_("Choose the type of the item."), code="type")
    cleaned: list[str] = []
    if item.type == ReaderItem.Type.CHOICE:
        try:
            cleaned = _checked_choices(item, choices)
        except ValidationError as problem:
            problems["choices_text"] = problem
    if problems:
        raise ValidationError(problems)
    return cleaned_label, cleaned


def _checked_choices(item: ReaderItem, choices: Iterable[str]) -> list[str]:
    cleaned = list(dict.fromkeys(text for choice in choices if (text := clean_text(choice))))
    if not cleaned:
        raise ValidationError(_("Enter at least one choice, one a line."), code="required")
    if len(cleaned) > MOST_CHOICES or any(len(choice) > CHOICE_MAX for choice in cleaned):
        raise ValidationError(
            _("At most %(choices)s choices of %(length)s characters each are possible.")
            % {"choices": MOST_CHOICES, "length": CHOICE_MAX},
            code="too_long",
        )
    if item.pk is not None and (lost := used_choices(item) - set(cleaned)):
        raise ValidationError(
            _("Readers still have: %(choices)s. Change those readers first, or keep the choice.")
            % {"choices": " / ".join(sorted(lost)[:10])},
            code="in_use",
        )
    return cleaned


def used_choices(item: ReaderItem) -> set[str]:
    """The choices that readers have. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT values ->> %s FROM mail_reader WHERE magazine_id = %s AND values ? %s",
            [item.key, item.magazine_id, item.key],
        )
        return {row[0] for row in cursor.fetchall() if row[0] is not None}


def retire_item(item: ReaderItem, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """It is asked no more and stands in no list; readers keep their values. ValidationError while a story counts on it:
    its filter, its text or its days would be lost silently."""
    with transaction.atomic():
        stored = ReaderItem.objects.select_for_update().get(pk=item.pk)
        if stored.retired_at is not None:
            return
        if names := uses_of(stored):
            raise ValidationError(
                _("It is used by these stories: %(names)s. Change those first.")
                % {"names": " / ".join(names[:10])},
                code="in_use",
            )
        stored.retired_at = now
        stored.save(update_fields=["retired_at"])
        audit.record(
            "reader_item.retire", user=user, target=stored.magazine, ip=ip,
            detail={"at": now.isoformat(), "item": stored.label},
        )  # fmt: skip


def restore_item(item: ReaderItem, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """Takes `retire_item` back. ValidationError when its name was given to another one meanwhile."""
    with transaction.atomic():
        Magazine.objects.select_for_update(no_key=True).get(pk=item.magazine_id)
        stored = ReaderItem.objects.select_for_update().get(pk=item.pk)
        if stored.retired_at is None:
            return
        others = ReaderItem.objects.filter(magazine=item.magazine_id, label=stored.label, retired_at=None)
        if others.exists():
            raise ValidationError(_("There is another item of this name."), code="unique")
        stored.retired_at = None
        stored.save(update_fields=["retired_at"])
        audit.record(
            "reader_item.restore", user=user, target=stored.magazine, ip=ip,
            detail={"at": now.isoformat(), "item": stored.label},
        )  # fmt: skip


def move_item(
    item: ReaderItem, *, up: bool, user: User | None, now: datetime | None = None, ip: str | None = None
) -> bool:
    """Changes places with its neighbour among those that are not retired. False at the edge."""
    with transaction.atomic():
        Magazine.objects.select_for_update(no_key=True).get(pk=item.magazine_id)
        rows = items_of(item.magazine_id)
        place = next((number for number, row in enumerate(rows) if row.pk == item.pk), None)
        if place is None:
            return False
        other = place - 1 if up else place + 1
        if not 0 <= other < len(rows):
            return False
        rows[place], rows[other] = rows[other], rows[place]
        for number, row in enumerate(rows, start=1):
            row.position = number
        ReaderItem.objects.bulk_update(rows, ["position"])
        audit.record(
            "reader_item.move", user=user, target=rows[other].magazine, ip=ip,
            detail={"at": (now or timezone.now()).isoformat(), "item": rows[other].label},
        )  # fmt: skip
    return True

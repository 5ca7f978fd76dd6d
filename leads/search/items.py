"""The items of leads themselves: every field, every custom column, and the data behind EXC-1's reasons (EXC-5)."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db.models import Case, DecimalField, Exists, F, Func, OuterRef, Q, TextField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Collate, Concat
from django.db.models.lookups import Exact
from django.utils.translation import gettext_lazy as _

from leads.address import normalise_email
from leads.models import DmPermission, Lead, LeadColumn, LeadKind, Registration
from leads.search.comparisons import choice_q, date_q, datetime_q, number_q, text_q, yes_no_q
from leads.search.registry import (
    OPERATORS,
    Choices,
    Item,
    ItemType,
    Text,
    register_item,
    register_provider,
)

BASIC, MAIL, COLUMNS = _("Lead"), _("E-mail and consent"), _("Added items")

PREFECTURES = [
    "北海道",
    "青森県",
    "岩手県",
    "宮城県",
    "秋田県",
    "山形県",
    "福島県",
    "茨城県",
    "栃木県",
    "群馬県",
    "埼玉県",
    "千葉県",
    "東京都",
    "神奈川県",
    "新潟県",
    "富山県",
    "石川県",
    "福井県",
    "山梨県",
    "長野県",
    "岐阜県",
    "静岡県",
    "愛知県",
    "三重県",
    "滋賀県",
    "京都府",
    "大阪府",
    "兵庫県",
    "奈良県",
    "和歌山県",
    "鳥取県",
    "島根県",
    "岡山県",
    "広島県",
    "山口県",
    "徳島県",
    "香川県",
    "愛媛県",
    "高知県",
    "福岡県",
    "佐賀県",
    "長崎県",
    "熊本県",
    "大分県",
    "宮崎県",
    "鹿児島県",
    "沖縄県",
]
OPEN_CHOICE = ("is", "is_not", "contains", "not_contains", "empty", "not_empty")


YES, NO = _("Yes"), _("No")


def yes_or_no(yes: Text = YES, no: Text = NO) -> Callable[[], Choices]:
    return lambda: [("yes", yes), ("no", no)]


def _text(key: str, label: Text, expression: Combinable | str, group: Text = BASIC, **more: Any) -> Item:
    return Item(
        key,
        label,
        group,
        ItemType.TEXT,
        lambda operator, values, now: text_q(expression, operator, values),
        **more,
    )


def _choice(key: str, label: Text, field: str, choices: Choices, group: Text = BASIC, **more: Any) -> Item:
    more.setdefault("closed", True)
    return Item(
        key, label, group, ItemType.CHOICE, lambda operator, values, now: choice_q(field, operator, values),
        choices=lambda: choices, **more,
    )  # fmt: skip


def _moment(key: str, label: Text, field: str, group: Text = BASIC, **more: Any) -> Item:
    return Item(
        key,
        label,
        group,
        ItemType.DATETIME,
        lambda operator, values, now: datetime_q(field, operator, values, now),
        **more,
    )


def _yes_no(key: str, label: Text, yes: Q, choices: Callable[[], Choices] | None = None, **more: Any) -> Item:
    return Item(
        key, label, MAIL, ItemType.BOOL, lambda operator, values, now: yes_no_q(yes, values),
        choices=choices or yes_or_no(), closed=True, **more,
    )  # fmt: skip


def _number(key: str, label: Text, field: str, group: Text, operators: tuple[str, ...]) -> Item:
    return Item(
        key, label, group, ItemType.NUMBER,
        lambda operator, values, now: number_q(field, operator, values, integer=True), operators=operators, integer=True,
    )  # fmt: skip


def _email_q(operator: str, values: list[str], now: datetime) -> Q:
    """EXC-4: addresses are compared in the form in which they are the same."""
    return text_q("email_norm", operator, [normalise_email(value) or value for value in values])


def _newer_with_same_address() -> Exists:
    return Exists(
        Lead.objects.existing()
        .filter(email_norm=OuterRef("email_norm"), pk__gt=OuterRef("pk"))
        .exclude(email_norm="")
    )


def _other_with_same_address() -> Exists:
    return Exists(
        Lead.objects.existing()
        .filter(email_norm=OuterRef("email_norm"))
        .exclude(pk=OuterRef("pk"))
        .exclude(email_norm="")
    )


# ---- リード項目: Lead.extra, under the column's id


def _extra(column: LeadColumn) -> Func:
    """The value as text, NULL when there is none. Not Django's KeyTransform: it takes a key of digits for an array index."""
    return Func(F("extra"), Value(column.key), function="jsonb_extract_path_text", output_field=TextField())


class _ToNumeric(Func):
    template = "(%(expressions)s)::numeric"
    output_field = DecimalField()


def _extra_number(column: LeadColumn) -> Case:
    """NULL for what is no number, so that no cast can fail."""
    kind = Func(
        Func(F("extra"), Value(column.key), function="jsonb_extract_path", output_field=TextField()),
        function="jsonb_typeof", output_field=TextField(),
    )  # fmt: skip
    return Case(When(Exact(kind, "number"), then=_ToNumeric(_extra(column))), output_field=DecimalField())


def column_items() -> Iterable[Item]:
    return [_column_item(column) for column in LeadColumn.objects.all()]


def _column_item(column: LeadColumn) -> Item:
    key = f"column.{column.pk}"
    text = Coalesce(_extra(column), Value(""), output_field=TextField())
    match column.type:
        case LeadColumn.Type.NUMBER:
            number = _extra_number(column)
            return Item(
                key,
                column.label,
                COLUMNS,
                ItemType.NUMBER,
                lambda operator, values, now: number_q(number, operator, values),
            )
        case LeadColumn.Type.DATE:
            iso = Collate(text, "C")
            return Item(
                key,
                column.label,
                COLUMNS,
                ItemType.DATE,
                lambda operator, values, now: date_q(iso, operator, values, now),
            )
        case LeadColumn.Type.CHOICE:
            return Item(
                key, column.label, COLUMNS, ItemType.CHOICE, lambda operator, values, now: choice_q(text, operator, values),
                operators=OPEN_CHOICE, choices=lambda: [(str(choice), str(choice)) for choice in column.choices],
            )  # fmt: skip
    return _text(key, column.label, text, COLUMNS)


NEVER_EMPTY = tuple(
    operator for operator in OPERATORS[ItemType.DATETIME] if operator not in {"empty", "not_empty"}
)
NUMBER_NEVER_EMPTY = tuple(
    operator for operator in OPERATORS[ItemType.NUMBER] if operator not in {"empty", "not_empty"}
)


def register_lead_items() -> None:
    """Called by LeadsConfig.ready()."""
    full_name = Concat("last_name", Value(" "), "first_name", output_field=TextField())
    for item in (
        _number("lead.id", _("Lead ID"), "id", BASIC, NUMBER_NEVER_EMPTY),
        _choice("lead.kind", _("Kind"), "kind", list(LeadKind.choices)),
        _text("lead.last_name", _("Last name"), "last_name"),
        _text("lead.first_name", _("First name"), "first_name"),
        _text("lead.full_name", _("Full name"), full_name, operators=("contains", "not_contains", "is", "is_not", "starts_with")),
        _text("lead.last_name_kana", _("Last name (kana)"), "last_name_kana"),
        _text("lead.first_name_kana", _("First name (kana)"), "first_name_kana"),
        _text("lead.company", _("Company"), "company"),
        _text("lead.department", _("Department"), "department"),
        _text("lead.job_title", _("Job title"), "job_title"),
        _text("lead.postal_code", _("Postal code"), "postal_code"),
        _choice(
            "lead.prefecture", _("Prefecture"), "prefecture", [(name, name) for name in PREFECTURES],
            closed=False, operators=OPEN_CHOICE,
        ),
        _text("lead.address", _("Address"), "address"),
        _text("lead.phone", _("Phone"), "phone"),
        _text("lead.note", _("Note"), "note"),
        _choice("lead.language", _("Language"), "language", [("ja", "日本語"), ("en", "English")]),
        _moment("lead.created_at", _("Registered at"), "created_at", operators=NEVER_EMPTY),
        _moment("lead.updated_at", _("Updated at"), "updated_at", operators=NEVER_EMPTY),
        Item("lead.email", _("E-mail address"), MAIL, ItemType.TEXT, _email_q),
        _yes_no("lead.no_email", _("No e-mail address"), Q(email_norm="")),
        _yes_no("lead.email_malformed", _("Malformed e-mail address"), Q(email_malformed=True)),
        _yes_no(
            "lead.email_valid", _("Valid flag of the e-mail address"), Q(email_valid=True), yes_or_no(_("Valid"), _("Invalid"))
        ),
        _number("lead.email_failures", _("Failed deliveries in a row"), "email_failures", MAIL, NUMBER_NEVER_EMPTY),
        _choice("lead.registration", _("Registration status"), "registration", list(Registration.choices), MAIL),
        _choice("lead.dm_permission", _("DM permission"), "dm_permission", list(DmPermission.choices), MAIL),
        _yes_no(
            "lead.unsubscribed", _("Unsubscribed"), Q(unsubscribed_at__isnull=False), yes_or_no(_("Unsubscribed"), _("Not unsubscribed"))
        ),
        _moment("lead.unsubscribed_at", _("Unsubscribed at"), "unsubscribed_at", MAIL),
        _moment("lead.email_since", _("E-mail address set at"), "email_since", MAIL, operators=NEVER_EMPTY),
        _yes_no("lead.address_shared", _("Another lead has the same address"), Q(_other_with_same_address())),
        _yes_no("lead.address_newer", _("A newer lead has the same address"), Q(_newer_with_same_address())),
    ):  # fmt: skip
        register_item(item)
    register_provider(column_items)

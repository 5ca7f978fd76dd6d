"""The fields of the application form, one for each kind of item. What they take is judged elsewhere: see application_form.py."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from campaigns.answers import LONG_MAX, TEXT_MAX
from campaigns.form_items import choices_of
from campaigns.models import FormItem, QuestionType
from leads.columns import TEXT_MAX as COLUMN_TEXT_MAX
from leads.models import DmPermission, Lead, LeadColumn

# What browsers fill in by themselves, and the keyboard a phone shows.
AUTOCOMPLETE = {
    "last_name": "family-name", "first_name": "given-name", "company": "organization",
    "job_title": "organization-title", "email": "email", "postal_code": "postal-code",
    "prefecture": "address-level1", "address": "street-address", "phone": "tel",
}  # fmt: skip
KEYBOARD = {"email": "email", "phone": "tel"}
EMAIL_TYPED_MAX = 1000  # what is too long is said by the address check, in words

ENTER = {
    "required": gettext_lazy("Fill this in."),
    "null_characters_not_allowed": gettext_lazy("It contains an invisible character; type it again."),
}
CHOOSE = {
    "required": gettext_lazy("Choose one."),
    "invalid_choice": gettext_lazy("Choose one of the choices offered."),
}
DM_CHOICES = [
    (DmPermission.WANTED.value, pgettext_lazy("application form", "Yes, please")),
    (DmPermission.UNWANTED.value, pgettext_lazy("application form", "No, thank you")),
]
CHOOSE_SEVERAL = {**CHOOSE, "required": gettext_lazy("Choose at least one.")}
AGREE = {"required": gettext_lazy("Tick this box if you agree. Without it you cannot apply.")}


class _SomeDisabled:
    """Choices that cannot be taken now (a full session) are shown and disabled."""

    disabled: frozenset[str]

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)  # type: ignore[misc]
        if str(value) in self.disabled:
            option["attrs"]["disabled"] = True
        return option


class RadiosSomeDisabled(_SomeDisabled, forms.RadioSelect):
    def __init__(self, disabled: Iterable[str]) -> None:
        super().__init__()
        self.disabled = frozenset(disabled)


class CheckboxesSomeDisabled(_SomeDisabled, forms.CheckboxSelectMultiple):
    def __init__(self, disabled: Iterable[str]) -> None:
        super().__init__()
        self.disabled = frozenset(disabled)


def lead_field(name: str) -> forms.Field:
    if name == "dm_permission":
        # Opt-in (特定電子メール法 3条1項): nothing is chosen beforehand.
        return forms.ChoiceField(choices=DM_CHOICES, widget=forms.RadioSelect, error_messages=CHOOSE)
    column = Lead._meta.get_field(name)
    assert isinstance(column, models.CharField)
    attrs = {"autocomplete": AUTOCOMPLETE.get(name, "on")}
    if name in KEYBOARD:
        attrs["inputmode"] = KEYBOARD[name]
    if name == "email":
        attrs |= {"autocapitalize": "none", "spellcheck": "false"}
        return forms.CharField(
            max_length=EMAIL_TYPED_MAX, widget=forms.TextInput(attrs), error_messages=ENTER
        )
    return forms.CharField(max_length=column.max_length, widget=forms.TextInput(attrs), error_messages=ENTER)


def column_field(column: LeadColumn) -> forms.Field:
    if column.type == LeadColumn.Type.CHOICE:
        choices = [("", _("Please choose")), *((choice, choice) for choice in column.choices)]
        return forms.ChoiceField(choices=choices, error_messages=CHOOSE)
    return _typed_field(column.type, COLUMN_TEXT_MAX)


def question_field(item: FormItem, language: str) -> forms.Field:
    if item.type == QuestionType.AGREEMENT:
        return forms.BooleanField(error_messages=AGREE)
    choices = choices_of(item, language)
    if item.type == QuestionType.CHOICE:
        return forms.ChoiceField(choices=choices, widget=forms.RadioSelect, error_messages=CHOOSE)
    if item.type == QuestionType.SELECT:
        return forms.ChoiceField(choices=[("", _("Please choose")), *choices], error_messages=CHOOSE)
    if item.type == QuestionType.MULTIPLE:
        return forms.MultipleChoiceField(
            choices=choices, widget=forms.CheckboxSelectMultiple, error_messages=CHOOSE_SEVERAL
        )
    if item.type == QuestionType.LONG:
        widget = forms.Textarea(attrs={"rows": 4})
        return forms.CharField(max_length=LONG_MAX, widget=widget, error_messages=ENTER)
    return _typed_field(item.type, TEXT_MAX)


def _typed_field(kind: str, limit: int) -> forms.Field:
    """Numbers are text too: ２０ and 1,000 are read (leads/columns.py), a browser's number field takes neither."""
    widget: forms.Widget = forms.TextInput()
    if kind == "number":
        widget = forms.TextInput(attrs={"inputmode": "decimal"})
    if kind == "date":
        widget = forms.TextInput(attrs={"type": "date"})
    return forms.CharField(max_length=limit, widget=widget, error_messages=ENTER)

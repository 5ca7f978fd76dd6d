"""The forms of the form's builder: they parse, campaigns/form_items.py judges."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.consent_texts import TEXT_MAX
from campaigns.form_items import (
    HELP_MAX,
    LABEL_MAX,
    WITH_CHOICES,
    ItemValues,
    always_required,
    label_of,
)
from campaigns.models import ConsentText, FormItem, ItemSource, QuestionType


class FormItemForm(forms.Form):
    """`item` may be unsaved: a new question."""

    type = forms.ChoiceField(label=_("Type"), choices=QuestionType.choices)
    label = forms.CharField(label=pgettext_lazy("form item", "Label"), max_length=LABEL_MAX)
    label_en = forms.CharField(label=_("Label (English)"), max_length=LABEL_MAX, required=False)
    help = forms.CharField(label=_("Help"), max_length=HELP_MAX, required=False)
    help_en = forms.CharField(label=_("Help (English)"), max_length=HELP_MAX, required=False)
    required = forms.BooleanField(label=_("Must be filled in"), required=False)
    more_choices = forms.CharField(
        label=_("Choices to add"),
        required=False,
        max_length=50_000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("One per line. English after a vertical bar: 製造 | Manufacturing"),
    )

    def __init__(self, data: Any = None, *, item: FormItem) -> None:
        self.item = item
        names = ("label", "label_en", "help", "help_en", "required")
        super().__init__(data, initial={name: getattr(item, name) for name in names} | {"type": item.type})
        question = item.source == ItemSource.QUESTION
        if item.pk or not question:
            del self.fields["type"]
        if not question:
            self.fields["label"].required = False
            self.fields["label"].help_text = _("Left blank, it is called: %(label)s") % {
                "label": label_of(item, "ja")
            }
        if always_required(item):
            self.fields["required"].disabled = True
            self.fields["required"].initial = True
            self.fields["required"].help_text = _("This item is always required.")
        if not question or (item.pk and item.type not in WITH_CHOICES):
            del self.fields["more_choices"]
        elif not item.pk:
            self.fields["more_choices"].label = _("Choices")
            self.fields["more_choices"].help_text = _(
                "For the types with choices. One per line; English after a vertical bar: 製造 | Manufacturing"
            )
        for position, choice in enumerate(item.choices if item.pk else [], start=1):
            self._add_choice(position, choice)

    def _add_choice(self, position: int, choice: dict[str, Any]) -> None:
        key = choice["key"]
        place = forms.IntegerField(
            label=_("Position"), min_value=0, max_value=9999, initial=position, required=False
        )
        self.fields[f"position_{key}"] = place
        for name, label in (("label", pgettext_lazy("form item", "Choice")), ("label_en", _("English"))):
            field = forms.CharField(
                label=label, max_length=LABEL_MAX, initial=choice.get(name, ""), required=name == "label"
            )
            self.fields[f"{name}_{key}"] = field
        offered = forms.BooleanField(label=_("Offered"), required=False, initial=not choice.get("retired"))
        self.fields[f"offered_{key}"] = offered

    @property
    def texts(self) -> list[forms.BoundField]:
        names = ("type", "label", "label_en", "help", "help_en", "required")
        return [self[name] for name in names if name in self.fields]

    @property
    def choice_rows(self) -> list[list[forms.BoundField]]:
        keys = [choice["key"] for choice in self.item.choices] if self.item.pk else []
        parts = ("position", "label", "label_en", "offered")
        return [[self[f"{part}_{key}"] for part in parts] for key in keys]

    def values(self) -> ItemValues:
        data = self.cleaned_data
        keys = [choice["key"] for choice in self.item.choices] if self.item.pk else []
        keys.sort(key=lambda key: data.get(f"position_{key}") or 0)
        choices: list[dict[str, Any]] = [
            {
                "key": key,
                "label": data[f"label_{key}"],
                "label_en": data[f"label_en_{key}"],
                "retired": not data[f"offered_{key}"],
            }
            for key in keys
        ]
        for line in data.get("more_choices", "").splitlines():
            label, _bar, english = line.partition("|")
            choices.append({"label": label, "label_en": english})
        return ItemValues(
            label=data["label"],
            label_en=data["label_en"],
            help=data["help"],
            help_en=data["help_en"],
            required=data["required"],
            type=data.get("type", self.item.type),
            choices=choices,
        )

    def add_problems(self, problem: ValidationError) -> None:
        if not hasattr(problem, "error_dict"):
            self.add_error(None, problem)
            return
        for name, errors in problem.error_dict.items():
            field = "more_choices" if name == "choices" else name
            self.add_error(field if field in self.fields else None, errors)


class ConsentTextForm(forms.Form):
    text = forms.CharField(
        label=_("Consent text"),
        required=False,
        max_length=TEXT_MAX,
        widget=forms.Textarea(attrs={"rows": 10}),
    )
    text_en = forms.CharField(
        label=_("Consent text (English)"),
        required=False,
        max_length=TEXT_MAX,
        widget=forms.Textarea(attrs={"rows": 8}),
    )

    def __init__(self, data: Any = None, *, current: ConsentText | None) -> None:
        initial = {"text": current.text, "text_en": current.text_en} if current else {}
        super().__init__(data, initial=initial)

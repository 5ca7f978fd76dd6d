"""One reader: registering somebody by hand, and 「読者情報の編集」. The rules are in mail/magazines/readers.py."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.address import check_email
from leads.models import ConsentRecord, Lead
from mail.models import Reader, ReaderItem, ReaderState

Evidence = ConsentRecord.Evidence
# OPT-10: what an administrator can bear witness to.
EVIDENCE = (Evidence.FORM, Evidence.CARD, Evidence.TRADE, Evidence.PUBLIC, Evidence.ADMIN)
NAMES = ("last_name", "first_name", "last_name_kana", "first_name_kana", "company")


def item_fields(items: list[ReaderItem], values: dict[str, Any]) -> dict[str, forms.Field]:
    """{"item_<key>": a field}; what may stand in it is judged by mail/magazines/items.py."""
    fields: dict[str, forms.Field] = {}
    for item in items:
        initial = values.get(item.key)
        common: dict[str, Any] = {"label": item.label, "required": False, "initial": initial}
        if item.type == ReaderItem.Type.CHOICE:
            choices = list(item.choices)
            if initial and initial not in choices:
                choices.append(initial)  # taken off the list since
            fields[f"item_{item.key}"] = forms.ChoiceField(
                choices=[("", "―"), *((one, one) for one in choices)], **common
            )
            continue
        widget: forms.Widget = forms.TextInput()
        if item.type == ReaderItem.Type.DATE:
            widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        elif item.type == ReaderItem.Type.NUMBER:
            widget = forms.TextInput(attrs={"inputmode": "decimal"})
        fields[f"item_{item.key}"] = forms.CharField(widget=widget, max_length=1000, **common)
    return fields


class _ItemsForm(forms.Form):
    def __init__(self, *args: Any, items: list[ReaderItem], values: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.items = items
        self.fields |= item_fields(items, values)

    @property
    def item_bound_fields(self) -> list[forms.BoundField]:
        return [self[f"item_{item.key}"] for item in self.items]

    def item_values(self) -> dict[str, str]:
        """{item key: text as typed}."""
        return {item.key: self.cleaned_data.get(f"item_{item.key}", "") for item in self.items}

    def add_item_problems(self, problem: ValidationError) -> None:
        """Errors of items go beside their fields, others above the form."""
        if not hasattr(problem, "error_dict"):
            self.add_error(None, problem)
            return
        for name, errors in problem.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)


class NewReaderForm(_ItemsForm):
    suggestion: dict[str, str] | None = None  # CHR-4: what was probably meant
    blacklisted = False  # MAG-9: set when the address left this magazine once

    email = forms.CharField(
        label=gettext_lazy("E-mail address"),
        max_length=320,
        widget=forms.TextInput(attrs={"inputmode": "email", "autocomplete": "off", "class": "wide"}),
        help_text=gettext_lazy(
            "Somebody who is a lead with this address already becomes a reader as that lead."
        ),
    )
    evidence = forms.ChoiceField(
        label=gettext_lazy("How they agreed"),
        choices=[("", gettext_lazy("Choose")), *((one.value, one.label) for one in EVIDENCE)],
        help_text=gettext_lazy("Kept as evidence with the reader (anti-spam law)."),
    )
    source = forms.CharField(
        label=gettext_lazy("Where and when"),
        max_length=300,
        required=False,
        widget=forms.TextInput(attrs={"class": "wide"}),
        help_text=gettext_lazy("For example: business card of 12 Nov, at our stand."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, values={}, **kwargs)
        names = {}
        for name in NAMES:
            column = Lead._meta.get_field(name)
            names[name] = forms.CharField(
                label=column.verbose_name, max_length=column.max_length, required=False
            )
        first, *others = self.fields.items()
        self.fields = dict([first, *names.items(), *others])

    def clean_email(self) -> str:
        check = check_email(self.cleaned_data["email"])
        if check.malformed or not check.address:
            raise ValidationError(check.text or _("Enter an e-mail address."))
        if check.suggestion and self.data.get("keep_address") != check.address:
            self.suggestion = {"typed": check.address, "meant": check.suggestion}
            raise ValidationError(_("Did you mean %(address)s?") % {"address": check.suggestion})
        return check.address

    def lead_values(self) -> dict[str, str]:
        """What a new lead gets; nothing that was left empty."""
        return {name: self.cleaned_data[name] for name in NAMES if self.cleaned_data.get(name)}


class EditReaderForm(_ItemsForm):
    state = forms.ChoiceField(
        label=gettext_lazy("State"), choices=ReaderState.choices, widget=forms.RadioSelect
    )
    reset_failures = forms.BooleanField(label=gettext_lazy("Reset the failures"), required=False)
    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, reader: Reader, **kwargs: Any) -> None:
        kwargs["initial"] = {"state": reader.state, "seen_at": reader.updated_at.isoformat()}
        super().__init__(*args, values=reader.values, **kwargs)
        # エラー停止 is the system's: nobody sets it by hand.
        self.fields["state"].choices = [
            (value, label)
            for value, label in ReaderState.choices
            if value != ReaderState.ERROR_STOPPED or reader.state == value
        ]

    def emptied(self) -> dict[str, None]:
        """Every item of the form: those that clean_values leaves out were emptied."""
        return {item.key: None for item in self.items}

    def clean_seen_at(self) -> Any:
        try:
            return parse_datetime(self.cleaned_data["seen_at"]) if self.cleaned_data["seen_at"] else None
        except ValueError:
            raise ValidationError(_("Open the page again.")) from None

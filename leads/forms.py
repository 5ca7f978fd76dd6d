"""The lead form and the form of リード項目: they parse, leads/edit.py and leads/columns.py judge."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import fields_for_model
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from leads.edit import CHOICE_FIELDS, TEXT_FIELDS, clean_values
from leads.models import DmPermission, Lead, LeadColumn

ORDER = (
    "last_name", "first_name", "last_name_kana", "first_name_kana", "email", "company", "department", "job_title",
    "postal_code", "prefecture", "address", "phone", "kind", "language", "registration",
)  # fmt: skip
GROUPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        _("Name and company"),
        (
            "last_name",
            "first_name",
            "last_name_kana",
            "first_name_kana",
            "company",
            "department",
            "job_title",
        ),
    ),
    (_("Address and phone"), ("postal_code", "prefecture", "address", "phone")),
    (_("Management"), ("kind", "registration", "language", "note")),
)


class LeadValuesForm(forms.Form):
    """A form whose fields are called as the values of leads.edit, added items column_<id>."""

    def add_problems(self, problem: ValidationError) -> None:
        """Puts what leads.edit found beside the fields."""
        if not hasattr(problem, "error_dict"):
            self.add_error(None, problem)
            return
        for name, errors in problem.error_dict.items():
            field = f"column_{name.removeprefix('extra_')}" if name.startswith("extra_") else name
            self.add_error(field if field in self.fields else None, errors)


class LeadForm(LeadValuesForm):
    """`lead` None for a new one. `email_valid` is there for existing leads only (FLAG-5: admin edit)."""

    seen_at = forms.CharField(widget=forms.HiddenInput, required=False, max_length=40)
    dm_permission = forms.ChoiceField(
        label=_("Would you like to receive material and information?"),
        choices=DmPermission.choices,
        widget=forms.RadioSelect,
    )
    email_valid = forms.ChoiceField(
        label=_("Valid flag of the e-mail address"),
        choices=[("1", _("Valid")), ("0", _("Invalid"))],
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, lead: Lead | None, columns: list[LeadColumn], **kwargs: Any) -> None:
        self.lead, self.columns = lead, columns
        super().__init__(*args, initial=self._initial(), **kwargs)
        model_fields = fields_for_model(Lead, [*ORDER, "note"])
        for name, field in model_fields.items():
            if field is not None:
                self.fields[name] = field
        self.fields["email"].widget = forms.TextInput(attrs={"inputmode": "email", "autocomplete": "off"})
        self.fields["email"].max_length = None  # what is too long is said by the address check
        self.fields["note"].widget.attrs["rows"] = 4
        for column in columns:
            self.fields[f"column_{column.pk}"] = _column_field(column)
        if lead is None:
            del self.fields["email_valid"], self.fields["seen_at"]
        else:
            self._explain(lead)

    def _initial(self) -> dict[str, Any]:
        lead = self.lead or Lead()
        initial = {name: getattr(lead, name) for name in (*TEXT_FIELDS, *CHOICE_FIELDS, "email")}
        initial |= {f"column_{column.pk}": lead.extra.get(column.key) for column in self.columns}
        return initial | {
            "email_valid": "1" if lead.email_valid else "0",
            "seen_at": lead.updated_at.isoformat(),
        }

    def _explain(self, lead: Lead) -> None:
        if lead.registration == "full":
            self.fields["email"].help_text = _(
                "Changing it to another valid address sets the valid flag to “valid” and the failures to 0."
            )
        else:
            self.fields["email"].help_text = _(
                "The registration is provisional: changing the address leaves the valid flag as it is."
            )
        self.fields["email_valid"].help_text = _("Set to “valid” by hand, failures are counted from 0 again.")
        if lead.unsubscribed_at:
            self.fields["dm_permission"].help_text = _(
                "This person has unsubscribed; “wanted” can only be set again by themselves."
            )

    @property
    def groups(self) -> list[tuple[Any, list[forms.BoundField]]]:
        """The fields below the address, in cards."""
        groups = [(title, [self[name] for name in names]) for title, names in GROUPS]
        if self.columns:
            groups.append((_("Own items"), [self[f"column_{column.pk}"] for column in self.columns]))
        return groups

    @property
    def seen_time(self) -> datetime | None:
        """The updated_at of what the person had before their eyes; anything odd counts as never."""
        try:
            seen = parse_datetime(self.cleaned_data.get("seen_at") or "")
        except ValueError:
            seen = None
        return seen if seen and seen.tzinfo else datetime.fromisoformat("1970-01-01T00:00:00+00:00")

    def values(self) -> dict[str, Any]:
        """For leads.edit: all of the form's values."""
        data = self.cleaned_data
        values = {name: data[name] for name in (*TEXT_FIELDS, *CHOICE_FIELDS, "email") if name in data}
        values["extra"] = {c.key: data[f"column_{c.pk}"] for c in self.columns if f"column_{c.pk}" in data}
        if "email_valid" in data:
            values["email_valid"] = data["email_valid"] == "1"
        return values

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        try:
            clean_values(self.values(), stored_email=self.lead.email if self.lead else None)
        except ValidationError as problem:
            self.add_problems(problem)
        return data


def _column_field(column: LeadColumn) -> forms.Field:
    """Text for every type: leads.columns reads full-width digits and 2026年1月5日, a browser's number field does not."""
    if column.type == LeadColumn.Type.CHOICE:
        choices = [("", "―"), *((choice, choice) for choice in column.choices)]
        return forms.ChoiceField(label=column.label, choices=choices, required=False)
    widget: forms.Widget = forms.TextInput()
    if column.type == LeadColumn.Type.NUMBER:
        widget = forms.TextInput(attrs={"inputmode": "decimal"})
    if column.type == LeadColumn.Type.DATE:
        widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.CharField(label=column.label, required=False, widget=widget)


class LeadColumnForm(forms.ModelForm):
    choices_text = forms.CharField(
        label=_("Choices"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("One choice per line; for the type “choice” only."),
    )

    class Meta:
        model = LeadColumn
        fields = ("label", "type", "position")

    field_order = ("label", "type", "choices_text", "position")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["position"].help_text = _("Smaller numbers come first.")
        self.fields["position"].required = False
        self.fields["choices_text"].initial = "\n".join(self.instance.choices)
        if self.instance.pk:
            self.fields["type"].disabled = True
            self.fields["type"].help_text = _("The type cannot be changed any more.")

    def clean_position(self) -> int:
        return self.cleaned_data["position"] or 0

    def column_values(self) -> Mapping[str, Any]:
        data = self.cleaned_data
        return {
            "label": data["label"],
            "type": data["type"],
            "choices": data["choices_text"].splitlines(),
            "position": data["position"],
        }

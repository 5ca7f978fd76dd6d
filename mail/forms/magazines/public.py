"""The forms of a magazine's public pages. They ask nothing that depends on who is known here."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.form_fields import AUTOCOMPLETE, CHOOSE, EMAIL_TYPED_MAX, ENTER
from leads.address import check_email
from leads.columns import clean_text
from mail.magazines.items import clean_values, items_of
from mail.models import Magazine, ReaderItem

ITEM = "item_"  # item_<ReaderItem.key>
NAME_MAX = 100
ITEM_MAX = 1000


class AddressForm(forms.Form):
    """`suggestion`: what the address was probably meant to be, mostly ""; only ever proposed (CHR-4)."""

    email = forms.CharField(
        label=gettext_lazy("E-mail address"),
        max_length=EMAIL_TYPED_MAX,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email"}),
        error_messages=ENTER | {"required": gettext_lazy("Enter your e-mail address.")},
    )
    suggestion = ""

    def __init__(self, magazine: Magazine, data: Any = None, *, initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        self.magazine = magazine

    def summary(self) -> list[tuple[str, str]]:
        """Of a valid form: (label, what was entered), for the confirmation page."""
        return [
            (str(field.label), str(self.cleaned_data[name]))
            for name, field in self.fields.items()
            if self.cleaned_data.get(name)
        ]

    def clean_email(self) -> str:
        check = check_email(self.cleaned_data["email"])
        self.suggestion = check.suggestion
        if check.malformed:
            raise ValidationError(check.text)
        return check.address


class RegisterForm(AddressForm):
    """Address, name, and the magazine's free items that are asked on the form."""

    last_name = forms.CharField(
        label=gettext_lazy("Last name"), max_length=NAME_MAX, required=False, error_messages=ENTER
    )
    first_name = forms.CharField(
        label=gettext_lazy("First name"), max_length=NAME_MAX, required=False, error_messages=ENTER
    )

    def __init__(self, magazine: Magazine, data: Any = None, *, initial: Any = None) -> None:
        super().__init__(magazine, data, initial=initial)
        self.items = [item for item in items_of(magazine) if item.on_form]
        for name in ("last_name", "first_name"):
            self.fields[name].widget.attrs["autocomplete"] = AUTOCOMPLETE[name]
        for item in self.items:
            self.fields[ITEM + item.key] = item_field(item)

    def clean_last_name(self) -> str:
        return clean_text(
            self.cleaned_data["last_name"]
        )  # as the lead takes it, long after this page was answered

    def clean_first_name(self) -> str:
        return clean_text(self.cleaned_data["first_name"])

    def clean(self) -> dict[str, Any]:
        """The items as they are stored, in `cleaned_data["items"]`."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        entered = {item.key: str(cleaned.get(ITEM + item.key) or "") for item in self.items}
        try:
            given = {key: text for key, text in entered.items() if text}
            cleaned["items"] = clean_values(self.magazine, given, items=self.items)
        except ValidationError as problem:
            for name, texts in problem.message_dict.items():
                self.add_error(name if name in self.fields else None, texts)
        return cleaned

    def values(self) -> dict[str, Any]:
        """Of a valid form, as ReaderRequest.values."""
        return {
            "last_name": self.cleaned_data["last_name"],
            "first_name": self.cleaned_data["first_name"],
            "items": self.cleaned_data["items"],
        }

    def pairs(self) -> list[Any]:
        return [self["last_name"], self["first_name"]]

    def item_fields(self) -> list[Any]:
        return [self[ITEM + item.key] for item in self.items]


def item_field(item: ReaderItem) -> forms.CharField | forms.ChoiceField:
    """What it takes is judged by mail/magazines/items.py."""
    if item.type == ReaderItem.Type.CHOICE:
        blank = [("", _("(please choose)"))]
        return forms.ChoiceField(
            label=item.label, required=item.required, error_messages=CHOOSE,
            choices=blank + [(choice, choice) for choice in item.choices],
        )  # fmt: skip
    widgets: dict[str, forms.Widget] = {
        ReaderItem.Type.DATE: forms.DateInput(attrs={"type": "date"}),
        ReaderItem.Type.NUMBER: forms.TextInput(attrs={"inputmode": "decimal"}),
    }
    return forms.CharField(
        label=item.label, required=item.required, max_length=ITEM_MAX, error_messages=ENTER,
        widget=widgets.get(item.type, forms.TextInput()),
    )  # fmt: skip


class LeaveForm(AddressForm):
    """Only the address: whoever enters one can stop it, as the law wants leaving to be easy."""


class ScopeForm(forms.Form):
    """OPT-7: this magazine only, or everything."""

    MAGAZINE, ALL = "magazine", "all"

    scope = forms.ChoiceField(
        label=gettext_lazy("What do you want to stop?"),
        choices=((MAGAZINE, gettext_lazy("This mail magazine only")), (ALL, gettext_lazy("All our mails"))),
        initial=MAGAZINE,
        widget=forms.RadioSelect,
        error_messages=CHOOSE,
    )

"""The forms of my page. They parse; leads.edit, leads.address and Django's password validators judge."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.form_fields import EMAIL_TYPED_MAX, ENTER
from campaigns.my_page.login import PASSWORD_MAX
from leads.address import check_email, normalise_email
from leads.models import Lead


class AddressForm(forms.Form):
    """After is_valid(): cleaned_data["email"] is a well-formed address."""

    email = forms.CharField(
        label=gettext_lazy("E-mail address"),
        max_length=EMAIL_TYPED_MAX,
        widget=forms.TextInput(attrs={"type": "email", "inputmode": "email", "autocomplete": "email"}),
        error_messages=ENTER,
    )

    def clean_email(self) -> str:
        check = check_email(self.cleaned_data["email"])
        if check.malformed:
            raise ValidationError(check.text, code=check.code)
        return check.address


class NewAddressForm(AddressForm):
    """Another address than the lead's own (the same after EXC-4 is no other one)."""

    def __init__(self, *args: Any, lead: Lead, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lead = lead
        self.fields["email"].label = _("New e-mail address")

    def clean_email(self) -> str:
        address = super().clean_email()
        if normalise_email(address) == self.lead.email_norm:
            raise ValidationError(_("This is your address already."), code="same")
        return address


class PasswordLoginForm(AddressForm):
    password = forms.CharField(
        label=gettext_lazy("Password"),
        max_length=PASSWORD_MAX,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages=ENTER,
    )


class NewPasswordForm(forms.Form):
    """A new password, twice. What it must be like is judged where it is set."""

    new_password = forms.CharField(
        label=gettext_lazy("New password"),
        max_length=PASSWORD_MAX,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages=ENTER,
        help_text=gettext_lazy(
            "At least 10 characters; not only digits, no common word, not your name or address."
        ),
    )
    again = forms.CharField(
        label=gettext_lazy("New password (again)"),
        max_length=PASSWORD_MAX,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages=ENTER,
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "new_password" in data and "again" in data and data["new_password"] != data["again"]:
            self.add_error("again", _("The two entries are not the same."))
        return data


class OwnPasswordForm(NewPasswordForm):
    """Who has a password says it first."""

    current = forms.CharField(
        label=gettext_lazy("Current password"),
        max_length=PASSWORD_MAX,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages=ENTER,
    )
    field_order = ("current", "new_password", "again")

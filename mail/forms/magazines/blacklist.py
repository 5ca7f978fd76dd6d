"""「ブラックリスト」: asking about one address, and taking one off."""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.address import check_email


class CheckForm(forms.Form):
    address = forms.CharField(
        label=gettext_lazy("E-mail address"),
        max_length=320,
        widget=forms.TextInput(attrs={"inputmode": "email", "autocomplete": "off", "class": "wide"}),
        error_messages={"required": gettext_lazy("Enter an e-mail address.")},
    )

    def clean_address(self) -> str:
        check = check_email(self.cleaned_data["address"])
        if check.malformed or not check.address:
            raise ValidationError(check.text or _("Enter an e-mail address."))
        return check.address


class ReleaseForm(CheckForm):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=300,
        widget=forms.TextInput(attrs={"class": "wide"}),
        help_text=gettext_lazy("Kept in the operation history."),
        error_messages={"required": gettext_lazy("Say why the address may be registered again.")},
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["address"].widget = forms.HiddenInput()

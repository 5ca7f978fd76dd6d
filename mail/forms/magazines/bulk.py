"""「一括削除」: whom it is about, and what is done. Whoever is found is fixed by the check; what was checked is what is done."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

MOST = 10_000
STOP, REMOVE = "stop", "remove"
MAX_LENGTH = 1_000_000


class AddressesForm(forms.Form):
    """One address a line."""

    addresses = forms.CharField(
        label=gettext_lazy("E-mail addresses, one a line"),
        max_length=MAX_LENGTH,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
        help_text=gettext_lazy(
            "At most 10,000. Upper and lower case, and full-width characters, make no difference."
        ),
        error_messages={"required": gettext_lazy("Enter at least one e-mail address.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["addresses"].widget.attrs.pop(
            "maxlength", None
        )  # a browser would cut a pasted list silently

    def clean_addresses(self) -> list[str]:
        lines = [line.strip() for line in self.cleaned_data["addresses"].replace("\0", "").splitlines()]
        typed = [line[:320] for line in lines if line]
        if not typed:
            raise ValidationError(_("Enter at least one e-mail address."))
        if len(typed) > MOST:
            raise ValidationError(
                _("At most %(most)s addresses at a time (now %(number)s).")
                % {"most": f"{MOST:,}", "number": f"{len(typed):,}"}
            )
        return typed


class ActForm(forms.Form):
    """What is done to those who were checked: their ids."""

    act = forms.ChoiceField(
        label=gettext_lazy("What is done"),
        choices=[
            (STOP, pgettext_lazy("bulk", "Stop delivery")),
            (REMOVE, pgettext_lazy("bulk", "Remove from the list")),
        ],
        widget=forms.RadioSelect,
        initial=STOP,
        error_messages={"required": gettext_lazy("Choose what is done.")},
    )
    ids = forms.CharField(widget=forms.HiddenInput, max_length=MOST * 20)

    def clean_ids(self) -> list[int]:
        numbers = self.cleaned_data["ids"].split(",")
        if len(numbers) > MOST or not all(
            one.isascii() and one.isdigit() and len(one) < 19 for one in numbers
        ):
            raise ValidationError(_("Open the page again."))
        return sorted({int(one) for one in numbers})

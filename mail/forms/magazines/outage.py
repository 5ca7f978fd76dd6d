"""「障害の取り消し」: which receiver's trouble, and when it was."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail.magazines.outage import USUAL_GROUPS
from mail.models import FailureGroup

_TIME = "%Y-%m-%dT%H:%M"


def _time_field(label: Any) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_TIME)
    return forms.DateTimeField(label=label, widget=widget, input_formats=[_TIME, "%Y-%m-%dT%H:%M:%S"])


class OutageForm(forms.Form):
    domain = forms.CharField(
        label=gettext_lazy("Receiving domain"),
        max_length=255,
        widget=forms.TextInput(
            attrs={"list": "domains", "placeholder": "docomo.ne.jp", "autocomplete": "off"}
        ),
        help_text=gettext_lazy("What stands behind the @."),
    )
    since = _time_field(gettext_lazy("Mails sent from"))
    until = _time_field(gettext_lazy("Mails sent until"))
    groups = forms.MultipleChoiceField(
        label=gettext_lazy("Failures taken back"),
        choices=FailureGroup.choices,
        initial=[group.value for group in USUAL_GROUPS],
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy(
            "An outage does not say that a mailbox does not exist; tick that only if you know."
        ),
        error_messages={"required": gettext_lazy("Choose at least one kind of failure.")},
    )
    note = forms.CharField(
        label=gettext_lazy("Note"),
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"class": "wide"}),
        help_text=gettext_lazy("For example: the receiver's announcement."),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            raise ValidationError({"until": _("The end of the period must be after its beginning.")})
        return cleaned

    def chosen(self) -> tuple[Any, ...]:
        """Domain, since, until, as mail/magazines/outage.py takes them."""
        return self.cleaned_data["domain"], self.cleaned_data["since"], self.cleaned_data["until"]

    def pairs(self) -> list[tuple[str, str]]:
        """What was checked, once more: for the form that confirms it."""
        return [(name, value) for name in self.fields for value in self.data.getlist(name)]

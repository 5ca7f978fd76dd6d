from datetime import datetime, timedelta

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from settings.models import ApiKey

LASTS = {"90": _("90 days"), "365": _("One year"), "day": _("Until a day"), "": _("Without an end")}


class ApiKeyForm(forms.Form):
    """Parses only; the rules are settings.api_keys.make_key's."""

    name = forms.CharField(
        label=_("Name"), max_length=100, help_text=_("What uses the key, for example “Web site form”.")
    )
    scopes = forms.MultipleChoiceField(
        label=_("What the key may do"), choices=ApiKey.Scope.choices, widget=forms.CheckboxSelectMultiple
    )
    lasts = forms.ChoiceField(
        label=_("Valid until"),
        choices=list(LASTS.items()),
        required=False,
        widget=forms.RadioSelect,
        initial="365",
    )
    until = forms.DateField(
        label=_("Last day"), required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Only with “Until a day”."),
    )  # fmt: skip

    def clean(self) -> dict:
        cleaned = super().clean()
        if cleaned.get("lasts") == "day" and not cleaned.get("until") and "until" not in self.errors:
            self.add_error("until", _("Enter the last day."))
        return cleaned

    def add_problems(self, error: ValidationError) -> None:
        """Those of make_key; of the end, beside the day."""
        for name, errors in error.error_dict.items():
            self.add_error("until" if name == "expires_at" else name, errors)

    def expires_at(self, now: datetime) -> datetime | None:
        """The end of the last day, or so many days from now."""
        lasts = self.cleaned_data["lasts"]
        if lasts == "day":
            after = self.cleaned_data["until"] + timedelta(days=1)
            return timezone.make_aware(datetime(after.year, after.month, after.day))  # noqa: DTZ001
        return now + timedelta(days=int(lasts)) if lasts else None

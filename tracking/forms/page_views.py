from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail.url_patterns import check_pattern
from tracking.models import TrackedSite

BIGGEST_ID = 2**63 - 1


def _id(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=BIGGEST_ID)


def _day(label: Any) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=forms.DateInput(attrs={"type": "date"}))


class PageViewFilterForm(forms.Form):
    url = forms.CharField(
        label=_("URL (* for anything)"), required=False, max_length=1000,
        widget=forms.TextInput(attrs={"placeholder": "www.example.co.jp/seminar/*", "autocomplete": "off"}),
    )  # fmt: skip
    who = forms.ChoiceField(
        label=pgettext_lazy("tracking", "Visitor"), required=False,
        choices=[("", _("All")), ("known", _("Known lead")), ("anonymous", _("Anonymous"))],
    )  # fmt: skip
    site = forms.ModelChoiceField(
        label=_("Site"), required=False, queryset=TrackedSite.objects.all(), empty_label=_("All")
    )
    first_day = _day(_("From (day)"))
    last_day = _day(_("Until (day)"))
    lead = _id(_("Lead ID"))
    visitor = _id(_("Browser (ID)"))
    machines = forms.ChoiceField(
        label=_("Machines"), required=False, choices=[("", _("Left out")), ("yes", _("Shown too"))]
    )
    before = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST_ID, widget=forms.HiddenInput)

    def clean_url(self) -> str:
        text = self.cleaned_data["url"].strip()
        if not text:
            return ""
        try:
            return check_pattern(text)
        except ValidationError as problem:
            raise ValidationError(problem.messages) from None

    def main_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("url", "who", "site", "first_day", "last_day")]

    def more_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("lead", "visitor", "machines")]

    @property
    def more_used(self) -> bool:
        return any(field.value() not in (None, "") or field.errors for field in self.more_fields())

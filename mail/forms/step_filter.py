"""The filter of the list of step mails."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign
from mail.models import StepMail, StepState
from mail.step_queries import text_q

STATES = [choice for choice in StepState.choices if choice[0] != StepState.DRAFT]


class StepMailFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label=_("Name, template, search condition, URL"),
        method="by_text",
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    state = django_filters.ChoiceFilter(label=_("State"), choices=STATES, empty_label=_("All but deleted"))
    campaign = django_filters.ModelChoiceFilter(
        label=_("Campaign"),
        queryset=Campaign.objects.filter(step_mails__isnull=False).distinct().order_by("-id"),
        empty_label=_("All"),
        null_label=_("All-campaign mode only"),
    )

    class Meta:
        model = StepMail
        fields: list[str] = []

    def __init__(self, *args: Any, campaign_id: int | None, **kwargs: Any) -> None:
        """Inside a campaign nothing of another one is offered."""
        super().__init__(*args, **kwargs)
        if campaign_id is not None:
            del self.filters["campaign"]

    def by_text(self, steps: QuerySet[StepMail], name: str, value: str) -> QuerySet[StepMail]:
        return steps.filter(text_q(value))

    def filter_queryset(self, queryset: QuerySet[StepMail]) -> QuerySet[StepMail]:
        """Deleted ones are shown only when asked for."""
        found = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("state") else found.exclude(state=StepState.DELETED)

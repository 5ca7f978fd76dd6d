import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from settings.audit import ACTIONS
from settings.models import AuditEntry, User


def action_choices() -> list[tuple[str, str]]:
    return sorted(((key, str(label)) for key, label in ACTIONS.items()), key=lambda choice: choice[0])


class AuditFilter(django_filters.FilterSet):
    """操作履歴: who, action, target, period (whole days, Japan's time)."""

    user = django_filters.ModelChoiceFilter(
        label=_("Who"), queryset=User.objects.order_by("username"), empty_label=_("Everybody")
    )
    action = django_filters.ChoiceFilter(label=_("Action"), choices=action_choices, empty_label=_("All"))
    target = django_filters.CharFilter(label=_("Target"), method="by_target", max_length=200)
    since = django_filters.DateFilter(
        label=_("From (day)"),
        field_name="at",
        lookup_expr="date__gte",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    until = django_filters.DateFilter(
        label=_("To (day)"),
        field_name="at",
        lookup_expr="date__lte",
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    def by_target(self, entries: "QuerySet[AuditEntry]", name: str, value: str) -> "QuerySet[AuditEntry]":
        """A part of its name, or its id."""
        return entries.filter(Q(target_label__icontains=value) | Q(target_id=value.removeprefix("#")))

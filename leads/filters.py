"""詳細検索 of the lead list (EXC-5): one field per value, the users' own columns included."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import django_filters
from django import forms
from django.db.models import F, Field, Func, JSONField, Q, TextField, Value
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from leads.address import normalise_email
from leads.lead_list import simple_search
from leads.list_columns import list_filters
from leads.models import DmPermission, Lead, LeadColumn, LeadKind, LeadQuerySet, Registration

DATE = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class ContainsFilter(django_filters.CharFilter):
    """NUL is taken out: PostgreSQL cannot hold it, so nothing could match."""

    def __init__(self, field_name: str, label: Any, fields: tuple[str, ...] = ()) -> None:
        super().__init__(field_name, label=label, max_length=200)
        self.fields = fields or (field_name,)

    def filter(self, leads: LeadQuerySet, value: str) -> LeadQuerySet:
        for word in (value or "").split()[:10]:
            match = Q()
            for field in self.fields:
                match |= Q(**{f"{field}__icontains": word})
            leads = leads.filter(match)
        return leads


class DayFilter(django_filters.DateFilter):
    """Whole days of Japan as bounds of the column itself, so that its index serves; `lt` means until the day's end."""

    def filter(self, leads: LeadQuerySet, value: date | None) -> LeadQuerySet:
        if value is None:
            return leads
        try:
            day = value + timedelta(days=self.lookup_expr == "lt")
            bound = datetime.combine(day, time.min, timezone.get_current_timezone())
            bound.astimezone(UTC)
        except OverflowError:  # the first or the last day there is
            return leads
        return leads.filter(**{f"{self.field_name}__{self.lookup_expr}": bound})


class _ColumnFilter:
    """Of the users' own column. Not Django's key lookup: it takes a key of digits for an array index."""

    function = "jsonb_extract_path_text"
    output_field: Field = TextField()

    def __init__(self, column: LeadColumn, lookup_expr: str = "exact", **kwargs: Any) -> None:
        super().__init__("extra", lookup_expr, **kwargs)  # type: ignore[call-arg]
        self.column = column

    def filter(self, leads: LeadQuerySet, value: Any) -> LeadQuerySet:
        if value in (None, ""):
            return leads
        alias = f"column_{self.column.pk}"
        stored = Func(
            F("extra"), Value(self.column.key), function=self.function, output_field=self.output_field
        )
        return leads.alias(**{alias: stored}).filter(
            **{f"{alias}__{self.lookup_expr}": self.comparable(value)}
        )

    def comparable(self, value: Any) -> Any:
        return value


class ColumnTextFilter(_ColumnFilter, django_filters.CharFilter):
    def __init__(self, column: LeadColumn, **kwargs: Any) -> None:
        super().__init__(column, "icontains", max_length=200, **kwargs)


class ColumnChoiceFilter(_ColumnFilter, django_filters.ChoiceFilter):
    pass


class ColumnDateFilter(_ColumnFilter, django_filters.DateFilter):
    """Stored as 2026-11-21, which sorts as text."""

    output_field = TextField(db_collation="C")

    def __init__(self, column: LeadColumn, lookup_expr: str, **kwargs: Any) -> None:
        super().__init__(column, lookup_expr, widget=DATE, **kwargs)

    def comparable(self, value: date) -> str:
        return value.isoformat()


class ColumnNumberFilter(_ColumnFilter, django_filters.NumberFilter):
    """Compared as JSON: PostgreSQL orders numbers as numbers there, and no cast can fail."""

    function = "jsonb_extract_path"
    output_field = JSONField()

    def comparable(self, value: Any) -> float:
        return float(value)


class LeadFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label=_("Quick search"),
        method="filter_q",
        max_length=200,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Name, kana, address, company, ID")}
        ),
    )
    name = ContainsFilter("name", _("Full name"), ("last_name", "first_name"))
    kana = ContainsFilter("kana", _("Kana"), ("last_name_kana", "first_name_kana"))
    email = django_filters.CharFilter(
        label=_("E-mail address contains"), method="filter_email", max_length=320
    )
    company = ContainsFilter("company", _("Company"))
    department = ContainsFilter("department", _("Department"))
    prefecture = ContainsFilter("prefecture", _("Prefecture"))
    kind = django_filters.ChoiceFilter(choices=LeadKind.choices, label=_("Kind"), empty_label=_("All"))
    registration = django_filters.ChoiceFilter(
        choices=Registration.choices, label=_("Registration status"), empty_label=_("All")
    )
    dm_permission = django_filters.ChoiceFilter(
        choices=DmPermission.choices, label=_("DM permission"), empty_label=_("All")
    )
    unsubscribed = django_filters.ChoiceFilter(
        choices=[("yes", _("Unsubscribed")), ("no", _("Not unsubscribed"))],
        label=_("Unsubscription"), method="filter_unsubscribed", empty_label=_("All"),
    )  # fmt: skip
    email_valid = django_filters.ChoiceFilter(
        choices=[("1", _("Valid")), ("0", _("Invalid"))],
        label=_("Valid flag of the e-mail address"), method="filter_email_valid", empty_label=_("All"),
    )  # fmt: skip
    no_email = django_filters.BooleanFilter(
        label=_("Without an e-mail address"), method="filter_no_email", widget=forms.CheckboxInput
    )
    created_from = DayFilter("created_at", "gte", label=_("Registered on or after"), widget=DATE)
    unsubscribed_from = DayFilter("unsubscribed_at", "gte", label=_("Unsubscribed on or after"), widget=DATE)
    created_to = DayFilter("created_at", "lt", label=_("Registered on or before"), widget=DATE)

    class Meta:
        model = Lead
        fields: list[str] = []

    def __init__(
        self, *args: Any, columns: list[LeadColumn], campaign_id: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        # Inside a campaign 申込/キャンセル stands first behind the quick search.
        of_campaign = list_filters(campaign_id)
        for application_filter in of_campaign.values():
            application_filter.parent, application_filter.model = self, Lead
        if of_campaign:
            others = {name: one for name, one in self.filters.items() if name != "q"}
            self.filters = {"q": self.filters["q"], **of_campaign, **others}
        for column in columns:
            for name, column_filter in _column_filters(column):
                column_filter.parent, column_filter.model = self, Lead
                self.filters[name] = column_filter

    def filter_q(self, leads: LeadQuerySet, name: str, value: str) -> LeadQuerySet:
        return simple_search(leads, value)

    def filter_email(self, leads: LeadQuerySet, name: str, value: str) -> LeadQuerySet:
        return leads.filter(email_norm__contains=normalise_email(value))

    def filter_no_email(self, leads: LeadQuerySet, name: str, value: bool) -> LeadQuerySet:
        return leads.filter(email_norm="") if value else leads

    def filter_unsubscribed(self, leads: LeadQuerySet, name: str, value: str) -> LeadQuerySet:
        return leads.filter(unsubscribed_at__isnull=value == "no")

    def filter_email_valid(self, leads: LeadQuerySet, name: str, value: str) -> LeadQuerySet:
        return leads.filter(email_valid=value == "1")


def _column_filters(column: LeadColumn) -> Iterator[tuple[str, django_filters.Filter]]:
    """One or two filters of the users' own column, by parameter name."""
    name = f"column_{column.pk}"
    match column.type:
        case LeadColumn.Type.CHOICE:
            choices = [(choice, choice) for choice in column.choices]
            yield name, ColumnChoiceFilter(column, choices=choices, label=column.label, empty_label=_("All"))
        case LeadColumn.Type.NUMBER:
            yield (
                f"{name}_from",
                ColumnNumberFilter(column, "gte", label=_("%(label)s from") % {"label": column.label}),
            )
            yield (
                f"{name}_to",
                ColumnNumberFilter(column, "lte", label=_("%(label)s until") % {"label": column.label}),
            )
        case LeadColumn.Type.DATE:
            yield (
                f"{name}_from",
                ColumnDateFilter(column, "gte", label=_("%(label)s from") % {"label": column.label}),
            )
            yield (
                f"{name}_to",
                ColumnDateFilter(column, "lte", label=_("%(label)s until") % {"label": column.label}),
            )
        case _:
            yield name, ColumnTextFilter(column, label=column.label)

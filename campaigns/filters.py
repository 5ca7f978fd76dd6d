"""Narrowing down 申込一覧, 管理キャンペーン一覧, and the lead list of a campaign by what its people applied for."""

from collections.abc import Sequence
from typing import Any

import django_filters
from django import forms
from django.db.models import Exists, QuerySet
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.applicants import applications_of_lead
from campaigns.application_list import ATTENDED, NOT_ATTENDED, SHOWN
from campaigns.campaign_list import words_in_campaign
from campaigns.models import (
    LIVE,
    Application,
    ApplicationState,
    ApplicationWay,
    Campaign,
    CampaignState,
    Session,
)
from campaigns.ticket_code import clean_code
from leads.filters import DATE, DayFilter
from leads.lead_list import simple_search
from leads.models import Lead, LeadQuerySet


class ApplicationFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(
        label=_("Quick search"),
        method="filter_q",
        max_length=200,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Name, address, company, ticket code")}
        ),
    )
    state = django_filters.ChoiceFilter(
        label=_("State"), choices=SHOWN, method="filter_state", empty_label=_("All")
    )
    way = django_filters.ChoiceFilter(
        label=_("Way of applying"), choices=ApplicationWay.choices, empty_label=_("All")
    )
    session = django_filters.ModelChoiceFilter(
        label=_("Session"), queryset=Session.objects.none(), field_name="sessions", empty_label=_("All")
    )

    class Meta:
        model = Application
        fields: Sequence[str] = ()

    def __init__(self, data: Any, *, campaign: Campaign) -> None:
        super().__init__(data, queryset=Application.objects.filter(campaign=campaign))
        sessions = campaign.sessions.all()
        if sessions:
            self.filters["session"].queryset = sessions
        else:
            del self.filters["session"]

    def filter_q(self, rows: QuerySet[Application], _name: str, value: str) -> QuerySet[Application]:
        code = clean_code(value)
        if code is not None and rows.filter(code=code).exists():
            return rows.filter(code=code)
        return rows.filter(lead__in=simple_search(Lead.objects.all(), value)) if value.strip() else rows

    def filter_state(self, rows: QuerySet[Application], _name: str, value: str) -> QuerySet[Application]:
        if value == ATTENDED:
            return rows.exclude(attended_at=None)
        if value == NOT_ATTENDED:
            return rows.filter(state=ApplicationState.APPLIED, attended_at=None)
        return rows.filter(state=value)


class CampaignFilter(django_filters.FilterSet):
    """Archived ones only when they are asked for."""

    q = django_filters.CharFilter(
        label=_("Quick search"), method="filter_q", max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": _("Name, venue, organiser, ID")}),
    )  # fmt: skip
    state = django_filters.ChoiceFilter(
        label=_("State"), choices=CampaignState.choices, empty_label=_("All but archived")
    )

    class Meta:
        model = Campaign
        fields: Sequence[str] = ()

    def filter_q(self, campaigns: QuerySet[Campaign], _name: str, value: str) -> QuerySet[Campaign]:
        return words_in_campaign(campaigns, value)

    def filter_queryset(self, queryset: QuerySet[Campaign]) -> QuerySet[Campaign]:
        found = super().filter_queryset(queryset)
        if not self.form.cleaned_data.get("state"):
            found = found.exclude(state=CampaignState.ARCHIVED)
        return found


class _StateFilter(django_filters.ChoiceFilter):
    def __init__(self, campaign_id: int) -> None:
        super().__init__(
            label=_("Applied / cancelled"), choices=ApplicationState.choices, empty_label=_("All")
        )
        self.campaign_id = campaign_id

    def filter(self, leads: LeadQuerySet, value: Any) -> LeadQuerySet:
        if not value:
            return leads
        mine = applications_of_lead(self.campaign_id)
        found = leads.filter(Exists(mine.filter(state=value)))
        if value == ApplicationState.CANCELLED:  # and did not apply again
            found = found.exclude(Exists(mine.filter(state__in=LIVE)))
        return found


class _AttendedFilter(django_filters.ChoiceFilter):
    def __init__(self, campaign_id: int) -> None:
        choices = [
            ("yes", pgettext_lazy("application", "Attended")),
            ("no", pgettext_lazy("application", "Not attended yet")),
        ]
        super().__init__(label=_("Attendance"), choices=choices, empty_label=_("All"))
        self.campaign_id = campaign_id

    def filter(self, leads: LeadQuerySet, value: Any) -> LeadQuerySet:
        if not value:
            return leads
        came = Exists(applications_of_lead(self.campaign_id).filter(attended_at__isnull=False))
        return leads.filter(came) if value == "yes" else leads.exclude(came)


class _AppliedFilter(DayFilter):
    """Days on which one of the lead's applications was made."""

    def __init__(self, campaign_id: int, lookup_expr: str, label: Any) -> None:
        super().__init__("created_at", lookup_expr, label=label, widget=DATE)
        self.campaign_id = campaign_id

    def filter(self, leads: LeadQuerySet, value: Any) -> LeadQuerySet:
        if value is None:
            return leads
        return leads.filter(Exists(super().filter(applications_of_lead(self.campaign_id), value)))


# ---- the list of leads inside a campaign (leads/list_columns.py)
def lead_filters(campaign_id: int) -> dict[str, django_filters.Filter]:
    return {
        "application": _StateFilter(campaign_id),
        "attended": _AttendedFilter(campaign_id),
        "applied_from": _AppliedFilter(campaign_id, "gte", _("Applied on or after")),
        "applied_to": _AppliedFilter(campaign_id, "lt", _("Applied on or before")),
    }

"""申込一覧 of one campaign: narrowing down, counts, and the list as a file (CSV-3)."""

from collections.abc import Iterator, Sequence
from typing import Any

import django_filters
from django import forms
from django.db.models import Count, Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.answers import answer_text
from campaigns.form_items import label_of
from campaigns.models import Application, ApplicationState, ApplicationWay, Campaign, FormItem, Session
from campaigns.ticket_code import clean_code
from leads.lead_list import simple_search
from leads.models import Lead, LeadColumn

ATTENDED = "attended"
NOT_ATTENDED = "not_attended"  # has a seat, has not come
SHOWN = (
    *ApplicationState.choices,
    (ATTENDED, pgettext_lazy("application", "Attended")),
    (NOT_ATTENDED, pgettext_lazy("application", "Not attended yet")),
)
SORTS = {
    "id": ("id",),
    "kana": ("lead__last_name_kana", "lead__first_name_kana", "id"),
    "company": ("lead__company", "id"),
}
LEAD_FIELDS = (
    "id", "last_name", "first_name", "last_name_kana", "first_name_kana", "email", "company", "department", "job_title",
    "postal_code", "prefecture", "address", "phone", "dm_permission", "registration",
)  # fmt: skip


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


def in_order(rows: QuerySet[Application], *, state: str, sort: str) -> QuerySet[Application]:
    """The waiting list in the order in which it moves up; otherwise by `sort` (a key of SORTS, `-` for descending)."""
    name = sort.removeprefix("-")
    if name in SORTS:
        return rows.order_by(*(("-" if sort.startswith("-") else "") + field for field in SORTS[name]))
    return rows.order_by("waiting_since", "id") if state == ApplicationState.WAITING else rows.order_by("-id")


def counts(campaign: Campaign) -> dict[str, int]:
    """{"applied": …, "waiting": …, "provisional": …, "cancelled": …, "attended": …}, one query."""
    found = Application.objects.filter(campaign=campaign).aggregate(
        **{state: Count("id", filter=Q(state=state)) for state in ApplicationState.values},
        attended=Count("attended_at"),
    )
    return {name: int(number) for name, number in found.items()}


def export_header(items: Sequence[FormItem], columns: Sequence[LeadColumn], sessions: bool) -> list[str]:
    """In the active language."""
    language = translation.get_language() or "ja"
    own = [
        _now("Ticket code"), _now("State"), _now("Way of applying"), _now("Applied at"), _now("On the waiting list since"),
        _now("Cancelled at"), _now("Attended at"),
    ]  # fmt: skip
    lead = [
        "ID",
        *(str(getattr(Lead._meta.get_field(name), "verbose_name", name)) for name in LEAD_FIELDS[1:]),
    ]
    return [
        *own, *([_now("Sessions")] if sessions else []), *lead, *(column.label for column in columns),
        *(label_of(item, language) for item in items),
    ]  # fmt: skip


def export_rows(
    rows: QuerySet[Application], items: Sequence[FormItem], columns: Sequence[LeadColumn], sessions: bool
) -> Iterator[list[Any]]:
    """One list per application in the order of the header, read a few hundred at a time."""
    language = translation.get_language() or "ja"
    for one in rows.select_related("lead").prefetch_related("sessions").iterator(chunk_size=500):
        lead = one.lead
        values: list[Any] = [
            one.code, one.get_state_display(), one.get_way_display(), one.created_at, one.waiting_since, one.cancelled_at,
            one.attended_at,
        ]  # fmt: skip
        if sessions:
            values.append(" / ".join(str(session) for session in one.sessions.all()))
        shown = {
            "dm_permission": lead.get_dm_permission_display(),
            "registration": lead.get_registration_display(),
        }
        values += [shown.get(name, getattr(lead, name)) for name in LEAD_FIELDS]
        values += [lead.extra.get(column.key) for column in columns]
        values += [answer_text(item, one.answers.get(item.key), language) for item in items]
        yield values

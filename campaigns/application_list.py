"""申込一覧 of one campaign: its order, its counts, and the list as a file (CSV-3)."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _now
from django.utils.translation import pgettext_lazy

from campaigns.answers import answer_text
from campaigns.form_items import label_of
from campaigns.models import Application, ApplicationState, Campaign, FormItem
from leads.models import Lead, LeadColumn

ATTENDED = "attended"
NOT_ATTENDED = "not_attended"  # has a seat, has not come
_IN_ORDER = (
    ApplicationState.APPLIED,
    ApplicationState.WAITING,
    ApplicationState.PROVISIONAL,
    ApplicationState.CANCELLED,
)
SHOWN = (
    *((state.value, state.label) for state in _IN_ORDER),
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

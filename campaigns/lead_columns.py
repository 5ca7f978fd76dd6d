"""申込/キャンセル, 申込日時 and 来場 in the lead list of a campaign: its columns (leads/list_columns.py); the filters are in
campaigns/filters.py.

A lead may have applied, cancelled and applied again. What counts is the application that lives, else the newest.
"""

from django.db.models import Case, F, Subquery, When
from django.utils.translation import gettext_lazy as _

from campaigns.applicants import applications_of_lead
from campaigns.filters import lead_filters
from campaigns.models import ApplicationState
from leads.list_columns import Cell, ListColumn, register_list_columns

TAGS = {
    ApplicationState.APPLIED: "ok",
    ApplicationState.WAITING: "warn",
    ApplicationState.PROVISIONAL: "warn",
    ApplicationState.CANCELLED: "plain",
}


def register() -> None:
    """From AppConfig.ready()."""
    register_list_columns(
        [
            ListColumn(
                "application", _("Applied / cancelled"), lambda campaign: _value("state", campaign), _state
            ),
            ListColumn("applied_at", _("Applied at"), lambda campaign: _value("created_at", campaign)),
            ListColumn("attended_at", _("Attended at"), lambda campaign: _value("attended_at", campaign)),
        ],
        lead_filters,
    )


def _value(field: str, campaign_id: int) -> Subquery:
    last = Case(When(state=ApplicationState.CANCELLED, then=1), default=0)
    return Subquery(applications_of_lead(campaign_id).order_by(last, F("id").desc()).values(field)[:1])


def _state(value: str) -> Cell:
    state = ApplicationState(value)
    return Cell(str(state.label), TAGS[state])

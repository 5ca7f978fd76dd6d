"""What the page of one application shows: what was entered, answers, and its story."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from campaigns.answers import answer_rows
from campaigns.form_items import label_of, questions_of
from campaigns.models import Application, ApplicationState, CancelledBy
from leads.edit import FIELDS
from leads.history import change_labels, in_words, values_in_words
from leads.models import LeadColumn
from settings.audit import ACTIONS
from settings.models import AuditEntry


@dataclass(frozen=True)
class Entered:
    """One entered value, and what the lead has now."""

    label: str
    entered: str
    now: str

    @property
    def differs(self) -> bool:
        return self.entered != self.now


@dataclass(frozen=True)
class Step:
    """One line of the story."""

    at: datetime
    text: str
    who: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()


def entered_rows(application: Application, columns: Mapping[str, LeadColumn]) -> list[Entered]:
    """In the order of the lead's items; columns that were deleted since are left out."""
    entered = {
        name: application.entered[name] for name in FIELDS if name in application.entered and name != "extra"
    }
    extra = dict(application.entered.get("extra", {}))
    entered |= {f"extra.{key}": value for key, value in extra.items() if key in columns and value is not None}
    labels, now = change_labels(columns.values()), values_in_words(application.lead, entered)
    return [Entered(labels[name], in_words(name, value), now[name]) for name, value in entered.items()]


def answers_of(application: Application) -> list[tuple[str, str]]:
    """(question, answer) in the reader's language."""
    language = translation.get_language() or "ja"
    rows = answer_rows(questions_of(application.campaign), application.answers, language)
    return [(label_of(item, language), text) for item, text in rows]


def story(application: Application) -> list[Step]:
    """What happened to it, oldest first: its own times, and what staff did (SYS-2)."""
    steps = [
        Step(
            application.created_at,
            _("Applied (%(way)s)") % {"way": application.get_way_display()},
            _who(application),
        )
    ]
    moments = [
        (application.confirmed_at, _("The address was confirmed")),
        (application.waiting_since, _("Put on the waiting list")),
        (application.moved_up_at, _("Moved up from the waiting list")),
        (application.reminded_at, _("A reminder was sent")),
        (application.reissued_at, _("A fresh ticket URL was sent")),
        (application.attended_at, pgettext("application", "Attended")),
    ]
    steps += [Step(at, text) for at, text in moments if at is not None]
    if application.state == ApplicationState.CANCELLED and application.cancelled_at is not None:
        by = CancelledBy(application.cancelled_by).label if application.cancelled_by else ""
        steps.append(Step(application.cancelled_at, pgettext("application", "Cancelled"), str(by)))
    for entry in AuditEntry.objects.filter(target_type="application", target_id=str(application.pk)).order_by(
        "id"
    ):
        if entry.action in {"application.create", "application.cancel"}:
            continue  # the application's own times say so
        changes = tuple(
            (str(name), str(pair[0] or "–"), str(pair[1] or "–"))
            for name, pair in entry.detail.get("changes", {}).items()
        )
        steps.append(Step(entry.at, str(ACTIONS.get(entry.action, entry.action)), entry.user_name, changes))
    return sorted(steps, key=lambda step: step.at)


def _who(application: Application) -> str:
    return str(application.created_by) if application.created_by else ""


def columns_by_key() -> dict[str, LeadColumn]:
    return {column.key: column for column in LeadColumn.objects.all()}

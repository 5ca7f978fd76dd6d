"""What somebody entered in an application, and whether it fits the campaign's questions and sessions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from campaigns.models import (
    ApplicationWay,
    Campaign,
    FormItem,
    ItemSource,
    QuestionType,
    Session,
    SessionChoice,
)
from campaigns.refusals import ApplicationRefused
from leads.edit import clean_values

WITH_KEYS = frozenset({QuestionType.CHOICE, QuestionType.SELECT, QuestionType.MULTIPLE})
# Nobody sets these by applying (FLAG-5); the registration follows from confirming the address.
_NOT_ENTERED = frozenset({"email_valid", "registration"})
_NEVER_BLANK = frozenset({"kind", "language", "dm_permission"})  # blank means "not asked", not "the default"


@dataclass(frozen=True)
class Entry:
    """`values` as leads.edit takes them, `answers` {str(FormItem.id): value} to all questions of the form that have one.
    `evidence`: a ConsentRecord.Evidence, of staff who say on what they enter somebody's consent; "" = that of the way."""

    values: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    session_ids: Collection[int] = ()
    language: str = "ja"
    evidence: str = ""


def entered_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are stored in Application.entered. ValidationError by field (leads.edit.clean_values)."""
    kept = {
        name: value
        for name, value in values.items()
        if name not in _NOT_ENTERED and (name not in _NEVER_BLANK or value not in ("", None))
    }
    return clean_values(kept)


def check_answers(campaign: Campaign, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers, when each belongs to a question of this campaign and each choice to its question. Retired ones are
    accepted: the form may have been open when they went."""
    if not answers:
        return {}
    rows = FormItem.objects.filter(campaign=campaign, source=ItemSource.QUESTION)
    questions = {item.key: item for item in rows}
    for key, value in answers.items():
        item = questions.get(key)
        if item is None:
            raise ApplicationRefused("question_unknown")
        if item.type in WITH_KEYS:
            known = {choice["key"] for choice in item.choices}
            if not isinstance(value, list) or not known.issuperset(map(str, value)):
                raise ApplicationRefused("choice_unknown")
    return dict(answers)


def chosen_sessions(campaign: Campaign, session_ids: Collection[int], *, way: str) -> list[Session]:
    """The sessions chosen, in the campaign's order; none where the campaign offers no choice. A file may leave it open."""
    if campaign.session_choice == SessionChoice.NONE:
        return []
    wanted = set(session_ids)
    sessions: Sequence[Session] = list(campaign.sessions.filter(pk__in=wanted)) if wanted else []
    if len(sessions) != len(wanted):
        raise ApplicationRefused("session_unknown")
    if not sessions and way != ApplicationWay.CSV and campaign.sessions.exists():
        raise ApplicationRefused("session_missing")
    if len(sessions) > 1 and campaign.session_choice == SessionChoice.ONE:
        raise ApplicationRefused("session_one")
    return list(sessions)

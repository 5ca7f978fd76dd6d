"""What a reader's page tells: failures against thresholds, the history with its causes, the mails. Nothing here changes
anything."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from leads.models import Lead
from mail.magazines.reader_words import cause_of
from mail.models import Delivery, FailureGroup, Magazine, Reader, ReaderChange, ReaderItem, ReaderState
from mail.models.delivery import DeliveryKind
from mail.recipients.explain import Explanation, explain_delivery
from mail.recipients.explain_magazines import starts_of
from settings.audit import said_in_words

HISTORY = 100
MAILS = 30


@dataclass(frozen=True)
class Failures:
    """MAG-3: one cause of one reader."""

    group: FailureGroup
    count: int
    limit: int | None  # None: never stops

    @property
    def over(self) -> bool:
        return self.limit is not None and self.count >= self.limit


def failures_of(magazine: Magazine, reader: Reader) -> list[Failures]:
    return [Failures(group, reader.failures(group), magazine.threshold(group)) for group in FailureGroup]


def next_start_stops(magazine: Magazine, reader: Reader) -> list[Failures]:
    """MAG-6: the causes by which the next start would stop this reader if they were deliverable."""
    return [one for one in failures_of(magazine, reader) if one.over]


@dataclass(frozen=True)
class Line:
    """One line of a reader's history, in words."""

    change: ReaderChange
    what: str
    cause: str
    details: list[str] = field(default_factory=list)


def history_of(magazine: Magazine, lead: Lead, items: Iterable[ReaderItem]) -> list[Line]:
    """Newest first; also of times when the lead was no reader. One query."""
    changes = ReaderChange.objects.filter(magazine=magazine, lead=lead).select_related("user")[:HISTORY]
    labels = {item.key: item.label for item in items}
    return [Line(change, _what(change), cause_of(change), _details(change, labels)) for change in changes]


def _what(change: ReaderChange) -> str:
    states = dict(ReaderState.choices)
    what = str(change.get_what_display())
    if change.what == ReaderChange.What.STATE and change.after in states:
        return str(states[change.after])
    return what


def _details(change: ReaderChange, labels: dict[str, str]) -> list[str]:
    states = dict(ReaderState.choices)
    lines = []
    if change.before != change.after and change.before in states and change.after in states:
        lines.append(f"{states[change.before]} → {states[change.after]}")
    changes = change.detail.get("changes")
    if isinstance(changes, dict):
        for key, pair in changes.items():
            if isinstance(pair, list) and len(pair) == 2:
                old, new = (pgettext("value", "(empty)") if one in (None, "") else one for one in pair)
                lines.append(f"{labels.get(str(key), str(key))}: {old} → {new}")
    if change.evidence:
        lines.append(_("Consent: %(evidence)s") % {"evidence": change.get_evidence_display()})
    if change.source:
        lines.append(said_in_words("source", change.source))
    return lines


@dataclass(frozen=True)
class Mail:
    delivery: Delivery
    title: str
    explanation: Explanation

    @property
    def at(self) -> Any:
        return self.delivery.sent_at or self.delivery.decided_at


def mails_of(magazine: Magazine, lead: Lead) -> tuple[list[Mail], bool]:
    """The magazine's mails to this lead and those it was left out of, newest first; whether there are more. Three queries."""
    rows = list(
        Delivery.objects.filter(lead=lead, kind=DeliveryKind.MAGAZINE, job__magazine=magazine)
        .select_related("job", "job__story", "template")
        .defer("merge_values", "template__html_body", "template__text_body")
        .order_by("-id")[: MAILS + 1]
    )
    starts = starts_of(rows[:MAILS])
    shown = [
        Mail(
            row,
            row.subject or (row.job.story.name if row.job and row.job.story else str(row.template or "–")),
            explain_delivery(row, start=starts.get(row.pk)),
        )
        for row in rows[:MAILS]
    ]
    return shown, len(rows) > MAILS

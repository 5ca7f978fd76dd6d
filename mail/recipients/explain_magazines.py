"""「なぜ届いた/届かなかったのか」 (EXC-6) of magazine mail: what start it was, what the reader's state was and since when, the filter, and
for those without a row why they were not in scope."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from leads.models import Lead
from mail.magazines.filters import describe_filter
from mail.magazines.reader_words import cause_of
from mail.models.delivery import Delivery, DeliveryKind
from mail.models.magazine import Magazine, Reader, ReaderChange, ReaderState, ReaderWay
from mail.models.send_job import SendJob
from mail.models.story import Story, StoryKind, StoryTurn, TurnState
from mail.recipients.explain_steps import moment
from mail.stories.loops import BY_DATE, TOKYO, days_of_readers

_STATES = (ReaderChange.What.REGISTERED, ReaderChange.What.STATE, ReaderChange.What.REMOVED)
_LATE = timedelta(minutes=1)  # from here on it is worth a word that a start was later than planned


@dataclass(frozen=True)
class Started:
    """A start, and the change by which the reader had the state of its decision (None: older than the history)."""

    job: SendJob
    change: ReaderChange | None


def starts_of(deliveries: Iterable[Delivery]) -> dict[int, Started]:
    """{delivery id: its start} of magazine mails, in two queries, or none."""
    rows = [row for row in deliveries if row.kind == DeliveryKind.MAGAZINE and row.job_id]
    if not rows:
        return {}
    jobs = (
        SendJob.objects.select_related("story", "magazine")
        .defer("counts")
        .in_bulk({row.job_id for row in rows})
    )
    found = ReaderChange.objects.filter(
        lead__in={row.lead_id for row in rows}, magazine__in={job.magazine_id for job in jobs.values()}, what__in=_STATES
    )  # fmt: skip
    changes: dict[tuple[int, int], list[ReaderChange]] = {}
    for change in found.order_by("-at", "-pk"):
        changes.setdefault((change.magazine_id, change.lead_id), []).append(change)
    return {
        row.pk: Started(
            job, _newest(changes.get((job.magazine_id or 0, row.lead_id or 0), []), row.decided_at)
        )
        for row in rows
        if (job := jobs.get(row.job_id or 0)) is not None
    }


def _newest(changes: Iterable[ReaderChange], until: datetime) -> ReaderChange | None:
    return next((change for change in changes if change.at <= until), None)


def start_lines(started: Started, delivery: Delivery) -> list[str]:
    """Which start it was, the reader's state and by what it came, and the filter."""
    lines = [start_line(started.job)]
    change = started.change
    if change is not None and change.way == ReaderWay.START and change.job_id == delivery.job_id:
        lines.append(_("Stopped at the start of this very delivery: %(cause)s") % {"cause": cause_of(change)})
    else:
        lines += _state_lines(change)
    return lines + _filter_lines(started.job)


def _state_lines(change: ReaderChange | None) -> list[str]:
    if change is not None and change.what == ReaderChange.What.REMOVED:
        return [_taken_off(change)]
    if change is not None and change.after in ReaderState.values:
        words = {"state": ReaderState(change.after).label, "at": moment(change.at), "cause": cause_of(change)}
        return [_("Reader “%(state)s” since %(at)s (%(cause)s).") % words]
    return []


def membership_lines(magazine: Magazine, lead: Lead) -> list[str]:
    """The lead's state in a magazine today, since when and by what."""
    changes = ReaderChange.objects.filter(magazine=magazine, lead=lead, what__in=_STATES)
    return _state_lines(changes.order_by("-at", "-pk").first())


def start_line(job: SendJob) -> str:
    if job.story is None:
        return ""
    words = {
        "magazine": job.magazine, "kind": job.story.get_kind_display(), "story": job.story.name, "id": job.pk,
        "at": moment(job.started_at), "planned": moment(job.occurrence_at),
    }  # fmt: skip
    if job.started_at and job.occurrence_at and job.started_at - job.occurrence_at >= _LATE:
        return (
            _(
                "%(kind)s “%(story)s” of “%(magazine)s”, delivery %(id)s: started at %(at)s, planned for %(planned)s."
            )
            % words
        )
    return _("%(kind)s “%(story)s” of “%(magazine)s”, delivery %(id)s: started at %(at)s.") % words


def _filter_lines(job: SendJob) -> list[str]:
    words = describe_filter(job.condition) if job.condition else ""
    return [_("Delivery filter of the start: %(filter)s") % {"filter": words}] if words else []


def _taken_off(change: ReaderChange) -> str:
    return _("Taken off the list of readers at %(at)s (%(cause)s).") % {
        "at": moment(change.at),
        "cause": cause_of(change),
    }


# ---- without a row ---------------------------------------------------------------------------------------------------


def outside_of(job: SendJob, lead: Lead) -> tuple[str, list[str]]:
    """Why a start that is decided has no row of this lead: a sentence, and what is known. Each line from another fact, so that no two
    contradict each other."""
    assert job.story is not None and job.decided_at is not None
    at = {"at": moment(job.decided_at), "magazine": job.magazine}
    reader = Reader.objects.filter(magazine=job.magazine_id, lead=lead).first()
    changes = ReaderChange.objects.filter(magazine=job.magazine_id, lead=lead, what__in=_STATES)
    then = _newest(changes.order_by("-at", "-pk"), job.decided_at)
    was = (
        then.what != ReaderChange.What.REMOVED
        if then
        else reader is not None and reader.registered_at <= job.decided_at
    )
    lines = [start_line(job)]
    if lead.deleted_at and lead.deleted_at <= job.decided_at:
        return _("Not in scope: the lead had been deleted when the delivery started (%(at)s).") % at, lines
    if not was:
        if then is not None:
            lines.append(_taken_off(then))
        if reader is not None:
            lines.append(_("Became a reader later, at %(at)s.") % {"at": moment(reader.registered_at)})
        return _(
            "Not in scope: the lead was no reader of “%(magazine)s” when the delivery started (%(at)s)."
        ) % at, lines
    if job.story.kind == StoryKind.STEP:
        return (
            _(
                "Not in scope: the reader's turn of this story had not come, or was over, when the delivery started (%(at)s)."
            )
            % at,
            [*lines, *turn_lines(job.story, lead)],
        )
    if job.story.rule in BY_DATE:
        return (
            _("Not in scope: the day of this start was not the reader's (%(at)s).") % at,
            [*lines, *_date_lines(job, reader)],
        )
    return _(
        "Not in scope: the lead was not among the readers when the delivery started (%(at)s)."
    ) % at, lines


def turn_lines(story: Story, lead: Lead) -> list[str]:
    """How far the reader is in the series."""
    turn = StoryTurn.objects.filter(story=story, lead=lead).first()
    if turn is not None and turn.state == TurnState.WAITING:
        return [_("Its turn of this story is due at %(at)s.") % {"at": moment(turn.due_at)}]
    if turn is not None and turn.state == TurnState.DECIDED:
        return [
            _("This story was decided for the reader at %(at)s, in delivery %(id)s.")
            % {"at": moment(turn.decided_at), "id": turn.job_id}
        ]
    if turn is not None:
        return [
            _("This story was skipped for the reader at %(at)s: %(why)s")
            % {"at": moment(turn.decided_at), "why": turn.get_why_display()}
        ]
    waiting = StoryTurn.objects.filter(magazine=story.magazine_id, lead=lead, state=TurnState.WAITING)
    if other := waiting.select_related("story").first():
        return [
            _("The reader waits for “%(story)s” first, which is due at %(at)s.")
            % {"story": other.story.name, "at": moment(other.due_at)}
        ]
    return []


def _date_lines(job: SendJob, reader: Reader | None) -> list[str]:
    story = job.story
    if story is None or story.date_item is None or job.occurrence_at is None:
        return []
    days = days_of_readers(story, job.occurrence_at.astimezone(TOKYO).date()).as_text()
    lines = [
        _("This start was for %(item)s %(days)s.") % {"item": story.date_item.label, "days": ", ".join(days)}
    ]
    if reader is not None:
        value = str(reader.values.get(story.date_item.key) or "") or _("not entered")
        lines.append(
            _("The reader's %(item)s today: %(value)s") % {"item": story.date_item.label, "value": value}
        )
    return lines

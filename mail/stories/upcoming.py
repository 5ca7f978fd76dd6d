"""「この読者は次の記事の配信対象になりますか?」 For one reader and every story that is to come: when, yes or no, and why (EXC-6). Asked of the
same statement that will decide, with the data of today; a delivery filter's dates are judged at the time of the start.

What this module does not do: say why something that went out did or did not (mail/recipients/explain.py).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from mail.models import Reader, ReaderState, SendJob, Story, StoryTurn
from mail.models.send_job import WAITING, JobState
from mail.models.story import StepBase, StoryKind, StoryState, TurnState
from mail.recipients.plan import ReaderScope, story_plan
from mail.recipients.reasons import Reason
from mail.recipients.resolve import expected_decision
from mail.stories.loops import BY_DATE, TOKYO, days_of_readers, next_day_of, next_occurrence, ready_at

STORIES = 60  # of a magazine, at most; more would be a page that nobody reads

# Reasons beside those of a decision.
PAUSED, PAUSED_BEFORE, NO_DATE, DATE_OVER = "paused", "paused_before", "no_date", "date_over"
OVER_THRESHOLD = "over_threshold"
HELD_UP = "held_up"  # the story cannot start until somebody mends it


@dataclass(frozen=True)
class Upcoming:
    """`at`: when it starts; None when that cannot be said. `reason`: "" for yes, else a Reason or one of the above. `estimate`: a
    later step story, whose time depends on the ones before it."""

    story: Story
    at: datetime | None
    answer: bool
    reason: str
    sentence: str
    estimate: bool = False


def upcoming(reader: Reader, *, now: datetime) -> list[Upcoming]:
    """The soonest first, then those without a time. Five queries, and two for each different filter and day."""
    magazine = reader.magazine
    if magazine.archived_at:
        return []
    judge = _Judge(reader, now)
    stories = list(
        Story.objects.filter(magazine=magazine, state__in=[StoryState.RUNNING, StoryState.PAUSED])
        .exclude(kind=StoryKind.EXTRA)
        .select_related("magazine", "date_item")
        .order_by("kind", "position", "pk")[:STORIES]
    )
    found = _steps(judge, [one for one in stories if one.kind == StoryKind.STEP])
    found += [_loop(judge, one) for one in stories if one.kind == StoryKind.LOOP]
    reserved = SendJob.objects.filter(
        Q(state__in=WAITING) | Q(state=JobState.HALTED, decided_at=None),
        magazine=magazine, scheduled_at__isnull=False, story__kind=StoryKind.EXTRA,
    )  # fmt: skip
    for job in reserved.select_related("story__magazine").order_by("scheduled_at", "pk")[:STORIES]:
        if job.story is None or job.scheduled_at is None:
            continue
        if job.state == JobState.HALTED:
            found.append(judge.no(job.story, None, HELD_UP, text=job.halt_reason))
        else:
            found.append(judge.answer(job.story, max(job.scheduled_at, now), judge.twins))
    return sorted(found, key=lambda one: (one.at is None, one.at or now))


# ---- step stories: {story id: (when, why it is held, whether that is an estimate)} -----------------------------------

_Times = dict[int, tuple[datetime | None, str, bool]]


def _steps(judge: "_Judge", series: Sequence[Story]) -> list[Upcoming]:
    if not series:
        return []
    turns: dict[int, list[StoryTurn]] = {}
    of_address = [judge.reader, *judge.twins]
    leads = [one.lead_id for one in of_address]
    for turn in StoryTurn.objects.filter(magazine_id=judge.reader.magazine_id, lead__in=leads):
        turns.setdefault(turn.lead_id, []).append(turn)
    mine, *others = (_times(one, series, turns.get(one.lead_id, []), judge.now) for one in of_address)
    found = []
    for story in series:
        if story.pk not in mine:
            continue
        at, held, estimate = mine[story.pk]
        if at is None:
            found.append(judge.no(story, None, held))
            continue
        # Whose turn comes at the same time is in the same start.
        beside = [
            twin
            for twin, times in zip(judge.twins, others, strict=True)
            if times.get(story.pk, (None,))[0] == at
        ]
        found.append(judge.answer(story, at, beside, estimate=estimate))
    return found


def _times(reader: Reader, series: Iterable[Story], turns: Iterable[StoryTurn], now: datetime) -> _Times:
    """Their next story by its turn, the later ones by the time of those before them."""
    by_story = {turn.story_id: turn for turn in turns}
    counted = [
        turn.decided_at for turn in turns if turn.decided_at and turn.why in ("", "overdue", "too_late")
    ]
    last = max(counted, default=None)
    found: _Times = {}
    held = False
    for story in series:
        turn = by_story.get(story.pk)
        if turn is not None and turn.state != TurnState.WAITING:
            continue
        if held or story.state == StoryState.PAUSED:
            found[story.pk] = (None, PAUSED_BEFORE if held else PAUSED, False)
            held = True
            continue
        at = max(turn.due_at, now) if turn and turn.due_at else _planned(story, reader, last, now)
        found[story.pk] = (at, "", turn is None and bool(found))
        last = at
    return found


def _planned(story: Story, reader: Reader, last: datetime | None, now: datetime) -> datetime:
    """As turns.sql has it, if the story before starts at `last`."""
    base = reader.registered_at
    if story.base == StepBase.PREVIOUS and last is not None:
        base = max(base, last)
    planned = ready_at(base, story.at_time, days=story.wait_days, hours=story.wait_hours)
    behind = max(last or now, now)
    if planned > behind:
        return planned
    if story.base == StepBase.REGISTRATION and last is not None:
        return max(ready_at(now, story.at_time), ready_at(last, story.at_time, days=1))
    return ready_at(behind, story.at_time)


def _loop(judge: "_Judge", story: Story) -> Upcoming:
    if story.state == StoryState.PAUSED:
        return judge.no(story, None, PAUSED)
    due = story.next_at if story.next_at and story.next_at <= judge.now else None
    if story.rule not in BY_DATE:
        at = due or next_occurrence(story, judge.now)
        return judge.answer(story, at, judge.twins) if at else judge.no(story, None, NO_DATE)
    theirs = _date_of(judge.reader, story)
    if theirs is None:
        return judge.no(story, None, NO_DATE)
    at, day = judge.now, due or judge.now
    if due is None or not days_of_readers(story, due.astimezone(TOKYO).date()).meant(theirs):
        following = next_day_of(story, theirs, judge.now)
        if following is None:
            return judge.no(story, None, DATE_OVER)
        at = day = following
    meant = days_of_readers(story, day.astimezone(TOKYO).date())
    beside = [one for one in judge.twins if (its := _date_of(one, story)) and meant.meant(its)]
    return judge.answer(story, at, beside)


def _date_of(reader: Reader, story: Story) -> date | None:
    text = (reader.values or {}).get(str(story.date_item_id))
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


class _Judge:
    """Asks once for each different question."""

    def __init__(self, reader: Reader, now: datetime) -> None:
        self.reader, self.now = reader, now
        self.known: dict[tuple[str, date | None, frozenset[int]], str] = {}
        # EXC-3: other readers with this address, of whom the newest gets it if they are in the same start.
        norm = reader.lead.email_norm
        same = Reader.objects.filter(
            magazine=reader.magazine_id, lead__email_norm=norm, lead__deleted_at=None
        )
        self.twins = list(same.exclude(pk=reader.pk).order_by("-lead_id")[:STORIES]) if norm else []

    def answer(
        self, story: Story, at: datetime, beside: Iterable[Reader], *, estimate: bool = False
    ) -> Upcoming:
        """`beside`: the readers with the same address in the same start."""
        if story.trouble:
            return self.no(story, None, HELD_UP, text=story.trouble)
        try:
            reason = self._reason(story, at, frozenset(one.lead_id for one in beside))
        except (
            ValidationError
        ) as gone:  # the filter names what is gone, so no start of it will be made (MAG-7)
            return self.no(story, None, HELD_UP, text=" ".join(gone.messages))
        if reason:
            return self.no(story, at, reason, estimate=estimate)
        words = {"story": story.name, "at": _when(at, self.now)}
        sentence = _("“%(story)s” will be sent on %(at)s.") % words
        if estimate:
            sentence = (
                _("“%(story)s” will be sent on %(at)s, if the stories before it go out as planned.") % words
            )
        return Upcoming(story, at, True, "", sentence, estimate)

    def no(
        self, story: Story, at: datetime | None, reason: str, *, estimate: bool = False, text: str = ""
    ) -> Upcoming:
        why = why_text(reason)
        words = {
            "story": story.name, "why": f"{why} {text}" if text else why,
            "at": _when(at, self.now) if at else "",
        }  # fmt: skip
        if at is None:
            sentence = _("“%(story)s” will not be sent. %(why)s") % words
        else:
            sentence = _("“%(story)s” starts on %(at)s, and will not be sent to this reader. %(why)s") % words
        return Upcoming(story, at, False, reason, sentence, estimate)

    def _reason(self, story: Story, at: datetime, beside: frozenset[int]) -> str:
        filtered = bool(story.filter.get("blocks"))
        day = at.astimezone(TOKYO).date() if filtered else None
        key = (json.dumps(story.filter, sort_keys=True), day, beside)
        if key not in self.known:
            # Whose turn or day it is was found out above; the scope of the start itself is that of later.
            plan = replace(story_plan(story, now=at), readers=ReaderScope(story.magazine_id))
            decided = expected_decision(plan, self.reader.lead_id, now=at, beside=beside)
            self.known[key] = Reason.DELETED.value if decided is None else decided
        reason = self.known[key]
        if reason == Reason.READER_ERROR_STOPPED and self.reader.state == ReaderState.DELIVERABLE:
            return OVER_THRESHOLD  # MAG-5, MAG-6: 配信可能 now, and stopped at the start
        return reason


def why_text(reason: str) -> str:
    """One sentence for a reason of `Upcoming`, as far as today's data goes."""
    texts = {
        PAUSED: pgettext("upcoming", "The story is paused."),
        PAUSED_BEFORE: _("A story before it is paused."),
        NO_DATE: _("The date it goes by is not entered for this reader."),
        DATE_OVER: _("Its day is over."),
        HELD_UP: pgettext("upcoming", "The story cannot start:"),
        OVER_THRESHOLD: _(
            "The reader has as many failures as stop readers, and will be stopped at this start."
        ),
        Reason.DELETED.value: _("The lead was deleted, or is no reader any more."),
        Reason.NO_ADDRESS.value: _("There is no e-mail address."),
        Reason.MALFORMED_ADDRESS.value: _("The e-mail address is malformed."),
        Reason.UNSUBSCRIBED.value: _("The lead has unsubscribed from all mail."),
        Reason.INVALID_ADDRESS.value: _("The valid flag of the address is off."),
        Reason.PROVISIONAL.value: _("The registration of the lead is provisional."),
        Reason.READER_STOPPED.value: _("The reader is stopped."),
        Reason.READER_ERROR_STOPPED.value: _("The reader is stopped by errors."),
        Reason.FILTER.value: _("The reader will not match the delivery filter."),
        Reason.DUPLICATE.value: _("Another reader with the same address gets it."),
    }
    return texts.get(reason) or str(dict(Reason.choices).get(reason, reason))


def _when(at: datetime, now: datetime) -> str:
    local = timezone.localtime(at)
    if local.year == timezone.localtime(now).year:
        return date_format(local, pgettext("date format", "N j, H:i"))
    return date_format(local, pgettext("date format", "N j, Y, H:i"))

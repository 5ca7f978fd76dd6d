"""Writing stories, and putting them into the series, holding, ordering and ending them (MAG-8). Every change is made under the locks
of the contract and once, however many people click; what it would do to the readers is said before by `preview`, which makes the
same change and takes it back.

    look = preview(story, lambda: pause(story, user=None, now=now), now=now)    # Outlook, in numbers of readers
    pause(story, user=request.user, now=now)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from mail.alignment import Alignment, alignment
from mail.magazines.filters import check_filter
from mail.magazines.items import hold_items
from mail.merging import normalise_newlines
from mail.models import MailTemplate, SendJob, Story, StoryTurn, TemplateAttachment
from mail.models.magazine import ReaderItem
from mail.models.send_job import JobState
from mail.models.story import LoopRule, SkipWhy, StepBase, StoryKind, StoryState, TurnState
from mail.models.template import Purpose
from mail.problems import alignment_of
from mail.refused import Refused
from mail.stories.loops import BY_DATE, next_occurrence, ready_at
from mail.stories.problems import story_problems
from mail.stories.turns import lock_series, plan_turns, skip_passed, skip_turns
from mail.templates import Conflict, NewFile, attach
from settings import audit
from settings.models import User

Passed = Literal["skip", "send"]  # 配信しない | 次の開始で配信する
Overdue = Literal["send", "skip"]

CONTENT = ("subject", "form", "charset", "text_body", "html_body")
WHAT = ("name", "filter", "count_clicks", "count_opens")
TIMES = {
    StoryKind.STEP: ("base", "wait_days", "wait_hours", "at_time"),
    StoryKind.LOOP: (
        "rule", "day_of_month", "weekdays", "skip_holidays", "date_item", "date_offset", "at_time",
    ),
    StoryKind.EXTRA: (),
}  # fmt: skip
IN_SERIES = (StoryState.RUNNING, StoryState.PAUSED)
NAME_MAX, WAIT_DAYS_MAX, OFFSET_MAX = 100, 3650, 366


# ---- saving ----------------------------------------------------------------------------------------------------------


def save_story(
    values: Mapping[str, Any],
    *,
    story: Story,
    content: Mapping[str, Any] | None = None,
    files: Sequence[NewFile] = (),
    removed: Iterable[int] = (),
    seen_at: datetime | None = None,
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> Story:
    """Stores what a form says of a story: `story` is unsaved for a new one, a draft at the end of the series. `values` are fields of
    WHAT and TIMES, `content` fields of its text. While it runs, turns and the next occurrence follow its new times.

    ValidationError with errors by field; Conflict when somebody saved it since `seen_at` (its `updated_at`); Refused for a
    deleted story; AttachmentRefused.
    """
    kind = StoryKind(story.kind)
    if unknown := set(values) - {*WHAT, *TIMES[kind]}:
        raise TypeError(f"not changeable of a story of this kind: {sorted(unknown)}")
    with transaction.atomic():
        if story.pk:
            story = _locked(story)
            if seen_at is not None and story.updated_at != seen_at:
                raise Conflict(
                    _(
                        "Somebody saved this story meanwhile. Your text is still here: compare it with the stored one, then save again."
                    )
                )
        else:
            story = _new(story, user)
        changes = {
            name: [_shown(getattr(story, name)), _shown(value)]
            for name, value in values.items()
            if story.pk is None or getattr(story, name) != value
        }
        for name, value in values.items():
            setattr(story, name, value)
        hold_items(story.magazine_id)
        if story.date_item is not None:
            story.date_item.refresh_from_db(fields=["retired_at"])
        _clean(story, "filter" in changes)
        made = story.pk is None
        _save_content(story, content or {}, files, removed, changes, user=user)
        if story.state == StoryState.RUNNING and kind == StoryKind.LOOP:
            story.next_at = next_occurrence(story, now)
        story.updated_at = now
        story.save()
        if story.state in IN_SERIES and kind == StoryKind.STEP and set(changes) & set(TIMES[kind]):
            plan_turns(story.magazine_id, now=now)
        if made or changes:
            _record("story.create" if made else "story.change", story, user, ip, {"changes": changes})
    return story


def _new(story: Story, user: User | None) -> Story:
    last = Story.objects.filter(magazine=story.magazine_id, kind=StoryKind.STEP).aggregate(Max("position"))
    return Story(
        magazine=story.magazine,
        kind=story.kind,
        name=story.name,
        position=(last["position__max"] or 0) + 1 if story.kind == StoryKind.STEP else 0,
        created_by=user,
        template=MailTemplate(magazine=story.magazine, purpose=Purpose.ADVERTISING, created_by=user),
    )


def _save_content(
    story: Story,
    content: Mapping[str, Any],
    files: Sequence[NewFile],
    removed: Iterable[int],
    changes: dict[str, Any],
    *,
    user: User | None,
) -> None:
    template, removed = story.template, list(removed)
    if unknown := set(content) - set(CONTENT):
        raise TypeError(f"not changeable of a story's text: {sorted(unknown)}")
    for name, value in content.items():
        value = normalise_newlines(str(value)).replace("\0", "")
        if getattr(template, name) != value:
            changes[name] = [_short(getattr(template, name)), _short(value)]
        setattr(template, name, value)
    template.name, template.updated_by = story.name, user
    template.save()
    story.template = template
    gone = template.attachments.filter(pk__in=removed)
    if removed and gone.exists():
        changes["attachments_removed"] = [", ".join(gone.values_list("file_name", flat=True)), ""]
        gone.delete()
    for file in files:
        stored = attach(template, file)
        changes.setdefault("attached", ["", []])[1].append(stored.file_name)


def _clean(story: Story, check: bool = False) -> None:
    """Errors by field; `check`: of the filter too, if it is another one. What is only missing for a start (a text) is said by
    `story_problems`."""
    errors: dict[str, str] = {}
    story.name = " ".join(str(story.name).replace("\0", "").split())
    if not story.name:
        errors["name"] = _("Give the story a name.")
    elif len(story.name) > NAME_MAX:
        errors["name"] = _("The name can have at most %(limit)s characters.") % {"limit": NAME_MAX}
    if check:
        try:
            story.filter = check_filter(story.filter, story.magazine_id)
        except ValidationError as error:
            errors["filter"] = " ".join(error.messages)
    if story.kind == StoryKind.STEP:
        errors |= _step_errors(story)
    elif story.kind == StoryKind.LOOP:
        errors |= _loop_errors(story)
    if story.at_time is not None:
        story.at_time = story.at_time.replace(second=0, microsecond=0, tzinfo=None)
    if errors:
        raise ValidationError(errors)


def _step_errors(story: Story) -> dict[str, str]:
    errors = {}
    if story.base not in StepBase.values:
        errors["base"] = _("Choose from when the wait counts.")
    if not 0 <= story.wait_days <= WAIT_DAYS_MAX:
        errors["wait_days"] = _("The wait is at most %(days)s days.") % {"days": WAIT_DAYS_MAX}
    if not 0 <= story.wait_hours <= 23:
        errors["wait_hours"] = _("Hours are 0 to 23.")
    elif story.wait_hours and story.at_time is not None:
        errors["wait_hours"] = _("With a fixed time of day only whole days count. Enter 0 hours.")
    return errors


def _loop_errors(story: Story) -> dict[str, str]:
    """And empties what the rule does not use."""
    errors = {}
    if story.rule not in LoopRule.values:
        errors["rule"] = _("Choose when the story is sent.")
    if story.at_time is None:
        errors["at_time"] = _("Enter the time of day.")
    if story.rule != LoopRule.MONTHLY:
        story.day_of_month = None
    elif story.day_of_month is None or not 1 <= story.day_of_month <= 31:
        errors["day_of_month"] = _("Enter the day of the month (1 to 31).")
    if story.rule != LoopRule.WEEKLY:
        story.weekdays, story.skip_holidays = [], False
    elif not story.weekdays or set(story.weekdays) - set(range(7)):
        errors["weekdays"] = _("Tick at least one day of the week.")
    story.weekdays = sorted(set(story.weekdays))
    if story.rule not in BY_DATE:
        story.date_item, story.date_offset = None, 0
        return errors
    item = story.date_item
    if (
        item is None
        or item.magazine_id != story.magazine_id
        or item.type != ReaderItem.Type.DATE
        or item.retired_at
    ):
        errors["date_item"] = _("Choose the date item it goes by.")
    if abs(story.date_offset) > OFFSET_MAX:
        errors["date_offset"] = _("At most %(days)s days before or after.") % {"days": OFFSET_MAX}
    return errors


def copy_story(story: Story, *, user: User | None, now: datetime, ip: str | None = None) -> Story:
    """A draft with the same text, attachments, filter and times, at the end of the series."""
    own = story.template
    with transaction.atomic():
        copied = _new(story, user)
        for name in (*WHAT, *TIMES[StoryKind(story.kind)]):
            setattr(copied, name, getattr(story, name))
        copied.name = (_("Copy of %(name)s") % {"name": story.name})[:NAME_MAX]
        copied.template.name, copied.template.updated_by = copied.name, user
        for name in CONTENT:
            setattr(copied.template, name, getattr(own, name))
        copied.template.save()
        copied.template = copied.template
        TemplateAttachment.objects.bulk_create(
            TemplateAttachment(
                template=copied.template, file_name=file.file_name, content_type=file.content_type,
                size=file.size, content=file.content,
            )
            for file in own.attachments.all()
        )  # fmt: skip
        copied.updated_at = now
        copied.save()
        _record("story.copy", copied, user, ip, {"from": story.pk})
    return copied


# ---- running, holding, ending ----------------------------------------------------------------------------------------


def start_running(
    story: Story, *, passed: Passed = "skip", user: User | None, now: datetime, ip: str | None = None
) -> bool:
    """Puts a step or loop story into operation. True the first time. A step story comes to the readers who have not passed its
    place; those who have do not get it (added_later), or with `passed="send"` at its next start. Refused when something is wrong
    (the first error of `story_problems`)."""
    aligned = _aligned(story, now)
    with transaction.atomic():
        story = _locked(story)
        if story.state in IN_SERIES:
            return False
        if story.kind == StoryKind.EXTRA:
            raise Refused("wrong_kind", _("An extra issue is sent at once or reserved."))
        _refuse_problems(story, now, aligned)
        _put_into_operation(story, now)
        if story.kind == StoryKind.STEP:
            _into_series(story, passed, now)
        _record("story.start", story, user, ip, {"passed": passed})
    return True


def pause(story: Story, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """No start from now on; who waits for it waits, and later stories of a series with them. True when this call did it."""
    with transaction.atomic():
        story = _locked(story)
        if story.state == StoryState.PAUSED:
            return False
        if story.state != StoryState.RUNNING or story.kind == StoryKind.EXTRA:
            raise Refused("wrong_state", _("Only a running step or loop story can be paused."))
        story.state, story.next_at, story.trouble = StoryState.PAUSED, None, ""
        _save(story, now)
        _stop_undecided(story, now)
        _record("story.pause", story, user, ip)
    return True


def go_on(
    story: Story, *, overdue: Overdue = "send", user: User | None, now: datetime, ip: str | None = None
) -> bool:
    """In operation again, checked like the start. Who is overdue gets it at the next start, or not at all and the series goes
    on with the next story. A loop goes on with its next occurrence: those of the time between are not made up for."""
    aligned = _aligned(story, now)
    with transaction.atomic():
        story = _locked(story)
        if story.state == StoryState.RUNNING:
            return False
        if story.state != StoryState.PAUSED:
            raise Refused("wrong_state", _("Only a paused story can go on."))
        _refuse_problems(story, now, aligned)
        _put_into_operation(story, now)
        if story.kind == StoryKind.STEP:
            lock_series(story.magazine_id, alone=True)
            if overdue == "skip":
                skip_turns(story.pk, SkipWhy.OVERDUE, "due_at <= %(now)s", limit=None, now=now)
            else:  # counted anew, so that it is not too late at once
                late = StoryTurn.objects.filter(story=story, state=TurnState.WAITING, due_at__lte=now)
                late.update(due_at=ready_at(now, story.at_time))
            plan_turns(story.magazine_id, now=now)
        _record("story.go_on", story, user, ip, {"overdue": overdue})
    return True


def move(
    story: Story,
    place: int,
    *,
    passed: Passed = "skip",
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> bool:
    """Gives a step story another place in its series (1 = first). Who has passed its new place does not get it, or at its next
    start. True when the order changed."""
    with transaction.atomic():
        story = _locked(story)
        if story.kind != StoryKind.STEP:
            raise Refused("wrong_kind", _("Only step stories have an order."))
        series = Story.objects.filter(magazine=story.magazine_id, kind=StoryKind.STEP)
        order = list(series.exclude(state=StoryState.DELETED).order_by("position", "pk"))
        before = [one.pk for one in order]
        index = before.index(story.pk)
        order.insert(max(0, min(place - 1, len(order) - 1)), order.pop(index))
        if [one.pk for one in order] == before:
            return False
        for position, one in enumerate(order, 1):
            one.position = position
        Story.objects.bulk_update(order, ["position"])
        Story.objects.filter(pk=story.pk).update(updated_at=now)
        if story.state in IN_SERIES:
            _into_series(story, passed, now)
        detail = {
            "changes": {"position": [index + 1, [one.pk for one in order].index(story.pk) + 1]},
            "passed": passed,
        }
        _record("story.move", story, user, ip, detail)
    return True


def delete(story: Story, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """Ends it for good: nobody gets it any more, and who waited for it goes on with the next story. What was sent stays in the
    history. Refused for an extra issue that is reserved, and for a start that is just being decided."""
    with transaction.atomic():
        story = _locked(story, deleted_too=True)
        if story.state == StoryState.DELETED:
            return False
        waiting = SendJob.objects.filter(story=story, scheduled_at__isnull=False, state__in=_WAITS)
        if story.kind == StoryKind.EXTRA and waiting.exists():
            raise Refused("reserved", _("This issue is reserved. Delete the reservation first."))
        was = story.state
        story.state, story.next_at, story.trouble = StoryState.DELETED, None, ""
        _save(story, now)
        _stop_undecided(story, now)
        waited = 0
        if story.kind == StoryKind.STEP:
            lock_series(story.magazine_id, alone=True)
            waited = len(skip_turns(story.pk, SkipWhy.DELETED, "TRUE", limit=None, now=now))
            if was in IN_SERIES:
                plan_turns(story.magazine_id, now=now)
        _record("story.delete", story, user, ip, {"waited": waited})
    return True


# ---- what would happen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """What a change does, in numbers of readers. Of loops only `next_at` says something."""

    next_at: datetime | None  # the next occurrence of the loop
    waited: int  # waited for this story before
    overdue: int  # of them, those whose time is over already
    waits: int  # wait for it afterwards
    gets_next: int  # of them, those who did not before
    first_at: datetime | None  # when the first and the last of those who wait for it get it
    last_at: datetime | None
    at_once: int  # of those who wait for it, those who get it at its next start, because their time has come
    skipped: dict[str, int] = field(default_factory=dict)  # will not get it, by SkipWhy
    later: int = 0  # their next mail, whichever it is, comes later than before
    sooner: int = 0
    ended: int = 0  # waited for a story, and for none afterwards
    held: int = 0  # wait for a story that is paused, and with it for all that follow

    @property
    def passed(self) -> int:
        """Who has passed its place, in a preview with passed="skip"."""
        return self.skipped.get(SkipWhy.ADDED_LATER, 0)


_BEFORE = """
CREATE TEMPORARY TABLE mail_turns_before ON COMMIT DROP AS
SELECT lead_id, story_id, due_at FROM mail_storyturn WHERE magazine_id = %(magazine)s AND state = 'waiting'
"""
_COMPARE = """
SELECT count(*) FILTER (WHERE old.story_id = %(story)s),
    count(*) FILTER (WHERE old.story_id = %(story)s AND old.due_at <= %(now)s),
    count(*) FILTER (WHERE new.story_id = %(story)s),
    count(*) FILTER (WHERE new.story_id = %(story)s AND old.story_id IS DISTINCT FROM %(story)s),
    min(new.due_at) FILTER (WHERE new.story_id = %(story)s),
    max(new.due_at) FILTER (WHERE new.story_id = %(story)s),
    count(*) FILTER (WHERE new.story_id = %(story)s AND new.due_at <= %(now)s),
    count(*) FILTER (WHERE new.due_at > greatest(old.due_at, %(now)s)),
    count(*) FILTER (WHERE greatest(new.due_at, %(now)s) < old.due_at),
    count(*) FILTER (WHERE new.lead_id IS NULL),
    count(*) FILTER (WHERE new.story_id IN (
        SELECT id FROM mail_story WHERE magazine_id = %(magazine)s AND kind = 'step' AND state = 'paused'))
FROM mail_turns_before old FULL JOIN (
    SELECT lead_id, story_id, due_at FROM mail_storyturn WHERE magazine_id = %(magazine)s AND state = 'waiting') new
    USING (lead_id)
"""
_SKIPPED = (
    "SELECT why, count(*) FROM mail_storyturn WHERE story_id = %(story)s AND state = 'skipped' GROUP BY why"
)


def preview(story: Story, change: Callable[[], object], *, now: datetime) -> Outlook:
    """What this change would do: it is made, looked at, and taken back. What refuses it is raised (Refused, ValidationError).

    preview(story, lambda: start_running(story, passed="skip", user=None, now=now), now=now).passed
    """
    values: dict[str, Any] = {"magazine": story.magazine_id, "story": story.pk, "now": now}
    with transaction.atomic(), connection.cursor() as cursor:
        if story.kind == StoryKind.STEP:
            _lock_stories(story)
            lock_series(
                story.magazine_id, alone=True
            )  # nobody else's registration counts as what the change did
        cursor.execute(_BEFORE, values)
        cursor.execute(_SKIPPED, values)
        before = dict(cursor.fetchall())
        change()
        cursor.execute(_SKIPPED, values)
        skipped = {why: number - before.get(why, 0) for why, number in cursor.fetchall()}
        cursor.execute(_COMPARE, values)
        waited, overdue, waits, gets_next, first, last, at_once, later, sooner, ended, held = (
            cursor.fetchone()
        )
        next_at = Story.objects.values_list("next_at", flat=True).get(pk=story.pk)
        transaction.set_rollback(True)
    return Outlook(
        next_at, waited, overdue, waits, gets_next, first, last, at_once,
        {why: number for why, number in skipped.items() if number}, later, sooner, ended, held,
    )  # fmt: skip


# ---- helpers ---------------------------------------------------------------------------------------------------------

_WAITS = (JobState.RESERVED, JobState.PREPARING, JobState.RESOLVING, JobState.HALTED)


def _locked(story: Story, *, deleted_too: bool = False) -> Story:
    """The story as it is now. Of a step story the whole series is held: its changes come one after the other, and before or after
    every start of it."""
    _lock_stories(story)
    current = Story.objects.select_related("magazine", "template", "date_item", "created_by").get(pk=story.pk)
    if current.state == StoryState.DELETED and not deleted_too:
        raise Refused("wrong_state", _("This story was deleted."))
    if current.magazine.archived_at:
        raise Refused("archived", _("The magazine was archived; its stories cannot be changed."))
    return current


def _lock_stories(story: Story) -> None:
    stories = Story.objects.filter(pk=story.pk)
    if story.kind == StoryKind.STEP:
        stories = Story.objects.filter(magazine=story.magazine_id, kind=StoryKind.STEP)
    list(stories.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))


def _aligned(story: Story, now: datetime) -> Alignment:
    """Before anything is locked: it may ask DNS. A preview holds the series already, so there what is stored counts."""
    if connection.in_atomic_block:
        return alignment(story.magazine.from_address, now=now, live=False)
    return alignment_of(story.magazine.from_address, now=now)


def _refuse_problems(story: Story, now: datetime, aligned: Alignment) -> None:
    for problem in story_problems(story, now=now, aligned=aligned):
        if problem.severity == "error":
            raise Refused(problem.code, problem.text)


def _put_into_operation(story: Story, now: datetime) -> None:
    story.state, story.running_since, story.trouble = StoryState.RUNNING, now, ""
    if story.kind == StoryKind.LOOP:
        _clean(story)
        story.next_at = next_occurrence(story, now)
    _save(story, now)


def _save(story: Story, now: datetime) -> None:
    story.updated_at = now
    story.save(update_fields=["state", "running_since", "next_at", "trouble", "updated_at"])


def _into_series(story: Story, passed: Passed, now: datetime) -> None:
    lock_series(story.magazine_id, alone=True)
    if passed == "skip":
        skip_passed(story.magazine_id, story.pk, now=now)
    plan_turns(story.magazine_id, now=now)


def _stop_undecided(story: Story, now: datetime) -> None:
    """Starts the tick made that have decided nobody yet. One that is being decided at this moment goes on: it began before."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE mail_sendjob SET state = 'stopped', finished_at = %(now)s WHERE id IN (
                SELECT id FROM mail_sendjob
                WHERE story_id = %(story)s AND decided_at IS NULL AND scheduled_at IS NULL AND state IN ('preparing', 'halted')
                FOR NO KEY UPDATE SKIP LOCKED)
            """,
            {"story": story.pk, "now": now},
        )


def _shown(value: Any) -> Any:
    """For the log."""
    if isinstance(value, ReaderItem):
        return value.label
    return value if value is None or isinstance(value, (str, int, bool, list, dict)) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"


def _record(
    action: str, story: Story, user: User | None, ip: str | None, detail: dict[str, Any] | None = None
) -> None:
    audit.record(action, user=user, target=story, detail=detail, ip=ip)

"""The starts of stories (TGT-10): a SendJob for each, made when it is due. Who gets it is decided when it really starts
(mail/job_start.py).

    start_due(now)                                    # the tick: step stories with due turns, loops whose time has come
    send_now(story, token=…), reserve(story, at, …)   # extra issues

A story that cannot start says why, once, and its readers wait. What is overdue for too long by then is not sent any more: a turn is
skipped, an occurrence recorded as a stopped start that never ran. A clock that jumps starts nothing twice: turns are decided
once, and a story starts once at each occurrence.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from mail import job_start, send_jobs
from mail.alerts import alert_admins
from mail.alignment import Alignment
from mail.hints import hint
from mail.models import Magazine, SendJob, Story, StoryTurn
from mail.models.send_job import RUNNING, WAITING, JobState, RecipientRule
from mail.models.story import StoryKind, StoryState, TurnState
from mail.models.template import Purpose
from mail.problems import alignment_of, is_unexpected
from mail.refused import Refused
from mail.step_settings import LATE_HOURS
from mail.stories.content import counting_of
from mail.stories.loops import next_occurrence
from mail.stories.problems import story_problems
from mail.stories.turns import drop_gone, plan_missing, skip_late
from settings import audit
from settings.models import User
from settings.system_settings import get_setting

logger = logging.getLogger(__name__)

GRID = timedelta(
    minutes=5
)  # a step story starts at most once in each, so that single readers do not make a start each
MISSED = (
    60  # of a long outage the newest missed occurrences are recorded one by one, the older ones as a number
)

# Of each story one look into the index of what waits, whatever else waits.
DUE_STEPS = """
SELECT story.id FROM mail_story story JOIN mail_magazine magazine ON magazine.id = story.magazine_id CROSS JOIN LATERAL (
    SELECT due_at FROM mail_storyturn turn
     WHERE turn.story_id = story.id AND turn.state = 'waiting' AND turn.due_at <= %(now)s
     ORDER BY turn.due_at LIMIT 1) oldest
 WHERE story.kind = 'step' AND story.state = 'running' AND magazine.archived_at IS NULL
 ORDER BY oldest.due_at, story.id
"""


def start_due(now: datetime) -> int:
    """The tick: how many starts were made. A mistake in one story is logged and shown, and keeps back none of the others."""
    _settle_halted(now)
    with connection.cursor() as cursor:
        cursor.execute(DUE_STEPS, {"now": now})
        steps = [row[0] for row in cursor.fetchall()]
    made = sum(_apart(_start_step, story_id, now) for story_id in steps)
    loops = []
    for story in _running(StoryKind.LOOP):
        if _fits_clock(story, now):
            loops.append(story.pk)
    return made + sum(_apart(_start_loop, story_id, now) for story_id in loops)


def plan_new(now: datetime) -> int:
    """The tick, each minute: readers who registered lately and have no plan."""
    return plan_missing(now, everybody=False)


def plan_everybody(now: datetime) -> int:
    """The tick, every ten minutes: readers without a plan, however that came."""
    return plan_missing(now, everybody=True)


def _running(kind: str) -> QuerySet[Story]:
    return Story.objects.filter(
        kind=kind, state=StoryState.RUNNING, magazine__archived_at=None
    ).select_related("template", "magazine", "date_item")


def _apart(start: Callable[[Story, datetime, Alignment], bool], story_id: int, now: datetime) -> bool:
    """Whether a start was made."""
    try:
        story = Story.objects.select_related("magazine").get(pk=story_id)
        # RATE-5, before the transaction: it may ask DNS.
        aligned = alignment_of(story.magazine.from_address, now=now)
        with transaction.atomic():
            # Whoever changes the story at this moment, or decides a start of it, is let through: two seconds later again.
            held = Story.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
            held = held.select_related("template", "magazine", "date_item")
            current = held.filter(pk=story_id, state=StoryState.RUNNING, magazine__archived_at=None).first()
            return current is not None and start(current, now, aligned)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        story = Story.objects.select_related("magazine").get(pk=story_id)
        text = _("The start that is due could not be made. Ask your operator to read the log.")
        if show_trouble(story, text, now=now):
            logger.exception("story %s could not be started", story_id)
        return False


# ---- step stories ----------------------------------------------------------------------------------------------------


def _start_step(story: Story, now: datetime, aligned: Alignment) -> bool:
    drop_gone(story.magazine_id, story.pk, now=now)
    skip_late(story.magazine_id, story.pk, now=now)
    if open_starts(story).exists():
        return False
    due = StoryTurn.objects.filter(story=story, state=TurnState.WAITING, due_at__lte=now)
    newest = due.order_by("-due_at").values_list("due_at", flat=True).first()
    if newest is None:
        return False
    slot = now - timedelta(seconds=now.timestamp() % GRID.total_seconds())
    if SendJob.objects.filter(story=story, reserved_at__gte=slot, reserved_at__lt=slot + GRID).exists():
        return False
    if not _can_start(story, now, aligned):
        return False
    if SendJob.objects.filter(story=story, occurrence_at=newest).exists():
        newest = now  # somebody else was due at that very time, and already started
    make_start(story, now=now, occurrence_at=newest)
    return True


# ---- loops -----------------------------------------------------------------------------------------------------------


def _fits_clock(story: Story, now: datetime) -> bool:
    """Whether it is due. The next occurrence follows from the clock alone: after a clock that went ahead was set right, an
    occurrence it ran past is waited for again; those that started do not start again."""
    expected = next_occurrence(story, now)
    if expected is not None and (story.next_at is None or story.next_at > expected):
        with transaction.atomic():
            same = Story.objects.filter(pk=story.pk, state=StoryState.RUNNING, next_at=story.next_at)
            if same.update(next_at=expected):
                never_ran = SendJob.objects.filter(
                    story=story, state=JobState.STOPPED, started_at=None, decided_at=None
                )
                never_ran.filter(occurrence_at__gt=now).delete()  # not missed after all
        return False
    return story.next_at is not None and story.next_at <= now


def _start_loop(story: Story, now: datetime, aligned: Alignment) -> bool:
    """One start, of the newest occurrence that is not too late; older ones are recorded as missed."""
    if story.next_at is None or story.next_at > now or open_starts(story).exists():
        return False
    over, following = [story.next_at], next_occurrence(story, story.next_at)
    while following is not None and following <= now:
        over.append(following)
        following = next_occurrence(story, following)
    hours = get_setting(LATE_HOURS)
    newest = over.pop()
    if hours and newest < now - timedelta(hours=hours):
        over.append(newest)
    elif SendJob.objects.filter(story=story, occurrence_at=newest).exists():
        pass  # the clock jumped back, and came here again
    elif not _can_start(story, now, aligned):
        record_missed(story, over, now=now)
        Story.objects.filter(pk=story.pk).update(next_at=newest)
        return False
    else:
        make_start(story, now=now, occurrence_at=newest)
        record_missed(story, over, now=now)
        Story.objects.filter(pk=story.pk).update(next_at=following)
        return True
    record_missed(story, over, now=now)
    Story.objects.filter(pk=story.pk).update(next_at=following)
    return False


def record_missed(story: Story, occurrences: Sequence[datetime], *, now: datetime) -> None:
    """Occurrences that will not start any more: starts in the history that never ran, with their reason, and in the audit log."""
    known = SendJob.objects.filter(story=story, occurrence_at__in=occurrences)
    started = set(known.values_list("occurrence_at", flat=True))
    missed = [one for one in occurrences if one not in started]
    if not missed:
        return
    over = {"state": JobState.STOPPED, "finished_at": now, "halt_reason": missed_text()}
    SendJob.objects.bulk_create(
        [SendJob(**(_values(story, now) | over | {"occurrence_at": one})) for one in missed[-MISSED:]],
        ignore_conflicts=True,
    )
    detail = {"missed": len(missed), "since": missed[0].isoformat(), "until": missed[-1].isoformat()}
    audit.record("story.missed", user=None, target=story, detail=detail)


def missed_text() -> str:
    return _("Not sent: it could not start at its time, and later it was too late.")


# ---- making a start --------------------------------------------------------------------------------------------------


def open_starts(story: Story) -> QuerySet[SendJob]:
    """Starts that are not decided yet, halted ones too. There is one at most, whatever the tick does."""
    undecided = SendJob.objects.filter(story=story, decided_at=None)
    return undecided.filter(state__in=[*WAITING, *RUNNING, JobState.HALTED])


def make_start(story: Story, *, now: datetime, occurrence_at: datetime | None, **values: Any) -> SendJob:
    """The job of a start, in the transaction that holds the story. It is decided when it runs; the filter is kept as it was
    (TGT-8)."""
    job = SendJob.objects.create(
        **(_values(story, now) | counting_of(story) | {"occurrence_at": occurrence_at} | values)
    )
    Story.objects.filter(pk=story.pk).exclude(trouble="").update(trouble="")
    transaction.on_commit(lambda: hint("mail.tasks.run_job", job.pk))
    return job


def _values(story: Story, now: datetime) -> dict[str, Any]:
    return {
        "rule": RecipientRule.BY_SEARCH,
        "magazine_id": story.magazine_id,
        "story": story,
        "template": story.template,
        "purpose": Purpose.ADVERTISING,
        "condition": story.filter,
        "include_sent": True,
        "skip_duplicates": True,
        "state": JobState.PREPARING,
        "reserved_at": now,
    }


def _can_start(story: Story, now: datetime, aligned: Alignment) -> bool:
    """Otherwise it says why, once."""
    found = story_problems(story, now=now, aligned=aligned)
    trouble = next((one.text for one in found if one.severity == "error"), "")
    if trouble:
        show_trouble(story, trouble, now=now)
    return not trouble


def show_trouble(story: Story, text: str, *, now: datetime) -> bool:
    """Once each time it changes: on the story's page, in the audit log, and to the administrators. Whether it did."""
    changed = bool(Story.objects.filter(pk=story.pk).exclude(trouble=text).update(trouble=text))
    if not changed or not text:
        return changed
    logger.warning("story %s is held up: %s", story.pk, text)
    audit.record("story.trouble", user=None, target=story, detail={"reason": text})

    def subject() -> str:
        return _("Story held up: %(name)s") % {"name": story.name}

    def body() -> str:
        return _(
            "The story “%(name)s” of the mail magazine “%(magazine)s” is due and cannot start:\n\n%(reason)s\n\nIts readers wait "
            "until this is mended. What is overdue for too long by then is not sent."
        ) % {"name": story.name, "magazine": story.magazine.name, "reason": text}

    alert_admins(subject, body, key=f"story {story.pk}", now=now)
    return True


def _settle_halted(now: datetime) -> None:
    """Starts that halted before they decided anybody. One that is too late is given up, so that the story goes on; one whose
    reason is mended goes on by itself. After an unexpected failure somebody looks first."""
    halted = SendJob.objects.filter(state=JobState.HALTED, decided_at=None, magazine__isnull=False)
    for job in halted.select_related("story__magazine", "story__template"):
        hours = get_setting(LATE_HOURS)
        story, planned = job.story, job.occurrence_at or job.reserved_at
        if story is None or story.kind == StoryKind.EXTRA:
            continue
        late = hours and planned is not None and planned < now - timedelta(hours=hours)
        if late or story.state == StoryState.DELETED:
            given_up = SendJob.objects.filter(pk=job.pk, state=JobState.HALTED, decided_at=None)
            given_up.update(state=JobState.STOPPED, finished_at=now, halt_reason=missed_text())
            continue
        if show_trouble(story, job.halt_reason, now=now):
            continue
        if story.state != StoryState.RUNNING or is_unexpected(job.halt_reason):
            continue
        if not any(one.severity == "error" for one in story_problems(story, now=now)):
            send_jobs.resume(job, user=None, now=now)
            Story.objects.filter(pk=story.pk).update(trouble="")


# ---- extra issues ----------------------------------------------------------------------------------------------------


def send_now(
    story: Story, *, user: User | None, now: datetime, token: uuid.UUID, ip: str | None = None
) -> SendJob:
    """「以上の内容で即時配信してもよろしいですか?」「はい」: decided in this very request (TGT-10). One job per token (RSV-5), and one
    per issue: Refused("already") for another confirmation of the same issue."""
    job, made = _issue(story, user=user, now=now, token=token, ip=ip, at=None)
    if made:
        job_start.run(job.pk, now=now)
        job.refresh_from_db()
    return job


def reserve(
    story: Story, at: datetime, *, user: User | None, now: datetime, token: uuid.UUID, ip: str | None = None
) -> SendJob:
    """A reservation: its text may still change, its time not (RSV-1); who gets it is decided at its start (TGT-10)."""
    if at <= now:
        raise Refused("over", _("This time is over. Choose a time in the future."))
    return _issue(story, user=user, now=now, token=token, ip=ip, at=at)[0]


def _issue(
    story: Story, *, user: User | None, now: datetime, token: uuid.UUID, ip: str | None, at: datetime | None
) -> tuple[SendJob, bool]:
    aligned = alignment_of(story.magazine.from_address, now=now)  # before the row is locked
    with transaction.atomic():
        story = (
            Story.objects.select_for_update(of=("self",), no_key=True)
            .select_related("template", "magazine")
            .get(pk=story.pk)
        )
        if known := SendJob.objects.filter(token=token).first():
            if known.story_id != story.pk:
                raise Refused("wrong_token", _("Open the page again, then confirm."))
            return known, False
        if story.kind != StoryKind.EXTRA:
            raise Refused("wrong_kind", _("Only an extra issue is sent at once or reserved."))
        if story.state == StoryState.DELETED:
            raise Refused("wrong_state", _("This story was deleted."))
        if SendJob.objects.filter(story=story).exclude(state=JobState.DELETED).exists():
            raise Refused(
                "already",
                _("This issue was already sent or reserved. Copy it to send something like it again."),
            )
        for problem in story_problems(story, now=now, aligned=aligned):
            if problem.severity == "error":
                raise Refused(problem.code, problem.text)
        # A deleted reservation no longer holds its time.
        SendJob.objects.filter(story=story, occurrence_at=at).update(occurrence_at=None)
        values: dict[str, Any] = {"token": token, "created_by": user}
        if at is not None:
            values |= {"scheduled_at": at, "state": JobState.RESERVED}
        job = make_start(story, now=now, occurrence_at=at, **values)
        Story.objects.filter(pk=story.pk).update(
            state=StoryState.RUNNING, running_since=now, updated_at=now, trouble=""
        )
        audit.record(
            "story.reserve" if at else "story.send_now",
            user=user,
            target=story,
            detail={"at": at.isoformat() if at else None, "job": job.pk},
            ip=ip,
        )
    return job, True


def delete_reservation(job: SendJob, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """RSV-2: not any more from 30 minutes before its time. The issue is a draft again."""
    with transaction.atomic():
        send_jobs.delete_reservation(job, user=user, now=now, ip=ip)
        Story.objects.filter(pk=job.story_id or 0, kind=StoryKind.EXTRA, state=StoryState.RUNNING).update(
            state=StoryState.DRAFT, running_since=None, updated_at=now
        )


def reservations(magazine: Magazine) -> QuerySet[SendJob]:
    """Extra issues that wait for their time."""
    waits = Q(state__in=WAITING, scheduled_at__isnull=False)
    return (
        SendJob.objects.filter(waits, magazine=magazine)
        .select_related("story")
        .order_by("scheduled_at", "pk")
    )

"""What the screens of stories ask: the series, loops and issues of a magazine with their numbers. Nothing here changes anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, F, Func, Min, QuerySet, TextField, Value
from django.db.models.functions import Right

from mail.models import Delivery, Magazine, Reader, ReaderState, SendJob, Story, StoryTurn
from mail.models.delivery import OPEN, DeliveryKind, DeliveryState
from mail.models.send_job import JobState
from mail.models.story import LoopRule, StoryKind, StoryState, TurnState
from mail.stories.loops import BY_DATE, TOKYO, days_of_readers, next_occurrence


@dataclass(frozen=True)
class StoryNumbers:
    """Readers whose turn waits, and mails by what became of them."""

    waiting: int = 0
    next_due: datetime | None = None
    skipped: int = 0
    sent: int = 0
    error: int = 0
    unknown: int = 0
    excluded: int = 0
    open: int = 0


def listed(magazine: Magazine, kind: StoryKind) -> QuerySet[Story]:
    """In the order of the series; loops by their next start; issues newest first. Deleted ones are left to the history."""
    stories = Story.objects.filter(magazine=magazine, kind=kind).exclude(state=StoryState.DELETED)
    stories = stories.select_related("template", "date_item", "magazine")
    if kind == StoryKind.STEP:
        return stories.order_by("position", "pk")
    if kind == StoryKind.LOOP:
        return stories.order_by(F("next_at").asc(nulls_last=True), "pk")
    return stories.order_by("-pk")


def numbers_of(stories: Iterable[Story]) -> dict[int, StoryNumbers]:
    """For each, in two queries. A story's mails are those made of its template."""
    stories = list(stories)
    by_template = {story.template_id: story.pk for story in stories}
    found: dict[int, dict[str, int]] = {story.pk: {} for story in stories}
    due: dict[int, datetime] = {}
    turns = StoryTurn.objects.filter(story__in=list(found)).exclude(state=TurnState.DECIDED).order_by()
    for story_id, state, number, first in turns.values_list("story_id", "state").annotate(
        n=Count("*"), first=Min("due_at")
    ):
        found[story_id][state] = number
        if state == TurnState.WAITING and first:
            due[story_id] = first
    mails = Delivery.objects.filter(template_id__in=list(by_template), kind=DeliveryKind.MAGAZINE).order_by()
    for template_id, state, number in mails.values_list("template_id", "state").annotate(n=Count("*")):
        of_story = found[by_template[template_id or 0]]
        name = "open" if state in OPEN else str(state)
        of_story[name] = of_story.get(name, 0) + number
    return {
        story_id: StoryNumbers(
            waiting=of_story.get(TurnState.WAITING, 0),
            next_due=due.get(story_id),
            skipped=of_story.get(TurnState.SKIPPED, 0),
            sent=of_story.get(DeliveryState.SENT, 0),
            error=of_story.get(DeliveryState.ERROR, 0),
            unknown=of_story.get(DeliveryState.UNKNOWN, 0),
            excluded=of_story.get(DeliveryState.EXCLUDED, 0),
            open=of_story.get("open", 0),
        )
        for story_id, of_story in found.items()
    }


def jobs_of_issues(stories: Iterable[Story]) -> dict[int, SendJob]:
    """{story id: the job of the issue}, its reservation or its sending; the newest, deleted reservations last. One query."""
    jobs = SendJob.objects.filter(story__in=list(stories)).exclude(state=JobState.DRAFT).order_by("pk")
    found: dict[int, SendJob] = {}
    for job in jobs:
        known = found.get(job.story_id or 0)
        if known is None or known.state == JobState.DELETED or job.state != JobState.DELETED:
            found[job.story_id or 0] = job
    return found


def coming_starts(story: Story, *, now: datetime, number: int = 5) -> list[datetime]:
    """The next starts of a loop, as if it were running."""
    found: list[datetime] = []
    at = next_occurrence(story, now)
    while at is not None and len(found) < number:
        found.append(at)
        at = next_occurrence(story, at)
    return found


def readers_by_day(story: Story, *, now: datetime, days: int = 7) -> list[tuple[date, int]]:
    """Of a loop by a date of the readers: how many deliverable readers each of the next starts means. One query."""
    if story.rule not in BY_DATE or story.date_item is None:
        return []
    today = now.astimezone(TOKYO).date()
    texts = {
        day: days_of_readers(story, day).as_text()
        for day in (today + timedelta(days=ahead) for ahead in range(days))
    }
    wanted = [text for of_day in texts.values() for text in of_day]
    # The keys are numbers, which `values__<key>` would take for places in a list.
    value = Func(
        F("values"), Value(story.date_item.key), function="jsonb_extract_path_text", output_field=TextField()
    )
    readers = Reader.objects.filter(magazine_id=story.magazine_id, state=ReaderState.DELIVERABLE)
    counted = dict(
        readers.annotate(day_text=Right(value, 5) if story.rule == LoopRule.YEARLY else value)
        .filter(day_text__in=wanted)
        .order_by()
        .values_list("day_text")
        .annotate(n=Count("*"))
    )
    return [(day, sum(counted.get(text, 0) for text in of_day)) for day, of_day in texts.items()]

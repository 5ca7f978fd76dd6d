"""What the list of magazines, the finder and the home page say about magazines. Nothing here changes anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, QuerySet

from leads.models import Lead
from mail.magazines.reader_list import ByState, counts_by_state
from mail.models import (
    Magazine,
    Reader,
    ReaderState,
    SendJob,
    Story,
    StoryKind,
    StoryState,
)
from mail.models.send_job import FINISHED, JobState

GOES_BY_ITSELF = (StoryKind.STEP, StoryKind.LOOP)


@dataclass(frozen=True)
class Overview:
    """One line of 「メールマガジン一覧」."""

    magazine: Magazine
    readers: ByState
    steps: int  # step stories in operation
    loops: int  # loop stories in operation
    last_job: SendJob | None  # the newest delivery that started

    @property
    def total(self) -> int:
        return sum(self.readers.values())

    @property
    def running(self) -> int:
        return self.steps + self.loops


def overviews(magazines: Sequence[Magazine]) -> list[Overview]:
    """As many statements for one magazine as for many."""
    ids = [magazine.pk for magazine in magazines]
    readers = counts_by_state(ids)
    running = running_stories(ids)
    started = SendJob.objects.filter(magazine__in=ids, started_at__isnull=False).order_by()
    newest = started.values("magazine_id").annotate(newest=Max("pk")).values("newest")
    jobs = {job.magazine_id: job for job in SendJob.objects.filter(pk__in=newest).select_related("template")}
    return [
        Overview(
            magazine,
            readers[magazine.pk],
            running.get((magazine.pk, StoryKind.STEP), 0),
            running.get((magazine.pk, StoryKind.LOOP), 0),
            jobs.get(magazine.pk),
        )
        for magazine in magazines
    ]


def running_stories(magazine_ids: Sequence[int]) -> dict[tuple[int, str], int]:
    """{(magazine, kind): stories that go by themselves and are in operation}; those without any are left out."""
    stories = Story.objects.filter(
        magazine__in=magazine_ids, state=StoryState.RUNNING, kind__in=GOES_BY_ITSELF
    )
    counted = stories.order_by().values_list("magazine_id", "kind").annotate(n=Count("*"))
    return {(magazine_id, kind): number for magazine_id, kind, number in counted}


def open_jobs(magazine: Magazine) -> int:
    """Deliveries that are reserved or under way: it cannot be archived before they end."""
    jobs = SendJob.objects.filter(magazine=magazine)
    return jobs.exclude(state__in=[*FINISHED, JobState.DRAFT]).count()


def memberships(lead: Lead) -> QuerySet[Reader]:
    """The magazines a lead reads, archived ones last."""
    return (
        Reader.objects.filter(lead=lead)
        .select_related("magazine")
        .order_by("-magazine__archived_at", "magazine__name", "magazine_id")
    )


@dataclass(frozen=True)
class ErrorStops:
    magazine: Magazine
    readers: int


def error_stops(*, since: datetime) -> list[ErrorStops]:
    """MAG-3: by magazine, how many readers errors have stopped since then, and who still are; the most first."""
    stopped = dict(
        Reader.objects.filter(state=ReaderState.ERROR_STOPPED, state_at__gte=since, lead__deleted_at=None)
        .order_by()
        .values_list("magazine_id")
        .annotate(n=Count("*"))
    )
    magazines = Magazine.objects.filter(archived_at=None).in_bulk(list(stopped))
    found = [ErrorStops(magazine, stopped[number]) for number, magazine in magazines.items()]
    return sorted(found, key=lambda one: (-one.readers, one.magazine.name))

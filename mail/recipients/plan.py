"""What a job asks for, without the job: the dry run before sending and the real decision share it (EXC-6)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from leads.models import DmPermission
from mail.models.delivery import DeliveryKind
from mail.models.send_job import RecipientRule, SendJob
from mail.models.story import Story, StoryKind
from mail.models.template import Purpose
from mail.registered_settings import SKIP_DUPLICATES
from mail.stories.loops import BY_DATE, TOKYO, days_of_readers
from settings.system_settings import get_setting


@dataclass(frozen=True)
class ReaderScope:
    """Of a magazine's start: which readers are in scope. Without `turns_of` and `date_item` all of them."""

    magazine_id: int
    turns_of: int | None = None  # a step story: readers whose turn of it has come
    date_item: str = ""  # a loop by a date of the reader: the key in Reader.values …
    days: tuple[str, ...] = ()  # … and the days meant, as they end there: "11-22" of any year, "2026-11-22"


@dataclass(frozen=True)
class Plan:
    """Everything that decides who is addressed, apart from the leads' own data."""

    rule: str
    template_id: int | None
    purpose: str
    kind: str = DeliveryKind.WIZARD  # or MAGAZINE
    campaign_id: int | None = None  # only its applicants are in scope; None = all campaigns
    condition: dict[str, Any] | None = None  # by search: who is in scope; of a magazine its delivery filter
    lead_ids: tuple[int, ...] = ()  # by user: the ticked leads
    dm_permissions: tuple[str, ...] = (DmPermission.WANTED.value,)
    include_sent: bool = False
    skip_duplicates: bool = True
    readers: ReaderScope | None = None  # of a magazine


def plan_of(job: SendJob) -> Plan:
    """The plan of a job as it stands now: its own choices, and EXC-3's system setting of this moment. A start of a story goes
    by the story's filter until it is decided, then by the filter it was decided with."""
    if job.story is not None:
        decided = job.condition if job.decided_at else None
        return story_plan(job.story, now=job.occurrence_at or timezone.now(), condition=decided)
    by_user = job.rule == RecipientRule.BY_USER
    return Plan(
        rule=job.rule,
        template_id=job.template_id,
        purpose=job.template.purpose if job.template else job.purpose,
        campaign_id=job.campaign_id,
        condition=None if by_user else job.condition,
        lead_ids=tuple(job.ticked.order_by("lead_id").values_list("lead_id", flat=True)) if by_user else (),
        dm_permissions=tuple(job.dm_permissions),
        include_sent=job.include_sent,
        skip_duplicates=bool(get_setting(SKIP_DUPLICATES)),
    )


def story_plan(story: Story, *, now: datetime, condition: dict[str, Any] | None = None) -> Plan:
    """A start of the story whose planned time is `now`. Magazine mail is advertising, asks no DM許可 and no "already sent",
    and an address gets one mail a start, whatever EXC-3's setting says: that is the wizard's."""
    return Plan(
        rule=RecipientRule.BY_SEARCH,
        template_id=story.template_id,
        purpose=Purpose.ADVERTISING,
        kind=DeliveryKind.MAGAZINE,
        condition=story.filter if condition is None else condition,
        dm_permissions=tuple(DmPermission.values),
        include_sent=True,
        skip_duplicates=True,
        readers=_scope(story, now=now),
    )


def _scope(story: Story, *, now: datetime) -> ReaderScope:
    if story.kind == StoryKind.STEP:
        return ReaderScope(story.magazine_id, turns_of=story.pk)
    if story.kind == StoryKind.LOOP and story.rule in BY_DATE:
        days = days_of_readers(story, now.astimezone(TOKYO).date())
        return ReaderScope(story.magazine_id, date_item=str(story.date_item_id), days=days.as_text())
    return ReaderScope(story.magazine_id)

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from leads.models import Lead
from mail.models.counting import Counting
from mail.models.magazine import Magazine, ReaderItem
from mail.models.template import MailTemplate


class StoryKind(models.TextChoices):
    STEP = "step", pgettext_lazy("story", "Step mail")
    LOOP = "loop", _("Loop mail")
    EXTRA = "extra", _("Extra issue")


class StoryState(models.TextChoices):
    """mail/stories/ holds every allowed change."""

    DRAFT = "draft", pgettext_lazy("story", "Draft")
    RUNNING = "running", pgettext_lazy("story", "Running")  # of an extra issue: reserved or sent, see its job
    PAUSED = "paused", pgettext_lazy("story", "Paused")
    DELETED = "deleted", pgettext_lazy("story", "Deleted")  # its deliveries stay


class StepBase(models.TextChoices):
    REGISTRATION = "registration", _("After the registration")
    PREVIOUS = "previous", _("After the previous story")


class LoopRule(models.TextChoices):
    MONTHLY = "monthly", _("On a day of every month")
    MONTH_END = "month_end", _("On the last day of every month")
    WEEKLY = "weekly", _("On days of the week")
    YEARLY = "yearly", _("Every year on a date of the reader (birthday)")
    ON_DATE = "on_date", _("Once, on a date of the reader")


def everyone() -> dict[str, Any]:
    """leads.search.EVERYONE: no filter."""
    return {"match": "all", "blocks": []}


class Story(Counting):
    """ストーリー or 記事 of a magazine (MAG-8). Its content is a MailTemplate of its own; sender and footer are the
    magazine's (mail/stories/content.py). Each start is a SendJob with `story` set."""

    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="stories")
    kind = models.CharField(max_length=5, choices=StoryKind)
    state = models.CharField(max_length=8, choices=StoryState, default=StoryState.DRAFT)
    name = models.CharField(_("Name"), max_length=100)
    template = models.OneToOneField(MailTemplate, on_delete=models.PROTECT, related_name="story")
    # MAG-7: 配信フィルタ, a condition tree as 複合検索 has it; EVERYONE = no filter
    filter = models.JSONField(default=everyone)
    # ---- step: order, interval, time of day
    position = models.PositiveIntegerField(default=0)
    base = models.CharField(max_length=12, choices=StepBase, default=StepBase.REGISTRATION)
    wait_days = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(3650)])
    wait_hours = models.PositiveSmallIntegerField(  # only without a time of day
        default=0, validators=[MaxValueValidator(23)]
    )
    # ---- step (None = as soon as the wait is over) and loop (never None): the time of day, Asia/Tokyo
    at_time = models.TimeField(_("Time of day"), null=True, blank=True)
    # ---- loop
    rule = models.CharField(max_length=10, choices=LoopRule, blank=True, default="")
    # 1..31; a month that has no such day: its last day
    day_of_month = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(31)]
    )
    weekdays = ArrayField(
        models.PositiveSmallIntegerField(), default=list, blank=True
    )  # 0 = Monday … 6 = Sunday
    skip_holidays = models.BooleanField(_("Not on Japanese holidays"), default=False)
    date_item = models.ForeignKey(
        ReaderItem, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    date_offset = models.SmallIntegerField(default=0)  # days: -3 = three days before
    next_at = models.DateTimeField(null=True)  # of a running loop: the next occurrence
    # ----
    running_since = models.DateTimeField(null=True)
    trouble = models.TextField(blank=True, default="")  # why what is due cannot start
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["kind", "position", "id"]
        indexes = [
            models.Index(fields=["magazine", "kind", "position"], name="story_of_magazine"),
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="story_next"),
        ]

    def __str__(self) -> str:
        return self.name


class TurnState(models.TextChoices):
    WAITING = "waiting", pgettext_lazy("turn", "Waiting")
    DECIDED = "decided", pgettext_lazy("turn", "Decided")  # there is a decision row of a job
    SKIPPED = "skipped", pgettext_lazy("turn", "Skipped")  # `why` says so


class SkipWhy(models.TextChoices):
    ADDED_LATER = "added_later", _("The story was added or moved when the reader had passed its place")
    OVERDUE = "overdue", _("Its time was over when the story went on")
    TOO_LATE = "too_late", pgettext_lazy("turn", "Overdue for too long")
    DELETED = "deleted", pgettext_lazy("turn", "The story was deleted")


class StoryTurn(models.Model):
    """Where a reader stands in a magazine's step stories (MAG-8): one row a story that was decided or skipped, and at most
    one that waits, the next. mail/stories/turns.py writes them. Kept when a reader leaves: who comes back gets no story twice."""

    story = models.ForeignKey(Story, on_delete=models.PROTECT, related_name="turns", db_index=False)
    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="+", db_index=False)
    lead = models.ForeignKey(
        Lead, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    state = models.CharField(max_length=8, choices=TurnState, default=TurnState.WAITING, db_default="waiting")
    base_at = models.DateTimeField(null=True)  # what the wait counts from
    due_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    job_id = models.BigIntegerField(null=True)
    why = models.CharField(max_length=12, choices=SkipWhy, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["story", "lead"], name="story_turn_once"),
            models.UniqueConstraint(
                fields=["magazine", "lead"], condition=Q(state="waiting"), name="story_turn_one_waiting"
            ),
        ]
        indexes = [
            models.Index(fields=["story", "due_at"], condition=Q(state="waiting"), name="story_turn_due"),
            models.Index(fields=["magazine", "lead"], name="story_turn_reader"),
            models.Index(fields=["story", "state"], name="story_turn_counts"),
        ]

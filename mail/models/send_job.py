import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign
from leads.models import DmPermission, Lead, SavedSearch
from mail.models.counting import Counting
from mail.models.template import MailTemplate, Purpose, TemplateSnapshot


class RecipientRule(models.TextChoices):
    """TGT-1 「送信者指定方法」: exactly two values."""

    BY_USER = "by_user", _("By user")
    BY_SEARCH = "by_search", _("By search")


class JobState(models.TextChoices):
    """mail/send_jobs.py holds every allowed change of state."""

    DRAFT = "draft", _("Draft")  # a wizard run that is not confirmed yet
    RESERVED = "reserved", _("Reserved")
    PREPARING = "preparing", _("Preparing")  # from 30 minutes before the start (RSV-2)
    RESOLVING = "resolving", _("Deciding recipients")
    SENDING = "sending", _("Sending")
    PAUSED = "paused", _("Paused")
    HALTED = "halted", _("Halted")  # cannot go on until somebody acts; halt_reason says why
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")
    DELETED = "deleted", _("Reservation deleted")


WAITING = (JobState.RESERVED, JobState.PREPARING)
RUNNING = (JobState.RESOLVING, JobState.SENDING)
FINISHED = (JobState.DONE, JobState.STOPPED, JobState.DELETED)


def default_dm_permissions() -> list[str]:
    return [DmPermission.WANTED.value]


class SendJob(Counting):
    """One run of the send wizard (or of `manage.py send`). Times are stored, counts come from the deliveries."""

    rule = models.CharField(max_length=10, choices=RecipientRule)
    # The campaign in whose mode it was made: only its applicants are in scope. None = all campaigns.
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.PROTECT, related_name="jobs", editable=False
    )
    # A start of a magazine's story (TGT-10): decided at the start as by search, among the magazine's readers.
    magazine = models.ForeignKey(
        "mail.Magazine",
        null=True,
        on_delete=models.PROTECT,
        related_name="jobs",
        editable=False,
        db_index=False,
    )
    story = models.ForeignKey(
        "mail.Story", null=True, on_delete=models.PROTECT, related_name="jobs", editable=False, db_index=False
    )
    occurrence_at = models.DateTimeField(
        null=True
    )  # the time it was planned for: a story starts once at each
    state = models.CharField(max_length=10, choices=JobState, default=JobState.DRAFT)
    # RSV-5: one wizard run is one row, made once per token.
    token = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    template = models.ForeignKey(MailTemplate, null=True, on_delete=models.PROTECT, related_name="jobs")
    snapshot = models.ForeignKey(TemplateSnapshot, null=True, on_delete=models.PROTECT)
    purpose = models.CharField(
        max_length=12, choices=Purpose, default=Purpose.ADVERTISING
    )  # the template's at the start
    search = models.ForeignKey(SavedSearch, null=True, on_delete=models.SET_NULL)
    # TGT-8: the condition as it was, even if the saved search was changed or deleted since.
    search_name = models.CharField(max_length=100, blank=True, default="")
    condition = models.JSONField(null=True)
    dm_permissions = ArrayField(
        models.CharField(max_length=10, choices=DmPermission), default=default_dm_permissions
    )
    unwanted_confirmed = models.BooleanField(default=False)  # OPT-4: the second confirmation was given
    include_sent = models.BooleanField(default=False)
    skip_duplicates = models.BooleanField(null=True)  # EXC-3 as it was when the recipients were decided
    scheduled_at = models.DateTimeField(null=True)  # None = at once
    reserved_at = models.DateTimeField(null=True)  # when the wizard was confirmed
    decided_at = models.DateTimeField(
        null=True
    )  # when the decision rows were written (by user: at reservation)
    started_at = models.DateTimeField(null=True)  # TGT-10 配信開始時刻: when its processing really began
    finished_at = models.DateTimeField(null=True)
    halt_reason = models.TextField(blank=True, default="")
    heartbeat_at = models.DateTimeField(null=True)  # of the process that resolves it
    known_urls = models.JSONField(null=True)  # the countable URLs of the template when they were chosen from
    # TRK-5: {"gone": [urls], "new": [urls]} between the reservation and the start; None = nothing was counted
    links_changed = models.JSONField(null=True)
    counts = models.JSONField(default=dict)  # {"state": {...}, "reason": {...}} as last counted
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["story", "occurrence_at"],
                condition=Q(story__isnull=False),
                name="job_story_occurrence",
            )
        ]
        indexes = [
            models.Index(
                fields=["magazine", "-id"], condition=Q(magazine__isnull=False), name="job_magazine"
            ),
            models.Index(
                fields=["scheduled_at"], condition=Q(state__in=["reserved", "preparing"]), name="job_due"
            ),
            models.Index(
                fields=["state"],
                condition=Q(state__in=["resolving", "sending", "paused", "halted"]),
                name="job_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class SendJobLead(models.Model):
    """A ticked lead of a by-user job (TGT-2): the fixed list."""

    job = models.ForeignKey(SendJob, on_delete=models.CASCADE, related_name="ticked")
    lead = models.ForeignKey(Lead, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "lead"], name="job_lead_unique")]

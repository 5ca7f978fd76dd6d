import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.models import Campaign
from leads.models import DmPermission, Lead, SavedSearch
from mail.models.counting import Counting
from mail.models.send_job import default_dm_permissions
from mail.models.template import MailTemplate


class StepOrigin(models.TextChoices):
    """STEP-3: what starts the wait. Inside a campaign an application, among all campaigns a tracked page view."""

    APPLICATION = "application", _("Application to the campaign")
    PAGE_VIEW = "page_view", _("View of a tracked page")


class StepState(models.TextChoices):
    DRAFT = "draft", _("Being set up")
    ACTIVE = "active", _("In operation")
    STOPPED = "stopped", _("Stopped")  # what waits stays and is decided when it goes on again
    DELETED = "deleted", _("Deleted")  # what waited ended with that reason; the history stays


class StepMail(Counting):
    """「ステップメール」: from an origin on, wait, then decide and send (STEP-1..6). mail/step_mail.py changes it."""

    name = models.CharField(_("Name"), max_length=100)
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.PROTECT, related_name="step_mails", editable=False
    )
    origin = models.CharField(_("Origin"), max_length=12, choices=StepOrigin)
    # PAGE_VIEW: the address without its query; * stands for anything (mail/url_patterns.py).
    url_pattern = models.CharField(_("URL of the page"), max_length=1000, blank=True, default="")
    state = models.CharField(max_length=10, choices=StepState, default=StepState.DRAFT)
    # One run of its set-up is one row, however often it is posted (as RSV-5).
    token = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    search = models.ForeignKey(SavedSearch, null=True, on_delete=models.PROTECT, related_name="+")  # STEP-2
    template = models.ForeignKey(MailTemplate, null=True, on_delete=models.PROTECT, related_name="+")
    wait_minutes = models.PositiveIntegerField(default=0)  # 「起点から__日__時間__分後に送信」
    dm_permissions = ArrayField(
        models.CharField(max_length=10, choices=DmPermission), default=default_dm_permissions
    )
    unwanted_confirmed = models.BooleanField(default=False)  # OPT-4
    include_sent = models.BooleanField(default=False)  # STEP-5 「送信済の人も含めて送信する」
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Only origins from here on count: set when it is put into operation (again).
    active_since = models.DateTimeField(null=True)
    trouble = models.TextField(blank=True, default="")  # why what is due cannot go (template archived …)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class WaitState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    DECIDED = (
        "decided",
        pgettext_lazy("wait", "Decided"),
    )  # there is a delivery, queued or excluded with its reason
    STOPPED = "stopped", _("Stopped")  # never came to a decision; reason says why


class StepWait(models.Model):
    """One origin of one lead, waiting for its time: a row, found by its due time (STEP-6, TGT-12)."""

    step_mail = models.ForeignKey(StepMail, on_delete=models.PROTECT, related_name="waits")
    lead = models.ForeignKey(Lead, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    # The origin: an application's id, or the uid of a page view as a number (tracking/): one origin starts one wait.
    origin_key = models.CharField(max_length=40)
    application_id = models.BigIntegerField(null=True)
    origin_at = models.DateTimeField()
    origin_text = models.CharField(max_length=1000, blank=True, default="")  # the page's address
    due_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=WaitState, default=WaitState.WAITING)
    reason = models.CharField(max_length=24, blank=True, default="")  # of STOPPED: mail.recipients.reasons
    decided_at = models.DateTimeField(null=True)
    delivery_id = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["step_mail", "origin_key"], name="step_wait_once_per_origin")
        ]
        indexes = [
            # By step mail: what waits for one that is stopped is not looked through every two seconds.
            models.Index(fields=["step_mail", "due_at"], condition=Q(state="waiting"), name="step_wait_due"),
            models.Index(fields=["step_mail", "state", "reason"], name="step_wait_counts"),
            models.Index(fields=["lead"], name="step_wait_lead"),
            models.Index(
                fields=["application_id"],
                condition=Q(state="waiting", application_id__isnull=False),
                name="step_wait_application",
            ),
        ]

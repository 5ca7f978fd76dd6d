from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from leads.models import Lead
from mail.models.send_job import SendJob
from mail.models.template import MailTemplate, TemplateSnapshot
from mail.recipients.reasons import Reason


class DeliveryState(models.TextChoices):
    """The sending promise, docs/architecture.md: every delivery ends as 正常, エラー, 除外 or 結果不明."""

    RESERVED = "reserved", _("Reserved")  # decided at reservation (by user), waits for the job's start
    QUEUED = "queued", _("Waiting to be sent")
    DEFERRED = "deferred", _("Waiting to be retried")
    CLAIMED = "claimed", _("Connecting")
    HANDING_OVER = "handing_over", _("Handing over")
    SENT = "sent", _("Sent")  # 正常
    ERROR = "error", _("Error")
    UNKNOWN = "unknown", _("Outcome unknown")
    EXCLUDED = "excluded", _("Not sent")


OPEN = (DeliveryState.QUEUED, DeliveryState.DEFERRED, DeliveryState.CLAIMED, DeliveryState.HANDING_OVER)


class DeliveryKind(models.TextChoices):
    WIZARD = "wizard", _("Send wizard")
    TEST = "test", _("Test send")
    SINGLE = "single", _("Single mail")
    ALERT = "alert", _("Message to administrators")  # without a lead
    STEP = "step", _("Step mail")
    MAGAZINE = "magazine", _("Magazine mail")
    AUTOMATIC = "automatic", _("Automatic mail")  # of a campaign or my page; to staff: without a lead


class Cause(models.TextChoices):
    """ERR-5, MAG-4: why a mail failed, for thresholds. Derived from code, enhanced status and words in one place,
    mail/bounces/cause.py. Hard are only no_mailbox, no_host, moved and not_accepted."""

    NO_MAILBOX = "no_mailbox", _("No such mailbox")
    NO_HOST = "no_host", _("No such domain or host")
    MOVED = "moved", _("The mailbox has moved")
    NOT_ACCEPTED = "not_accepted", _("The host accepts no mail")
    FULL = "full", _("Mailbox full")
    REFUSED = "refused", _("Refused (spam, policy)")
    SIZE = "size", _("Mail too large")
    TEMPORARY = "temporary", _("Server trouble or temporary")
    OURS = "ours", _("Our own configuration or reputation")
    OTHER = "other", _("Other")


class Delivery(models.Model):
    """One mail to one lead, and at the same time the decision row of TGT-12: one for every lead in scope."""

    # Without foreign key constraints in the database: their triggers cost 3 of 5 seconds for 200,000 rows, and the rows
    # are made by one statement out of these very tables. Leads, jobs and templates are never really deleted.
    job = models.ForeignKey(
        SendJob,
        null=True,
        on_delete=models.PROTECT,
        related_name="deliveries",
        db_constraint=False,
        db_index=False,
    )
    lead = models.ForeignKey(
        Lead,
        null=True,
        on_delete=models.PROTECT,
        related_name="deliveries",
        db_constraint=False,
        db_index=False,
    )
    kind = models.CharField(max_length=10, choices=DeliveryKind, default=DeliveryKind.WIZARD)
    # The campaign in whose mode it was sent: its history shows it, its merge fields are meant. None = all campaigns.
    campaign_id = models.BigIntegerField(null=True)
    # Of automatic mails: which one (mail/mail_kinds.py) and the application it is about.
    mail_kind = models.CharField(max_length=40, blank=True, default="", db_default="")
    application_id = models.BigIntegerField(null=True)
    step_mail_id = models.BigIntegerField(null=True)  # of kind step
    # Merge values known only when it was decided (a login link, what was changed); they go before the lead's.
    given_values = models.JSONField(null=True)
    template = models.ForeignKey(
        MailTemplate,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    state = models.CharField(max_length=12, choices=DeliveryState)
    # ---- the decision and the rule's values at that moment (TGT-12)
    reason = models.CharField(max_length=24, choices=Reason, blank=True, default="")
    decided_at = models.DateTimeField()
    address = models.CharField(
        max_length=320, blank=True, default=""
    )  # as it was then; refreshed at the start
    dm_permission = models.CharField(max_length=10, blank=True, default="")
    email_valid = models.BooleanField(default=True)
    registration = models.CharField(max_length=12, blank=True, default="")
    unsubscribed_at = models.DateTimeField(null=True)
    reader_state = models.CharField(max_length=14, blank=True, default="", db_default="")  # of magazine mail
    # duplicate address: the lead that was chosen; already sent: the earlier delivery
    related_id = models.BigIntegerField(null=True)
    # ---- the way out (mail/delivery/)
    next_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    # envelope addresses that took the mail while others of it still wait (several receivers' servers): not again
    accepted = ArrayField(models.CharField(max_length=320), default=list, db_default=[])
    # How often a person chose to send it once more (ERR-4 結果不明, "retry the failed ones").
    again = models.PositiveSmallIntegerField(default=0, db_default=0)
    original_id = models.BigIntegerField(null=True)  # RES-1: the delivery a single mail repeats
    first_attempt_at = models.DateTimeField(null=True)
    token = models.BigIntegerField(null=True)  # the fence: of the claim that holds the row
    lease_until = models.DateTimeField(null=True)
    snapshot = models.ForeignKey(
        TemplateSnapshot, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False
    )
    merge_values = models.JSONField(
        null=True
    )  # RSV-4: with the snapshot and sent_at, the mail can be made again
    subject = models.CharField(max_length=1000, blank=True, default="")  # as sent
    sent_at = models.DateTimeField(null=True)  # of the intent, just before the final dot
    # ---- the result (ERR-1..5)
    code = models.PositiveIntegerField(null=True)
    enhanced_status = models.CharField(max_length=12, blank=True, default="")
    reply = models.TextField(blank=True, default="")  # the receiving server's own words
    remote_host = models.CharField(max_length=255, blank=True, default="")
    failed_address = models.CharField(max_length=320, blank=True, default="")  # ADDR-4
    cause = models.CharField(
        max_length=12, choices=Cause, blank=True, default="", db_default=""
    )  # ERR-5, of an error
    result_at = models.DateTimeField(null=True)

    last_attempt: bool  # no column: set on rows that mail/delivery/claim.py returns

    class Meta:
        ordering = ["-id"]
        constraints = [
            # A lead is addressed at most once per job, whatever runs twice (RSV-5).
            models.UniqueConstraint(
                fields=["job", "lead"], condition=Q(job__isnull=False), name="delivery_once_per_job"
            ),
            models.CheckConstraint(
                condition=~Q(state="excluded") | ~Q(reason=""), name="delivery_excluded_has_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["job", "state", "reason"], name="delivery_counts"),
            models.Index(fields=["lead", "-id"], name="delivery_lead"),
            models.Index(fields=["template", "lead"], name="delivery_template"),  # EXC-2: already sent
            models.Index(
                fields=["campaign_id", "-id"],
                condition=Q(campaign_id__isnull=False),
                name="delivery_campaign",
            ),
            models.Index(
                fields=["application_id", "mail_kind"],
                condition=Q(application_id__isnull=False),
                name="delivery_application",
            ),
            models.Index(
                fields=["step_mail_id", "state", "reason"],
                condition=Q(step_mail_id__isnull=False),
                name="delivery_step",
            ),
            models.Index(fields=["-id"], condition=Q(kind="automatic"), name="delivery_automatic"),
            # failures that mail/magazines/failures.py has to count
            models.Index(
                fields=["result_at"],
                condition=Q(kind="magazine", state="error"),
                name="delivery_magazine_failed",
            ),
            # test mails, single mails and alerts are few beside the wizard's
            models.Index(
                fields=["-id"], condition=Q(kind__in=["test", "single", "alert"]), name="delivery_other_kinds"
            ),
            # the history by period: rows come in the order of time, so a block range index of a few pages is enough
            BrinIndex(fields=["decided_at"], name="delivery_decided"),
            # the working set: tiny beside the ledger
            models.Index(
                fields=["job", "next_at"], condition=Q(state__in=["queued", "deferred"]), name="delivery_due"
            ),
            models.Index(
                fields=["lease_until"],
                condition=Q(state__in=["claimed", "handing_over"]),
                name="delivery_leased",
            ),
        ]


class DeliveryEvent(models.Model):
    """What happened to one delivery on its way: attempts, replies, retries, sweeps, bounces, people's acts."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    what = models.CharField(max_length=30)  # deferred, error, sent, unknown, swept, bounced, excluded
    code = models.PositiveIntegerField(null=True)
    enhanced_status = models.CharField(max_length=12, blank=True, default="")
    text = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["delivery", "at"], name="delivery_event")]

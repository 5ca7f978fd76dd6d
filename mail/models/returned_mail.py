"""What came back: one row a returned mail, whatever it was and whatever it changed."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail.models.delivery import Cause


class ReturnedKind(models.TextChoices):
    FAILURE = "failure", _("Failure report")
    COMPLAINT = "complaint", _("Complaint (reported as spam)")
    DELAYED = "delayed", _("Report of a delay")
    REPORT = "report", _("Report of a delivery")
    RECEIPT = "receipt", _("Read receipt")
    AUTO_REPLY = "auto_reply", _("Automatic reply")
    OTHER = "other", _("Reply or other mail")
    EMPTY_MAIL = "empty_mail", _("Empty mail for a registration")  # MAG-13
    UNSIGNED = "unsigned", _("Not for an address of ours")


class ReturnedNote(models.TextChoices):
    """Why a report changed nothing."""

    STALE = "stale", _("Too old: the mail was handed over more than 90 days ago")
    KNOWN = "known", _("The failure was known already")
    NOT_SENT = "not_sent", _("The mail was not handed over")
    LOOP = "loop", _("A forwarded report that came back")
    OTHER_ADDRESS = "other", _("Not the lead's own address")
    # of an empty mail
    AUTOMATIC = "automatic", _("Sent by a machine or a mailing list")
    SENDER = "sender", _("It does not say clearly from whom it is")
    CLOSED = "closed", _("The magazine takes no registrations by empty mail")
    LARGE = "large", _("Too large for an empty mail")
    TOO_OFTEN = "too_often", _("Too many from this address or server")


class ReturnedSource(models.TextChoices):
    LISTENER = "listener", _("Listener (SMTP, LMTP)")
    PIPE = "pipe", pgettext_lazy("a Unix pipe", "Pipe")
    MAILBOX = "mailbox", _("Mailbox (IMAP)")


class ReturnedMail(models.Model):
    """A bounce, a complaint, an auto-reply … as the intake took it. `digest` makes taking it twice harmless."""

    at = models.DateTimeField(default=timezone.now)
    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of recipient and message
    kind = models.CharField(max_length=12, choices=ReturnedKind)
    source = models.CharField(max_length=10, choices=ReturnedSource, blank=True, default="", db_default="")
    reporter = models.CharField(max_length=255, blank=True, default="", db_default="")  # who says so
    delivery_id = models.BigIntegerField(null=True, db_index=True)
    lead_id = models.BigIntegerField(null=True)
    job_id = models.BigIntegerField(null=True)
    recipients = models.JSONField(default=list)  # [{address, action, status, diagnostic, cause, hard}]
    cause = models.CharField(max_length=12, choices=Cause, blank=True, default="")
    hard = models.BooleanField(_("Hard bounce"), default=False)
    changed = models.BooleanField(default=False)
    note = models.CharField(max_length=10, choices=ReturnedNote, blank=True, default="", db_default="")
    # more mails of this kind for the same delivery (or none) that were counted here instead of stored: floods
    further = models.PositiveIntegerField(default=0, db_default=0)
    # ADDR-5: where it is to go on to ("" = nowhere), when it went, and the mail itself until then
    forward_to = models.CharField(max_length=320, blank=True, default="")
    forward_next_at = models.DateTimeField(null=True)  # when it is tried (again); null = nothing to do
    forward_attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    forward_error = models.CharField(max_length=300, blank=True, default="", db_default="")
    forwarded_at = models.DateTimeField(null=True)
    raw = models.BinaryField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["job_id", "kind"], condition=Q(job_id__isnull=False), name="returned_job"),
            models.Index(fields=["lead_id", "-id"], condition=Q(lead_id__isnull=False), name="returned_lead"),
            models.Index(fields=["at"], condition=Q(delivery_id__isnull=True), name="returned_nobodys"),
            models.Index(
                fields=["forward_next_at"],
                condition=Q(forward_next_at__isnull=False),
                name="returned_to_forward",
            ),
            models.Index(
                fields=["forward_to", "forwarded_at"], condition=~Q(forward_to=""), name="returned_forwarded"
            ),
        ]

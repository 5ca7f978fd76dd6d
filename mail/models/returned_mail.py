"""What came back: one row a returned mail, whatever it was and whatever it changed."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mail.models.delivery import Cause


class ReturnedMail(models.Model):
    """A bounce, a complaint, an auto-reply … as the intake took it. `digest` makes taking it twice harmless."""

    at = models.DateTimeField(default=timezone.now)
    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of recipient and message
    # failure, delayed, report, auto_reply, complaint, other, unsigned, unreadable, too_large
    kind = models.CharField(max_length=12)
    delivery_id = models.BigIntegerField(null=True, db_index=True)
    lead_id = models.BigIntegerField(null=True)
    recipients = models.JSONField(default=list)  # [{address, action, status, diagnostic, cause, hard}]
    cause = models.CharField(max_length=12, choices=Cause, blank=True, default="")
    hard = models.BooleanField(_("Hard bounce"), default=False)
    changed = models.BooleanField(default=False)
    # ADDR-5: where it is to go on to ("" = nowhere), when it went, and the mail itself until then
    forward_to = models.CharField(max_length=320, blank=True, default="")
    forwarded_at = models.DateTimeField(null=True)
    raw = models.BinaryField(null=True)

    class Meta:
        ordering = ["-id"]

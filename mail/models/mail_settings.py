from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign
from mail.models.template import MailTemplate


class MailSettings(models.Model):
    """NAV-2 「メール設定」: the defaults of one kind of mail. New templates start from the kind `template`."""

    kind = models.CharField(max_length=40)
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.CASCADE, related_name="mail_settings", editable=False
    )  # None: of the all-campaign mode
    enabled = models.BooleanField(_("Send this mail"), default=True)
    # The mail itself, for automatic kinds; None = the text that comes with the product (mail/automatic_texts.py).
    template = models.ForeignKey(
        MailTemplate, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("Template")
    )  # fmt: skip
    # What only some kinds have, e.g. of the reminder {"days_before": 1, "at": "10:00"}.
    options = models.JSONField(default=dict, blank=True, db_default={})
    from_address = models.CharField(_("Sender e-mail address"), max_length=320, blank=True, default="")
    from_name = models.CharField(_("Sender name"), max_length=100, blank=True, default="")
    cc = models.CharField(_("CC"), max_length=1000, blank=True, default="")
    bcc = models.CharField(_("BCC"), max_length=1000, blank=True, default="")
    reply_to = models.CharField(_("Reply-To"), max_length=1000, blank=True, default="")
    errors_to = models.CharField(_("Errors to"), max_length=320, blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "campaign"], name="mail_settings_once", nulls_distinct=False
            )
        ]

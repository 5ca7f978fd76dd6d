from django.db import models
from django.utils.translation import gettext_lazy as _


class MailSettings(models.Model):
    """NAV-2 「メール設定」: the defaults of one kind of mail. New templates start from the kind `template`."""

    kind = models.CharField(max_length=40, unique=True)
    enabled = models.BooleanField(_("Send this mail"), default=True)
    from_address = models.CharField(_("Sender e-mail address"), max_length=320, blank=True, default="")
    from_name = models.CharField(_("Sender name"), max_length=100, blank=True, default="")
    cc = models.CharField(_("CC"), max_length=1000, blank=True, default="")
    bcc = models.CharField(_("BCC"), max_length=1000, blank=True, default="")
    reply_to = models.CharField(_("Reply-To"), max_length=1000, blank=True, default="")
    errors_to = models.CharField(_("Errors to"), max_length=320, blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)

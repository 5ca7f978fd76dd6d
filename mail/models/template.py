from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign


class MailForm(models.TextChoices):
    TEXT = "text", _("Text")
    HTML = "html", _("HTML")
    MULTIPART = "multipart", _("Multipart")


class Charset(models.TextChoices):
    UTF_8 = "utf-8", "UTF-8"
    ISO_2022_JP = "iso-2022-jp", "ISO-2022-JP"


class Purpose(models.TextChoices):
    """OPT-4. Only 事務連絡 may reach people who do not want mail."""

    ADVERTISING = "advertising", _("Advertising")
    NOTICE = "notice", _("Business notice (no advertising)")


class MailTemplate(models.Model):
    """メールテンプレート. Archived, never deleted: jobs and histories point to it."""

    name = models.CharField(_("Template name"), max_length=200)
    # The campaign whose mode it belongs to; None = all campaigns.
    campaign = models.ForeignKey(
        Campaign, null=True, blank=True, on_delete=models.PROTECT, related_name="templates", editable=False
    )
    # The content of one story of a magazine (Story.template): no template of the send wizard, and in none of its lists.
    magazine = models.ForeignKey(
        "mail.Magazine", null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    subject = models.CharField(_("Subject"), max_length=300)
    form = models.CharField(_("Form"), max_length=10, choices=MailForm, default=MailForm.MULTIPART)
    purpose = models.CharField(_("Purpose"), max_length=12, choices=Purpose, default=Purpose.ADVERTISING)
    charset = models.CharField(_("Character set"), max_length=12, choices=Charset, default=Charset.UTF_8)
    to = models.CharField(_("To"), max_length=1000, default="{{ メールアドレス }}")
    from_address = models.CharField(_("Sender e-mail address"), max_length=320)
    from_name = models.CharField(_("Sender name"), max_length=100, blank=True, default="")
    cc = models.CharField(_("CC"), max_length=1000, blank=True, default="")
    bcc = models.CharField(_("BCC"), max_length=1000, blank=True, default="")
    reply_to = models.CharField(_("Reply-To"), max_length=1000, blank=True, default="")
    errors_to = models.CharField(_("Errors to"), max_length=320, blank=True, default="")
    text_body = models.TextField(_("Text"), blank=True, default="")
    html_body = models.TextField(_("HTML"), blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-updated_at", "-id"]

    def __str__(self) -> str:
        return self.name


class TemplateAttachment(models.Model):
    """A file of a template; in the database, because web and workers may be on different hosts."""

    template = models.ForeignKey(MailTemplate, on_delete=models.CASCADE, related_name="attachments")
    file_name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["id"]


class TemplateSnapshot(models.Model):
    """A template as it was when a job started (RSV-1, RSV-4): what was really sent can be shown for ever.

    `content` holds the template's fields and attachments; equal content is stored once (`digest`, SHA-256 hex).
    """

    digest = models.CharField(max_length=64, unique=True)
    content = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

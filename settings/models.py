"""What the 設定 tab stores: users, system settings, the audit log. Always `from settings.models import …`."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """SYS-1. What each role may do is in settings/permissions.py."""

    PRIVILEGED = "privileged", _("Privileged administrator")
    CAMPAIGN = "campaign", _("Campaign administrator")
    VIEWER = "viewer", _("Viewer")


class User(AbstractUser):
    """Someone who logs in. `username` is the login id, `name` what the screens show."""

    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    name = models.CharField(_("Name"), max_length=100)
    role = models.CharField(_("Role"), max_length=20, choices=Role, default=Role.VIEWER)
    language = models.CharField(
        _("Language"), max_length=2, choices=[("ja", "日本語"), ("en", "English")], default="ja"
    )

    REQUIRED_FIELDS = ["name"]

    def __str__(self) -> str:
        return self.name or self.username

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)

    @property
    def may_edit(self) -> bool:
        return self.role in {Role.PRIVILEGED, Role.CAMPAIGN}

    @property
    def may_administer(self) -> bool:
        return self.role == Role.PRIVILEGED


class SystemSetting(models.Model):
    """One changed setting of 「システム設定一覧」; types, defaults and texts are in settings/system_settings.py."""

    key = models.CharField(max_length=100, primary_key=True)
    value = models.JSONField()
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)


class AuditEntry(models.Model):
    """SYS-2: who did what to whom. Written by settings.audit.record, never changed."""

    at = models.DateTimeField(auto_now_add=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    user_name = models.CharField(max_length=150)  # stays readable when the user is gone
    action = models.CharField(max_length=60)
    target_type = models.CharField(max_length=40, blank=True)
    target_id = models.CharField(max_length=40, blank=True)
    target_label = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict)
    ip = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_target"),
            models.Index(fields=["action", "-id"], name="audit_action"),
        ]

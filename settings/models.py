"""What the 設定 tab stores: users, system settings, the audit log. Always `from settings.models import …`."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
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

    @property
    def only_own_campaigns(self) -> bool:
        return self.role == Role.CAMPAIGN


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


class Tls(models.TextChoices):
    """How mail travels to a receiver (RFC 3207, RFC 7435)."""

    OPPORTUNISTIC = "opportunistic", _("When offered")
    REQUIRED = "required", _("Required")
    NEVER = "never", _("Never")


class DomainRule(models.Model):
    """RATE-1 「配信速度」: a changed or added speed rule. The defaults stand in mail/delivery/speed_rules.py; a row with
    the `key` of one replaces it, a row without a key is a rule of one's own. Limits hold per source IP."""

    key = models.CharField(max_length=40, unique=True, null=True, blank=True)  # "google", …, "general"
    name = models.CharField(_("Name"), max_length=100)
    domains = ArrayField(models.CharField(max_length=253), default=list, blank=True)  # of recipients
    exchangers = ArrayField(
        models.CharField(max_length=253), default=list, blank=True
    )  # suffixes of MX hosts
    connections = models.PositiveSmallIntegerField(_("Connections at the same time"), default=10)
    mails_per_connection = models.PositiveIntegerField(_("Mails per connection"), default=100)
    mails_per_minute = models.PositiveIntegerField(
        _("Mails per minute"), null=True, blank=True
    )  # None: no limit
    tls = models.CharField(_("Encryption (TLS)"), max_length=15, choices=Tls, default=Tls.OPPORTUNISTIC)
    # ERR-3, per destination; None: the system setting
    retry_interval_minutes = models.PositiveIntegerField(_("Retry interval (minutes)"), null=True, blank=True)
    retry_period_hours = models.PositiveIntegerField(_("Retry period (hours)"), null=True, blank=True)
    # "": as the system (SMP_RELAY or straight to the MX) · "mx" · host:port of a relay
    route = models.CharField(_("Route"), max_length=260, blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["name", "id"]


class SourceIp(models.Model):
    """RATE-3: an address of ours that mail goes out from. Without any, the operating system chooses."""

    address = models.GenericIPAddressField(_("IP address"), unique=True)
    hostname = models.CharField(_("Host name (PTR, HELO)"), max_length=253, blank=True, default="")
    pool = models.CharField(_("Pool"), max_length=40, default="default")
    enabled = models.BooleanField(_("In use"), default=True)
    # From this day on it is warmed up, a daily limit per site that grows; None: warm already.
    warmup_started_on = models.DateField(_("Warm-up since"), null=True, blank=True)
    note = models.CharField(_("Note"), max_length=200, blank=True, default="")

    class Meta:
        ordering = ["pool", "address"]


class ApiKey(models.Model):
    """API-1: a key for programs. Only its hash is kept; `prefix` is its beginning, to tell keys apart."""

    class Scope(models.TextChoices):
        LEADS_READ = "leads:read", _("Read leads")
        LEADS_WRITE = "leads:write", _("Write leads (visitor.put)")
        APPLICATIONS_READ = "applications:read", _("Read applications")
        APPLICATIONS_WRITE = "applications:write", _("Apply (application.post)")
        MAIL_READ = "mail:read", _("Read jobs and mails")

    name = models.CharField(_("Name"), max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(
        max_length=64
    )  # SHA-256 hex of the whole key: it has 160 random bits of its own
    scopes = ArrayField(models.CharField(max_length=30, choices=Scope), default=list)
    expires_at = models.DateTimeField(_("Valid until"), null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)  # to the minute
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

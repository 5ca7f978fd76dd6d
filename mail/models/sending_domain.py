"""RATE-4, RATE-5, LAW-3 「送信ドメイン」: domains we send as, their DKIM keys, what DNS said when last asked."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class SendingDomain(models.Model):
    """A domain of From addresses. `name` is lower-case A-labels; subdomains of it count too (relaxed alignment)."""

    name = models.CharField(_("Domain"), max_length=253, unique=True)
    # Pools of source IPs (settings.models.SourceIp.pool) by purpose; reputations of the two are kept apart.
    advertising_pool = models.CharField(_("Source IP pool for advertising"), max_length=40, default="default")
    notice_pool = models.CharField(_("Source IP pool for business notices"), max_length=40, default="default")
    # The last live check as mail/domain_checks.py made it: {"items": [{key, state, ...}], ...}
    check_result = models.JSONField(default=dict)
    checked_at = models.DateTimeField(null=True)
    # RATE-5: an administrator lets advertising out although nothing aligns
    override_reason = models.TextField(blank=True, default="")
    override_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    override_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class KeyState(models.TextChoices):
    """Rotation: publish → wait → sign with it → keep the old one published → revoke."""

    WAITING = "waiting", _("Waiting to be published")
    ACTIVE = "active", _("Signing")
    RETIRING = "retiring", _("No longer signing, stays published")
    REVOKED = "revoked", _("Revoked")


class DkimKey(models.Model):
    """A DKIM key of a sending domain (RFC 6376, RFC 8463). At most one key of an algorithm signs."""

    domain = models.ForeignKey(SendingDomain, on_delete=models.CASCADE, related_name="keys")
    selector = models.CharField(_("Selector"), max_length=63)
    algorithm = models.CharField(
        max_length=8, choices=[("rsa", "RSA-2048"), ("ed25519", "Ed25519")], default="rsa"
    )
    private_key = models.BinaryField()  # PKCS#8, encrypted with a key derived from SMP_SECRET_KEY
    public_key = models.TextField()  # base64, the p= of its record
    state = models.CharField(max_length=8, choices=KeyState, default=KeyState.WAITING)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["domain", "selector"], name="dkim_selector_once"),
            models.UniqueConstraint(
                fields=["domain", "algorithm"], condition=models.Q(state="active"), name="dkim_one_active"
            ),
        ]

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from leads.models import Lead


class MyPageAccount(models.Model):
    """APP-4: the login of one lead. Made at the first login or when a password is set."""

    lead = models.OneToOneField(Lead, on_delete=models.PROTECT, related_name="my_page")
    password = models.CharField(max_length=128, blank=True, default="")  # hashed; "" = login by link only
    # Part of every session cookie: raised when the password or the address changes, and old sessions end.
    version = models.PositiveIntegerField(default=1)
    last_login_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)


class MyPageRequest(models.Model):
    """Somebody asked for a login link or a new password for an address. The page only writes this row, whoever the
    address belongs to; the tick sends the mail, so nobody learns from the answer or its time who is known."""

    class Kind(models.TextChoices):
        LOGIN = "login", _("Login link")
        PASSWORD = "password", _("New password")

    kind = models.CharField(max_length=10, choices=Kind)
    address = models.CharField(max_length=320)
    address_norm = models.CharField(max_length=320, db_collation="C")
    language = models.CharField(max_length=2, default="ja")
    ip = models.GenericIPAddressField(null=True)
    at = models.DateTimeField(default=timezone.now)
    handled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=models.Q(handled_at=None), name="my_page_request_due"),
            models.Index(fields=["address_norm", "at"], name="my_page_request_address"),
        ]


class AddressChange(models.Model):
    """A new address entered on my page; it counts once the mail to it was confirmed."""

    lead = models.ForeignKey(Lead, on_delete=models.PROTECT, related_name="address_changes")
    address = models.CharField(max_length=320)
    requested_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)
    ip = models.GenericIPAddressField(null=True)

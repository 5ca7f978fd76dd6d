from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from tracking.models.mail_hit import Seen


class TrackedSite(models.Model):
    """A site whose pages carry the script. Its key stands in the script's tag; views of other hosts are not taken."""

    name = models.CharField(_("Name"), max_length=100)
    domain = models.CharField(_("Domain"), max_length=255, unique=True)  # A-labels, with :port if it has one
    subdomains = models.BooleanField(_("Subdomains too"), default=True)
    key = models.CharField(max_length=20, unique=True, editable=False)
    # No cookie, no view before the visitor said yes on the site (WEB-1): window.smpTrack.consent(true)
    consent_required = models.BooleanField(_("Ask the site for consent first"), default=True)
    active = models.BooleanField(_("In use"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["domain"]

    def __str__(self) -> str:
        return self.name


class Visitor(models.Model):
    """A browser, by the anonymous id its cookie holds."""

    uid = models.UUIDField(unique=True)
    lead_id = models.BigIntegerField(null=True)  # whose browser it is now
    linked_at = models.DateTimeField(null=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["lead_id"], name="visitor_lead", condition=models.Q(lead_id__isnull=False))
        ]


class IdentifiedBy(models.TextChoices):
    """WEB-1: the moments. The first three prove who is there; a link may have been forwarded (WEB-2)."""

    APPLICATION = "application", _("Application completed")
    CONFIRMATION = "confirmation", _("Address confirmed")
    MY_PAGE_LOGIN = "my_page_login", _("My page login")
    CLICK = "click", _("Click on a counted URL")
    MY_PAGE_URL = "my_page_url", _("My page opened by a mail's URL")


class Identification(models.Model):
    """A moment at which somebody told who they are; also those that changed nothing, with the reason."""

    visitor = models.ForeignKey(Visitor, on_delete=models.CASCADE, related_name="identifications")
    lead_id = models.BigIntegerField()
    at = models.DateTimeField()
    how = models.CharField(max_length=16, choices=IdentifiedBy)
    linked = models.BooleanField()  # False: the browser belongs to another lead already (WEB-2)
    before_id = models.BigIntegerField(null=True)  # the lead it belonged to before
    delivery_id = models.BigIntegerField(null=True)  # of the mail whose link it was
    views = models.IntegerField(default=0)  # earlier views that were linked by it
    once = models.CharField(max_length=40, unique=True, null=True)  # a link's pass identifies one browser

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["lead_id", "-at"], name="identification_lead")]


class PageView(Seen):
    """A view of a tracked page."""

    visitor = models.ForeignKey(Visitor, on_delete=models.CASCADE, db_constraint=False, related_name="views")
    site = models.ForeignKey(TrackedSite, on_delete=models.PROTECT, db_constraint=False, related_name="+")
    lead_id = models.BigIntegerField(null=True)  # whose view it is; None = nobody known yet
    linked_at = models.DateTimeField(null=True)  # when that became known, if after the view
    url = models.CharField(max_length=2000)
    title = models.CharField(max_length=300, blank=True, default="")
    referrer = models.CharField(max_length=1000, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["lead_id", "-at"], name="page_view_lead", condition=models.Q(lead_id__isnull=False)
            ),
            models.Index(fields=["visitor", "-at"], name="page_view_visitor"),
            BrinIndex(fields=["at"], name="page_view_at"),
        ]

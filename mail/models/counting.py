from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign


class Counting(models.Model):
    """What a mailing counts (TRK-1, TRK-2): 「Emailクリックカウント」 and what 「クリックカウントURL指定」 chose."""

    count_clicks = models.BooleanField(_("E-mail click count"), default=False, db_default=False)
    count_opens = models.BooleanField(_("Measure the open rate"), default=False, db_default=False)
    # [{"url": as it is written in the template, "name": …}]; None = the page was not filled in yet.
    counted_urls = models.JSONField(null=True)

    class Meta:
        abstract = True


class CountedUrl(models.Model):
    """「クリックカウントURL一覧」: a URL as templates write it, with a name. Links in mails carry its id and a delivery's, so
    `url` never changes once it is stored, and a row is never deleted (TRK-6); it is archived."""

    # The mode it belongs to; None = all campaigns.
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    url = models.TextField(_("Target URL"))  # may have merge fields behind its host
    digest = models.CharField(
        max_length=64, editable=False
    )  # SHA-256 hex of url: long URLs cannot be indexed
    name = models.CharField(_("URL name"), max_length=200)
    memo = models.TextField(_("Memo"), blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "digest"], name="counted_url_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return self.name

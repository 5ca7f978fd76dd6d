"""RATE-2: how the mails of a job fare at each receiving domain, and the brake."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from mail.models.send_job import SendJob


class JobDomain(models.Model):
    """The newest results of one job at one domain, since its start or since somebody last pressed 「送信を続ける」, counted
    as they come in; old ones fade (mail/delivery/brake.py). While `braked_at` is set and `released_at` is not, nothing
    more of the job goes there."""

    job = models.ForeignKey(SendJob, on_delete=models.CASCADE, related_name="domains")
    domain = models.CharField(max_length=253)  # lower-case A-labels
    sent = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    ours = models.PositiveIntegerField(
        default=0, db_default=0
    )  # of the failed: our configuration or reputation
    braked_at = models.DateTimeField(null=True)
    # The most frequent answer at the time it braked, in the receiver's own words.
    reply = models.TextField(blank=True, default="", db_default="")
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "domain"], name="job_domain_once")]
        indexes = [
            # Asked for at every claim; a job may have tens of thousands of domains, and hardly ever a braked one.
            models.Index(
                fields=["job"],
                condition=Q(braked_at__isnull=False, released_at__isnull=True),
                name="job_domain_braked",
            )
        ]

"""RATE-2: how the mails of a job fare at each receiving domain, and the brake."""

from django.conf import settings
from django.db import models

from mail.models.send_job import SendJob


class JobDomain(models.Model):
    """Results of one job at one domain, counted as they come in (mail/delivery/brake.py). While `braked_at` is set and
    `released_at` is not, nothing more of the job goes to the domain."""

    job = models.ForeignKey(SendJob, on_delete=models.CASCADE, related_name="domains")
    domain = models.CharField(max_length=253)
    sent = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    braked_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "domain"], name="job_domain_once")]

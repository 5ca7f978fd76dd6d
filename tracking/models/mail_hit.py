from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _


class HitKind(models.TextChoices):
    OPEN = "open", _("Mail opened")
    CLICK = "click", _("Link clicked")


class Verdict(models.TextChoices):
    """TRK-4, tracking/judge.py: rates and searches count people only."""

    PERSON = "person", _("Person")
    MACHINE = "machine", _("Machine")


class Seen(models.Model):
    """What is kept of a request, as it came (hostile), and what tracking/judge.py makes of it. The facts are written
    once and never changed; verdict and evidence are written anew by `manage.py judge_hits`."""

    uid = models.UUIDField(unique=True)  # made when it was answered: flushed twice, stored once
    at = models.DateTimeField()  # when it was answered
    ip = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=400, blank=True, default="")
    # How it was asked: {"method": "HEAD", "purpose": "prefetch", "dest": "image", "accept": …}, empty ones left out
    hints = models.JSONField(default=dict)
    verdict = models.CharField(max_length=7, choices=Verdict, default=Verdict.PERSON)
    evidence = ArrayField(models.CharField(max_length=24), default=list)  # codes of tracking/judge.py

    class Meta:
        abstract = True


class MailHit(Seen):
    """An opened or clicked mail. Ids without constraints: the row is a fact of its own, however the rest changes."""

    kind = models.CharField(max_length=5, choices=HitKind)
    delivery_id = models.BigIntegerField()
    url_id = models.BigIntegerField(null=True)  # of a click: mail.CountedUrl
    # From the delivery, so that reports and searches read this table only.
    lead_id = models.BigIntegerField(null=True)
    job_id = models.BigIntegerField(null=True)
    step_mail_id = models.BigIntegerField(null=True)
    campaign_id = models.BigIntegerField(null=True)
    seconds = models.IntegerField(null=True)  # since the mail was sent

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["job_id", "kind"], name="mail_hit_job", condition=models.Q(job_id__isnull=False)
            ),
            models.Index(
                fields=["step_mail_id", "kind"],
                name="mail_hit_step",
                condition=models.Q(step_mail_id__isnull=False),
            ),
            models.Index(fields=["lead_id", "-at"], name="mail_hit_lead"),
            models.Index(fields=["delivery_id"], name="mail_hit_delivery"),
            models.Index(
                fields=["url_id", "lead_id"], name="mail_hit_url", condition=models.Q(url_id__isnull=False)
            ),
            BrinIndex(fields=["at"], name="mail_hit_at"),
        ]

from django.db import models


class RefusedHit(models.Model):
    """A hit that could not be stored, as it came: kept, so that nothing is lost and nothing else is held up.
    `manage.py flush_hits --refused` tries all of them again."""

    digest = models.CharField(max_length=64, unique=True)  # SHA-256 hex of data: sent twice, kept once
    data = models.BinaryField()
    reason = models.TextField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.models.campaign import Campaign


class ItemSource(models.TextChoices):
    LEAD = "lead", _("Lead item")  # `field` is a name of leads.edit.FIELDS
    COLUMN = "column", _("Added item")  # `field` is a LeadColumn's id
    QUESTION = "question", _("Question of this campaign")  # answers stand in Application.answers


class QuestionType(models.TextChoices):
    TEXT = "text", _("One line")
    LONG = "long", _("Several lines")
    CHOICE = "choice", _("One of several (buttons)")
    SELECT = "select", _("One of several (list)")
    MULTIPLE = "multiple", _("Several of several")
    NUMBER = "number", _("Number")
    DATE = "date", _("Date")
    AGREEMENT = "agreement", _("Agreement (tick box)")


class FormItem(models.Model):
    """One item of a campaign's form (campaigns/form_items.py). An answered question is retired, never deleted."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="form_items")
    source = models.CharField(max_length=10, choices=ItemSource)
    field = models.CharField(max_length=40, blank=True, default="")
    label = models.CharField(_("Label"), max_length=200, blank=True, default="")  # "": that of the lead item
    label_en = models.CharField(_("Label (English)"), max_length=200, blank=True, default="")
    help = models.CharField(_("Help"), max_length=500, blank=True, default="")
    help_en = models.CharField(_("Help (English)"), max_length=500, blank=True, default="")
    type = models.CharField(_("Type"), max_length=10, choices=QuestionType, blank=True, default="")
    # [{"key": "a1", "label": "製造", "label_en": "Manufacturing"}]: answers keep the key, labels may change
    choices = models.JSONField(_("Choices"), default=list, blank=True)
    required = models.BooleanField(_("Required"), default=False)
    position = models.PositiveIntegerField(default=0)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "source", "field"],
                condition=~models.Q(source="question") & models.Q(retired_at=None),
                name="form_item_once",
            )
        ]

    def __str__(self) -> str:
        return self.label or self.field

    @property
    def key(self) -> str:
        """The key in Application.answers."""
        return str(self.pk)

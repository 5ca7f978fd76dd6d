"""送信結果 as people ask for it: five groups of delivery states."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from mail.models.delivery import OPEN, DeliveryState


class ResultGroup(models.TextChoices):
    SENT = "sent", _("Sent")  # 正常
    ERROR = "error", _("Error")
    UNKNOWN = "unknown", _("Outcome unknown")
    EXCLUDED = "excluded", _("Excluded")
    WAITING = "waiting", _("Waiting")

    @property
    def states(self) -> tuple[DeliveryState, ...]:
        if self is ResultGroup.WAITING:
            return (DeliveryState.RESERVED, *OPEN)
        return (DeliveryState(self.value),)


# EXC-2 "already sent", as in recipients/resolve.sql: on its way, handed over, or outcome unknown.
SENT_OR_ON_ITS_WAY = (*OPEN, DeliveryState.SENT, DeliveryState.UNKNOWN)

# In lists of deliveries, beside the groups: everyone the decision addressed, whatever became of the mail.
ADDRESSED = "addressed"

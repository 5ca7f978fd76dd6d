"""What mail/ tells other apps. Receivers must be quick and may be told the same thing twice; nobody waits for them."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.dispatch import Signal

logger = logging.getLogger(__name__)

# Sent after the commit with `failures`, a list of Failure: mails refused at the hand-over, given up, or bounced later.
delivery_failed = Signal()


@dataclass(frozen=True)
class Failure:
    """One mail that ended as エラー. `cause`: mail.models.delivery.Cause; `sent_at`: when it was handed over (or, for a
    mail refused before that, when it was refused), the time by which failures are ordered (FLAG-1)."""

    delivery_id: int
    lead_id: int | None
    cause: str
    hard: bool
    sent_at: datetime | None


def announce(failures: Iterable[Failure]) -> None:
    """Sends `delivery_failed` once the present transaction is committed (at once when there is none). A receiver that
    fails is logged and disturbs neither the others nor the result that was recorded."""
    told = list(failures)
    if told:
        transaction.on_commit(lambda: _send(told))


def _send(failures: list[Failure]) -> None:
    for receiver, answer in delivery_failed.send_robust(sender=Failure, failures=failures):
        if isinstance(answer, Exception):
            logger.error("%s failed for %s failures", receiver, len(failures), exc_info=answer)

"""Telling the workers that there is something to do. A hint may be lost: the beat tick finds the work anyway."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def hint(task: str, *ids: int, expires: float = 60) -> None:
    """Publishes a task by name with ids only. A broker that is away is logged, never raised."""
    try:
        current_app.send_task(task, args=list(ids), expires=expires, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("no hint for %s %s: the broker does not answer (%s)", task, ids, error)

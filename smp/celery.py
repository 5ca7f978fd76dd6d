"""The Celery application. Tasks live in each app's tasks.py; what they promise is in docs/architecture.md."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_shutdown, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smp.settings")
app = Celery("smp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _tell_children(**_about: Any) -> None:
    """In the worker's main process, at SIGTERM. Its children get no signal: what they hand over would go on for long."""
    from mail.delivery.stopping import stop

    stop()


def _drain(**_about: Any) -> None:
    """In a child: answers that are still awaited are recorded, claims given back."""
    from mail.delivery.engine import shut_down

    shut_down()


worker_shutting_down.connect(_tell_children)
worker_process_shutdown.connect(_drain)

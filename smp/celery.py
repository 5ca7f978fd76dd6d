"""The Celery application. Tasks live in each app's tasks.py; what they promise is in docs/architecture.md."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smp.settings")
app = Celery("smp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

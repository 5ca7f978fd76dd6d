"""Wiring: settings, URLs, Celery, the home page, the demo. No rules live here."""

from smp.celery import app as celery_app

__all__ = ["celery_app"]

"""Celery's doors to leads/. Messages are hints that carry ids: they may come twice, late or never."""

import logging

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from leads.imports.steps import commit_import, forget_old_files, imports_to_take_up, stage_import
from leads.models import LeadImport

log = logging.getLogger(__name__)


@shared_task
def run_import(lead_import_id: int) -> None:
    """Whatever the import's next step is; nothing if somebody else is at it or did it."""
    lead_import = LeadImport.objects.filter(pk=lead_import_id).first()
    if lead_import is None:
        return
    if lead_import.state == LeadImport.State.COMMITTING:
        commit_import(lead_import)
        lead_import.refresh_from_db()  # other columns of the users' own than at the check: it is checked again
    if lead_import.state in {LeadImport.State.UPLOADED, LeadImport.State.CHECKING}:
        stage_import(lead_import)


def kick_import(lead_import_id: int) -> None:
    """Starts the next step at once instead of at a later beat. Without a broker the beat does it when it is back."""
    try:
        run_import.delay(lead_import_id)
    except (OperationalError, ConnectionError) as error:
        log.warning("import %s waits for the beat: %s", lead_import_id, error)


def take_up_imports() -> int:
    """For the beat: starts imports that have no worker, forgets files whose time is over. The number started."""
    now = timezone.now()
    waiting = imports_to_take_up(now)
    for lead_import_id, _state in waiting:
        kick_import(lead_import_id)
    forget_old_files(now)
    return len(waiting)

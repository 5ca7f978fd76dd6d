"""SYS-2: what staff do with applications. What applicants do themselves stands in the application's own times."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from campaigns.models import Application, ApplicationState
from settings import audit
from settings.audit import Target, register_action, register_detail, register_target
from settings.models import User


def register() -> None:
    """From AppConfig.ready()."""
    register_action("application.create", _("Registered on someone's behalf"))
    register_action("application.change", _("Application changed by staff"))
    register_action("application.cancel", _("Application cancelled by staff"))
    register_action("application.move_up", _("Moved up from the waiting list by hand"))
    register_action("application.export", _("Applications exported"))
    register_target(Target("application", _("Application"), "application", Application))
    register_detail("applications", _("Applications"))
    register_detail("state", _("State"), ApplicationState.choices)


def record_audit(
    action: str,
    application: Application,
    *,
    user: User | None,
    ip: str | None,
    now: datetime,
    state: str = "",
    changes: Mapping[str, Any] | None = None,
) -> None:
    detail: dict[str, Any] = {"at": now.isoformat(), "campaign": str(application.campaign)}
    if state:
        detail["state"] = str(state)
    if changes:
        detail["changes"] = dict(changes)
    label = f"{application.lead} ({application.code})"
    audit.record(action, user=user, target=application, target_label=label, detail=detail, ip=ip)

"""SYS-2: the audit log. One function writes it."""

from typing import Any

from django.db.models import Model

from settings.models import AuditEntry, User


def record(
    action: str,
    *,
    user: User | None,
    target: Model | None = None,
    detail: dict[str, Any] | None = None,
    ip: str | None = None,
) -> AuditEntry:
    """Writes who did what to whom. `action` is `noun.verb` (lead.edit, job.stop, setting.change);
    `user` None means the system or a command; `detail` must be JSON. Call it inside the change's transaction."""
    return AuditEntry.objects.create(
        action=action,
        user=user,
        user_name=str(user) if user else "system",
        target_type=target._meta.model_name if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target_label=str(target)[:200] if target is not None else "",
        detail=detail or {},
        ip=ip,
    )

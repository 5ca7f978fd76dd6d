"""The sessions of a campaign: adding, changing, ordering and deleting them. The only module that writes Session."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from campaigns.campaign_values import SESSION, check_session_order, clean_values
from campaigns.models import Campaign, CheckIn, Session
from campaigns.seats import lock_campaign
from campaigns.waiting_list import move_up
from settings import audit
from settings.models import User

FIELDS = tuple(SESSION)
SESSIONS_MAX = 200


def save_session(
    campaign: Campaign,
    values: Mapping[str, Any],
    *,
    session: Session | None = None,
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> Session:
    """A new last session, or a changed one. `values`: names of FIELDS, typed; what is left out keeps its value.
    ValidationError by field. Fewer seats than are taken is allowed: nobody loses one. More move the waiting list up."""
    given = dict(values)
    if session is None:
        given.setdefault("title", "")
    cleaned = clean_values(given, SESSION)
    with transaction.atomic():
        locked = lock_campaign(campaign.pk)
        if session is None:
            if locked.sessions.count() >= SESSIONS_MAX:
                raise ValidationError(
                    _("A campaign can have at most %(limit)s sessions.") % {"limit": SESSIONS_MAX}
                )
            last = locked.sessions.aggregate(last=Max("position"))["last"] or 0
            saved = Session(campaign=locked, position=last + 1)
        else:
            saved = locked.sessions.get(pk=session.pk)
        before = {name: getattr(saved, name) for name in cleaned}
        for name, value in cleaned.items():
            setattr(saved, name, value)
        check_session_order(saved.starts_at, saved.ends_at)
        changes = {
            name: [_plain(before[name]), _plain(value)]
            for name, value in cleaned.items()
            if before[name] != value
        }
        if session is not None and not changes:
            return saved
        saved.save()
        _record("session.edit" if session else "session.create", saved, user, now, ip, changes)
        if session is not None and "capacity" in changes:
            move_up(locked, now=now)
        if session is not None and "capacity" in changes:
            move_up(locked, now=now)
    return saved


def delete_session(session: Session, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """ValidationError while somebody chose it or was checked in to it."""
    with transaction.atomic():
        locked = lock_campaign(session.campaign_id)
        doomed = locked.sessions.get(pk=session.pk)
        if reason := why_not_deleted(doomed):
            raise ValidationError(reason, code="in_use")
        _record("session.delete", doomed, user, now, ip, {})
        doomed.delete()


def why_not_deleted(session: Session) -> str:
    """Why it must stay; "" when it can go. Who cancelled had chosen it too: what was chosen is kept."""
    if chosen := session.chosen.count():
        return _("%(count)s applications chose this session, cancelled ones included. It stays.") % {
            "count": f"{chosen:,}"
        }
    if CheckIn.objects.filter(session=session).exists():
        return _("People were checked in to this session. It stays.")
    return ""


def move_session(
    session: Session, *, up: bool, user: User | None, now: datetime, ip: str | None = None
) -> bool:
    """One place up or down; False at the end of the list. Positions are numbered anew, whatever they were."""
    with transaction.atomic():
        sessions = list(lock_campaign(session.campaign_id).sessions.all())
        old = [other.pk for other in sessions].index(session.pk)
        new = old - 1 if up else old + 1
        if not 0 <= new < len(sessions):
            return False
        sessions[old], sessions[new] = sessions[new], sessions[old]
        for position, other in enumerate(sessions, start=1):
            other.position = position
        Session.objects.bulk_update(sessions, ["position"])
        _record("session.move", session, user, now, ip, {"position": [old + 1, new + 1]})
    return True


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _record(
    action: str,
    session: Session,
    user: User | None,
    now: datetime,
    ip: str | None,
    changes: Mapping[str, list[Any]],
) -> None:
    audit.record(
        action,
        user=user,
        target=session,
        ip=ip,
        detail={"at": now.isoformat(), "campaign": str(session.campaign), "changes": dict(changes)},
    )

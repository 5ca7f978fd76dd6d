"""An administrator's edit of one reader (MAG-2, MAG-6, MAG-9)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from leads.models import ConsentRecord
from mail.magazines import blacklist
from mail.magazines.locks import hold
from mail.magazines.reader_parts import lock_reader, note, set_values, start_anew
from mail.models import Magazine, Reader, ReaderChange, ReaderItem, ReaderState
from mail.models.magazine import ReaderWay
from mail.refused import Refused
from settings import audit
from settings.models import User
from smp.lib.deadlocks import again_after_deadlock

What = ReaderChange.What
Evidence = ConsentRecord.Evidence


def blacklisted_text() -> str:
    return _(
        "This address left the magazine, so administrators do not register it again (blacklist). The person can register "
        "themselves by the form. If an administrator had stopped them, take the address off on the blacklist page; or "
        "switch the blacklist off in the basic settings."
    )


@again_after_deadlock
def change_reader(
    reader: Reader,
    values: Mapping[str, Any],
    *,
    state: str,
    reset_failures: bool,
    user: User | None,
    now: datetime,
    ip: str | None = None,
    seen_at: datetime | None = None,
) -> Reader:
    """An administrator's edit. MAG-6: failures stay unless `reset_failures`; what was sent before a reset never counts again,
    however late its report comes. `seen_at`: updated_at of what they had before their eyes.
    Refused("changed"), ("gone"), ("state"), ("blacklisted")."""
    with transaction.atomic():
        magazine = hold(reader.magazine_id)
        current = lock_reader(magazine, reader.lead_id)
        if current is None or current.pk != reader.pk:
            raise Refused("gone", _("This reader was removed meanwhile."))
        if seen_at is not None and current.updated_at != seen_at:
            raise Refused(
                "changed",
                _("Somebody changed this reader meanwhile. Look at the present values, then save again."),
            )
        before = current.state
        if state != before:
            _change_state(magazine, current, state, now=now)
        by: dict[str, Any] = {
            "way": ReaderWay.ADMIN,
            "at": now,
            "evidence": Evidence.ADMIN,
            "user": user,
            "ip": ip,
        }
        changes = set_values(current, values)
        told: dict[str, Any] = {}
        if reset_failures:
            failures = start_anew(current, now=now)
            told["failures_reset"] = sum(failures.values())
            note(
                magazine, current.lead_id, What.FAILURES_RESET, before=before, after=before,
                detail={"failures": failures}, **by,
            )  # fmt: skip
        if state != before:
            told["changes"] = {"reader_state": [before, state]}
            note(magazine, current.lead_id, What.STATE, before=before, after=state, **by)
        if changes:
            labels = {item.key: item.label for item in ReaderItem.objects.filter(magazine=magazine)}
            words = {labels.get(key, key): change for key, change in changes.items()}
            told["changes"] = told.get("changes", {}) | words
            detail = {"changes": changes}
            note(magazine, current.lead_id, What.EDITED, before=state, after=state, detail=detail, **by)
        if told:
            current.updated_at = now
            current.save()
            detail = {"at": now.isoformat()} | told
            audit.record("reader.edit", user=user, target=current, detail=detail, ip=ip)
    return current


def _change_state(magazine: Magazine, reader: Reader, state: str, *, now: datetime) -> None:
    norm = reader.lead.email_norm
    if state == ReaderState.DELIVERABLE:
        if magazine.blacklist and blacklist.is_blacklisted(magazine, norm):
            raise Refused("blacklisted", blacklisted_text())
        blacklist.take_off(magazine, [norm])
    elif state == ReaderState.STOPPED:
        blacklist.put(magazine, [norm], own_act=False, now=now)
    else:
        raise Refused("state", _("Only failed deliveries stop a reader by errors."))
    reader.state, reader.state_at = state, now

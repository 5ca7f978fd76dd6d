"""Readers (MAG-1, MAG-2, MAG-6, MAG-9): who registers, leaves, is changed. With reader_edit.py, many_readers.py (many at once),
failures.py, outage.py, lead_merge.py and imports/ the only writers. Every change leaves a ReaderChange with its cause and evidence (OPT-10).

    nobody ─register→ deliverable ⇄ stopped            leave: stopped, or removed, as the magazine says
                      deliverable → error_stopped → deliverable (change_reader, register, an outage taken back)

Blacklist (MAG-9): whoever leaves, is stopped or removed is put on it. While it is on, no administrator makes such an address
deliverable again. It comes off by the person's own proved registration, and when an administrator makes it deliverable while
the blacklist is off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from leads.consent import lift_unsubscription
from leads.edit import change_lead
from leads.flags import Way
from leads.merge import survivor_of
from leads.models import ConsentRecord, Lead, Registration
from mail.magazines import blacklist
from mail.magazines.locks import hold, lock_leads
from mail.magazines.many_readers import remove, stop
from mail.magazines.reader_edit import blacklisted_text, change_reader
from mail.magazines.reader_leads import find_readers, lead_for
from mail.magazines.reader_parts import forget_failures, lock_lead, lock_reader, note, set_values, start_anew
from mail.models import (
    LeaveDoes,
    Magazine,
    Reader,
    ReaderChange,
    ReaderState,
)
from mail.models.magazine import OWN_WAYS, ReaderWay
from mail.refused import Refused
from mail.stories.turns import plan_turns
from settings import audit
from settings.models import User
from smp.lib.deadlocks import again_after_deadlock

__all__ = [
    "Outcome", "Registered", "blacklisted_text", "change_reader", "find_readers", "lead_for", "leave", "register",
    "remove", "stop",
]  # fmt: skip

What = ReaderChange.What
Evidence = ConsentRecord.Evidence
LEAVING = {
    ReaderWay.FORM: Evidence.OPT_OUT_FORM,
    ReaderWay.EMPTY_MAIL: Evidence.OPT_OUT_FORM,
    ReaderWay.ONE_CLICK: Evidence.ONE_CLICK,
    ReaderWay.COMPLAINT: Evidence.COMPLAINT,
}


class Outcome(StrEnum):
    NEW = "new"
    RETURNED = "returned"  # was stopped
    ALREADY = "already"  # was deliverable; the values were taken over
    REFUSED = "refused"  # by the blacklist: an administrator's way only
    # Somebody typed an address that left, is stopped, or is 配信停止 as a lead, without proving that it is theirs: nothing
    # was written. Ask for the proof, whatever the magazine's double opt-in says.
    UNPROVED = "unproved"


@dataclass(frozen=True)
class Registered:
    reader: Reader | None
    outcome: Outcome


@again_after_deadlock
def register(
    magazine: Magazine,
    lead: Lead,
    *,
    way: str,
    now: datetime,
    values: Mapping[str, Any] | None = None,
    evidence: str,
    source: str = "",
    user: User | None = None,
    ip: str | None = None,
    proved: bool = False,
) -> Registered:
    """Makes the lead a reader, or deliverable again. `proved`: the owner of the address answered from it (double opt-in,
    the link that follows an empty mail); only that brings back who left or is 配信停止, and it starts the failures anew: the
    mail arrived. `values`: {ReaderItem.key: value} as items.clean_values gives them; only those that are to be set;
    of who is a reader already they are taken over only from staff or with the proof. Refused("archived"), Refused("deleted")."""
    own = way in OWN_WAYS
    with transaction.atomic():
        magazine = hold(magazine.pk)
        if magazine.archived_at is not None:
            raise Refused("archived", _("This magazine is archived: nobody can be registered."))
        current = lock_lead(lead)
        reader = lock_reader(magazine, current.pk)
        state = reader.state if reader else ""
        on_list = blacklist.is_blacklisted(magazine, current.email_norm)
        stopped = state not in {"", ReaderState.DELIVERABLE}
        if own and not proved and (on_list or stopped or current.unsubscribed_at is not None):
            return Registered(reader, Outcome.UNPROVED)
        by: dict[str, Any] = {
            "way": way, "at": now, "evidence": evidence, "source": source[:300], "user": user, "ip": ip,
        }  # fmt: skip
        if not own and on_list and magazine.blacklist and state != ReaderState.DELIVERABLE:
            note(magazine, current.pk, What.REFUSED, before=state, after=state, **by)
            return Registered(reader, Outcome.REFUSED)
        if own and proved:
            current = _proved(magazine, current, way=way, evidence=evidence, source=source, ip=ip, now=now)
        if on_list and (proved or not magazine.blacklist):
            blacklist.take_off(magazine, [current.email_norm])
        trusted = proved or not own or reader is None  # a stranger changes nothing of a known reader
        if reader is None:
            reader = Reader(magazine=magazine, lead=current, way=way, registered_at=now, state_at=now)
        changes = set_values(reader, values or {}) if trusted else {}
        if stopped and own:
            had = start_anew(reader, now=now)
            same = {"before": state, "after": state, "detail": {"failures": had}}
            note(magazine, current.pk, What.FAILURES_RESET, **same, **by)
        if stopped:
            if state == ReaderState.STOPPED:  # step stories count from here, not from years ago
                reader.registered_at = now
            reader.state, reader.state_at = ReaderState.DELIVERABLE, now
        reader.updated_at = now
        reader.save()
        detail: dict[str, Any] = {"changes": changes} if changes else {}
        if state != ReaderState.DELIVERABLE or (own and proved):  # consent given again is evidence too
            note(magazine, current.pk, What.REGISTERED, before=state, after=reader.state, detail=detail, **by)
        elif changes:
            note(magazine, current.pk, What.EDITED, before=state, after=state, detail=detail, **by)
        if state != ReaderState.DELIVERABLE:
            plan_turns(magazine.pk, lead_ids=[current.pk], now=now)
        if user is not None:
            audit.record("reader.register", user=user, target=reader, detail={"at": now.isoformat()}, ip=ip)
    outcome = {"": Outcome.NEW, ReaderState.DELIVERABLE.value: Outcome.ALREADY}.get(state, Outcome.RETURNED)
    return Registered(reader, outcome)


@again_after_deadlock
def leave(
    magazine: Magazine,
    lead: Lead,
    *,
    way: str,
    now: datetime,
    source: str = "",
    ip: str | None = None,
    delivery_id: int | None = None,
) -> bool:
    """The reader's own act (MAG-2), for every reader of this magazine with the lead's address (EXC-4): stopped, or removed, as
    the magazine says, and on the blacklist. Idempotent; False when nothing changed. A merged lead's survivor leaves, with the
    addresses of all who were merged into it: the mail may have gone to one of those."""
    if way not in OWN_WAYS:
        raise ValueError(f"{way} is no act of the reader")
    lead = survivor_of(lead.pk) or lead
    with transaction.atomic():
        magazine = hold(magazine.pk)
        norm = Lead.objects.values_list("email_norm", flat=True).get(pk=lead.pk)
        same = Q(pk=lead.pk) | (Q(email_norm=norm, deleted_at=None) if norm else Q())
        leads = lock_leads(Lead.objects.filter(same).values_list("pk", flat=True))
        readers = list(
            Reader.objects.select_for_update(no_key=True)
            .filter(magazine=magazine, lead__in=[one.pk for one in leads])
            .order_by("pk")
        )
        norms = {norm, *(one.email_norm for one in leads), *_absorbed(lead)}
        news = blacklist.put(magazine, norms, own_act=True, now=now)
        by: dict[str, Any] = {
            "way": way, "at": now, "evidence": LEAVING[ReaderWay(way)], "source": source[:300], "ip": ip,
            "delivery_id": delivery_id,
        }  # fmt: skip
        removes = magazine.leave_does == LeaveDoes.REMOVE
        leaving = [one for one in readers if removes or one.state != ReaderState.STOPPED]
        for reader in leaving:
            what, after = (What.REMOVED, "") if removes else (What.STATE, ReaderState.STOPPED.value)
            note(magazine, reader.lead_id, what, before=reader.state, after=after, **by)
        ids = [reader.pk for reader in leaving]
        if removes:
            forget_failures(magazine, [reader.lead_id for reader in leaving], now=now)
            Reader.objects.filter(pk__in=ids).delete()
            plan_turns(magazine.pk, lead_ids=[reader.lead_id for reader in leaving], now=now)
        else:
            Reader.objects.filter(pk__in=ids).update(state=ReaderState.STOPPED, state_at=now, updated_at=now)
        if news and not leaving:  # an administrator had stopped or removed them; now they say so themselves
            state = next((one.state for one in readers if one.lead_id == lead.pk), "")
            note(magazine, lead.pk, What.STATE, before=state, after=state, **by)
    return bool(leaving or news)


def _absorbed(lead: Lead) -> set[str]:
    """The addresses of the leads that were merged into this one."""
    norms: set[str] = set()
    found = list(Lead.objects.filter(merged_into=lead).values_list("pk", "email_norm"))
    while found:
        norms.update(norm for _pk, norm in found)
        merged = Lead.objects.filter(merged_into__in=[pk for pk, _norm in found])
        found = list(merged.values_list("pk", "email_norm"))
    return norms


def _proved(
    magazine: Magazine, lead: Lead, *, way: str, evidence: str, source: str, ip: str | None, now: datetime
) -> Lead:
    """The address is the person's: 本登録, and no 配信停止 keeps from them what they ask for. It ends for this magazine only:
    the others, which it kept from them until now, they have left (OPT-7)."""
    if lead.registration == Registration.PROVISIONAL:
        full = {"registration": Registration.FULL.value}
        lead = change_lead(lead, full, way=Way.MAGAZINE, now=now, source=source, evidence=evidence, ip=ip)
    if lift_unsubscription(lead, evidence=evidence, source=source, ip=ip, now=now):
        others = Reader.objects.select_for_update(of=("self",), no_key=True).select_related("magazine")
        others = others.filter(lead=lead).exclude(magazine=magazine).exclude(state=ReaderState.STOPPED)
        for reader in others.order_by("pk"):
            blacklist.put(reader.magazine, [lead.email_norm], own_act=True, now=now)
            note(
                reader.magazine, lead.pk, What.STATE, before=reader.state, after=ReaderState.STOPPED.value, way=way, at=now,
                evidence=ConsentRecord.Evidence.OPT_OUT_FORM, source=source[:300], ip=ip,
            )  # fmt: skip
            reader.state, reader.state_at, reader.updated_at = ReaderState.STOPPED, now, now
            reader.save(update_fields=["state", "state_at", "updated_at"])
    return lead

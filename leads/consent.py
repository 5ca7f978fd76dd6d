"""Consent (OPT-1, OPT-2, OPT-10): who opted out, who wants mail, and the evidence for both.

配信停止 is set by the recipient's own act alone, and lifted by it (`resubscribe`, of my page; `lift_unsubscription`, when
they register for a magazine and prove their address): no administrator can do either.
"""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from leads.models import ConsentRecord, DmPermission, Lead
from settings import audit
from settings.models import User

# By an administrator's hand these stand for the recipient's own act, so they are no evidence for set_dm_permission.
OWN_ACTS = frozenset(
    {ConsentRecord.Evidence.OPT_OUT_FORM, ConsentRecord.Evidence.ONE_CLICK, ConsentRecord.Evidence.COMPLAINT}
)
UNSUBSCRIBED_REFUSAL = _(
    "This person has unsubscribed. Only they themselves can ask for mail again, so DM permission stays “not wanted”."
)


def unsubscribe(lead: Lead, *, evidence: str, source: str = "", ip: str | None = None, now: datetime) -> bool:
    """OPT-1: sets 配信停止 and DM許可 希望しない in one statement. False (and nothing written) if it was set before:
    the first time stays. However often and however many at once, there is one record: their own act. One that only a
    merge had stopped says so themselves now, and a merge at this moment takes it along (APP-5)."""
    with transaction.atomic():
        changed = Lead.objects.filter(pk=lead.pk, unsubscribed_at=None).update(
            unsubscribed_at=now, dm_permission=DmPermission.UNWANTED, updated_at=now
        )
        if changed:
            old = lead.dm_permission
            lead.unsubscribed_at, lead.dm_permission, lead.updated_at = now, DmPermission.UNWANTED, now
            add_record(
                lead, ConsentRecord.Change.UNSUBSCRIBED, evidence=evidence, source=source, ip=ip, now=now
            )
            changes: dict[str, list[str | None]] = {"unsubscribed_at": [None, now.isoformat()]}
            if old != DmPermission.UNWANTED:
                changes["dm_permission"] = [old, DmPermission.UNWANTED.value]
            detail = {"at": now.isoformat(), "evidence": evidence, "source": source, "changes": changes}
            audit.record("lead.unsubscribe", user=None, target=lead, detail=detail, ip=ip)
        elif evidence != ConsentRecord.Evidence.MERGE and _stopped_by_a_merge(lead):
            add_record(
                lead, ConsentRecord.Change.UNSUBSCRIBED, evidence=evidence, source=source, ip=ip, now=now
            )
        current = Lead.objects.select_related("merged_into").get(pk=lead.pk)
        if current.merged_into is not None:
            return unsubscribe(current.merged_into, evidence=evidence, source=source, ip=ip, now=now)
    return bool(changed)


def _stopped_by_a_merge(lead: Lead) -> bool:
    newest = ConsentRecord.objects.filter(lead=lead).order_by("-at", "-id").first()
    return newest is not None and newest.evidence == ConsentRecord.Evidence.MERGE


def resubscribe(lead: Lead, *, evidence: str, source: str = "", ip: str | None = None, now: datetime) -> bool:
    """The recipient takes 配信停止 back and wants mail: for my page only, where they proved who they are. False (and nothing
    written) if they had not unsubscribed."""
    return _lift(
        lead,
        DmPermission.WANTED,
        ConsentRecord.Change.GRANTED,
        evidence=evidence,
        source=source,
        ip=ip,
        now=now,
    )


def lift_unsubscription(
    lead: Lead, *, evidence: str, source: str = "", ip: str | None = None, now: datetime
) -> bool:
    """The person asked for one magazine, and proved that the address is theirs: 配信停止 ends, because it would keep that
    magazine from them (MAG-12). DM許可 stays 希望しない: they did not ask for the wizard's mail. False (and nothing written)
    if they had not unsubscribed."""
    return _lift(
        lead,
        DmPermission.UNWANTED,
        ConsentRecord.Change.LIFTED,
        evidence=evidence,
        source=source,
        ip=ip,
        now=now,
    )


def _lift(
    lead: Lead,
    permission: DmPermission,
    change: str,
    *,
    evidence: str,
    source: str,
    ip: str | None,
    now: datetime,
) -> bool:
    with transaction.atomic():
        current = Lead.objects.select_for_update().get(pk=lead.pk)
        if current.unsubscribed_at is None or current.deleted_at is not None:
            return False
        since, old = current.unsubscribed_at, current.dm_permission
        Lead.objects.filter(pk=lead.pk).update(unsubscribed_at=None, dm_permission=permission, updated_at=now)
        lead.unsubscribed_at, lead.dm_permission, lead.updated_at = None, permission, now
        add_record(lead, change, evidence=evidence, source=source, ip=ip, now=now)
        changes: dict[str, list[str | None]] = {"unsubscribed_at": [since.isoformat(), None]}
        if old != permission:
            changes["dm_permission"] = [old, permission.value]
        detail = {"at": now.isoformat(), "evidence": evidence, "source": source, "changes": changes}
        audit.record("lead.resubscribe", user=None, target=lead, detail=detail, ip=ip)
    return True


def set_dm_permission(
    lead: Lead,
    permission: str,
    *,
    evidence: str,
    source: str = "",
    user: User | None = None,
    ip: str | None = None,
    now: datetime,
) -> bool:
    """OPT-2: sets DM許可, never 配信停止. False if it was so already. ValidationError for 希望する of somebody who has
    unsubscribed: looked at in the UPDATE itself, because they may do so at this moment."""
    if permission not in DmPermission.values:
        raise ValidationError(_("DM permission must be “wanted” or “not wanted”."))
    if evidence in OWN_ACTS:
        raise ValueError(f"{evidence} is evidence for unsubscribing only")
    with transaction.atomic():
        rows = Lead.objects.filter(pk=lead.pk).exclude(dm_permission=permission)
        if permission == DmPermission.WANTED:
            rows = rows.filter(unsubscribed_at=None)
        changed = rows.update(dm_permission=permission, updated_at=now)
        if changed:
            old, lead.dm_permission, lead.updated_at = lead.dm_permission, permission, now
            add_record(
                lead, change_for(permission), evidence=evidence, source=source, user=user, ip=ip, now=now
            )
            detail = {
                "at": now.isoformat(),
                "evidence": evidence,
                "source": source,
                "changes": {"dm_permission": [old, permission]},
            }
            audit.record("lead.dm_permission", user=user, target=lead, detail=detail, ip=ip)
        elif (
            permission == DmPermission.WANTED
            and Lead.objects.filter(pk=lead.pk).exclude(unsubscribed_at=None).exists()
        ):
            raise ValidationError(UNSUBSCRIBED_REFUSAL, code="unsubscribed")
    return bool(changed)


def change_for(permission: str) -> ConsentRecord.Change:
    return ConsentRecord.Change.GRANTED if permission == DmPermission.WANTED else ConsentRecord.Change.REFUSED


def add_record(
    lead: Lead,
    change: str,
    *,
    evidence: str,
    source: str = "",
    user: User | None = None,
    ip: str | None = None,
    now: datetime,
) -> ConsentRecord:
    """OPT-10: one line of evidence, kept for good."""
    return ConsentRecord.objects.create(
        lead=lead, at=now, change=change, evidence=evidence, source=source[:300], user=user, ip=ip
    )

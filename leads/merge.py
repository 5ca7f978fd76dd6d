"""APP-5: two to ten leads become one, by an administrator's choice of each value; undoable for 30 days.

What belongs to the merged leads goes along: consent here, applications and mails by the movers that campaigns and mail
register. A merged lead stays as a deleted one that points to the survivor, so its opt-out links keep working.

Consent gets stricter, never looser by itself: one who has unsubscribed, or does not want mail, counts for all. The valid
flag belongs to an address: it follows FLAG-3 when the survivor's address changes, and is 無効 as soon as one of the leads
with the address that stays has it 無効 (docs/rules.md, APP-5).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from leads.consent import add_record, change_for, unsubscribe
from leads.edit import CHOICE_FIELDS, TEXT_FIELDS
from leads.flags import Flag, Way, flag_after
from leads.models import ConsentRecord, DmPermission, Lead, LeadMerge
from settings import audit
from settings.models import User
from smp.lib.deadlocks import again_after_deadlock

MOST = 10
UNDO_FOR = timedelta(days=30)
# What is chosen lead by lead; consent and the valid flag have rules of their own.
CHOSEN_FIELDS = ("email", *TEXT_FIELDS, *(name for name in CHOICE_FIELDS if name != "dm_permission"))
_ADDRESS = ("email", "email_norm", "email_malformed", "email_since", "email_valid", "email_failures")
_CONSENT = ("dm_permission", "unsubscribed_at")
_KEPT = tuple(dict.fromkeys((*CHOSEN_FIELDS, *_ADDRESS, *_CONSENT, "extra")))


class MergeRefused(ValueError):
    """A merge, or its undoing, that cannot be done; str() says why, in the active language."""


@dataclass(frozen=True)
class Mover:
    """What an app above does for a merge. All run in its transaction; locks are taken before those of the leads."""

    key: str
    lock: Callable[[Sequence[int]], None]  # lead ids
    move: Callable[[int, Sequence[int], datetime], Any]  # survivor, merged → JSON for `undo`
    undo: Callable[[Any, datetime], None]
    counts: Callable[[Sequence[int]], Mapping[int, list[str]]]  # lead id → "3 applications", for the screen
    # Why this user may not merge these leads (they also belong to other people's campaigns), or None.
    refuses: Callable[[Sequence[int], User], str | None] = lambda lead_ids, user: None


_MOVERS: dict[str, Mover] = {}


def register_mover(mover: Mover) -> None:
    """From AppConfig.ready()."""
    _MOVERS[mover.key] = mover


def what_goes_along(lead_ids: Sequence[int]) -> dict[int, list[str]]:
    """For each lead what would be moved with it, in words; one query an app."""
    found: dict[int, list[str]] = {lead_id: [] for lead_id in lead_ids}
    for mover in _MOVERS.values():
        for lead_id, words in mover.counts(lead_ids).items():
            found[lead_id].extend(words)
    return found


def survivor_of(lead_id: int) -> Lead | None:
    """The lead that stands for this id now: itself, or whom it was merged into. Deleted ones are answered as they are."""
    lead = Lead.objects.filter(pk=lead_id).first()
    while lead is not None and lead.merged_into_id is not None:  # a survivor may have been merged again
        lead = Lead.objects.filter(pk=lead.merged_into_id).first()
    return lead


@again_after_deadlock
def merge(
    survivor_id: int,
    lead_ids: Sequence[int],
    *,
    chosen: Mapping[str, int],
    user: User | None,
    now: datetime,
    loosen: bool = False,
    ip: str | None = None,
) -> LeadMerge:
    """Merges the leads of `lead_ids` (the survivor may be among them) into the survivor.

    `chosen`: {field of CHOSEN_FIELDS or "extra.<column key>": id of the lead whose value is taken}; what is not named is
    the survivor's. `loosen`: the survivor's own 配信停止, DM許可 and valid flag stay, whatever the others have
    (the administrator says so). MergeRefused when it cannot be done; then nothing was written.
    """
    others = [lead_id for lead_id in dict.fromkeys(lead_ids) if lead_id != survivor_id]
    everyone = [survivor_id, *others]
    if not others:
        raise MergeRefused(_("Choose at least two leads to merge."))
    if len(everyone) > MOST:
        raise MergeRefused(_("At most %(limit)s leads can be merged at once.") % {"limit": MOST})
    if not set(chosen.values()) <= set(everyone):
        raise MergeRefused(_("A value was chosen from a lead that is not among these. Choose again."))
    _refuse_other_campaigns(everyone, user)
    with transaction.atomic():
        for mover in _MOVERS.values():
            mover.lock(everyone)
        leads = {lead.pk: lead for lead in _locked(everyone)}
        if len(leads) < len(everyone):
            raise MergeRefused(
                _("One of these leads has been deleted or merged meanwhile. Choose the leads again.")
            )
        survivor = leads[survivor_id]
        before = _values_of(survivor)
        _take_values(survivor, leads, chosen)
        _settle_flag(survivor, leads, before, now=now, loosen=loosen)
        stricter = _settle_consent(survivor, leads, loosen=loosen)
        survivor.updated_at = now
        survivor.save()
        Lead.objects.filter(pk__in=others).update(merged_into=survivor, deleted_at=now, updated_at=now)
        moved: dict[str, Any] = {"leads.consent": _move_consent(survivor_id, others)}
        for mover in _MOVERS.values():
            moved[mover.key] = mover.move(survivor_id, others, now)
        if stricter:
            source = ", ".join(f"#{lead_id}" for lead_id in others)
            evidence = ConsentRecord.Evidence.MERGE
            change = change_for(survivor.dm_permission)
            record = add_record(survivor, change, evidence=evidence, source=source, user=user, ip=ip, now=now)
            moved["leads.consent"]["own"] = record.pk
        values = {"before": before, "after": _values_of(survivor)}
        done = LeadMerge.objects.create(
            survivor=survivor, merged_ids=others, at=now, user=user, values=values, moved=moved
        )
        _audit("lead.merge", done, user=user, ip=ip, loosen=loosen)
    return done


def may_undo(done: LeadMerge, *, now: datetime) -> str | None:
    """None when it can be undone, otherwise why not."""
    if done.undone_at is not None:
        return _("This merge has been undone already.")
    if now - done.at > UNDO_FOR:
        return _("A merge can be undone for 30 days only.")
    if done.survivor.deleted_at is not None:
        return _("The surviving lead has been deleted or merged since. Undo that merge first.")
    # What the later one took and what this one brought are one by now: the rows of a job, a 配信停止 that both had.
    if LeadMerge.objects.filter(survivor=done.survivor_id, undone_at=None, pk__gt=done.pk).exists():
        return _("More leads were merged into this one since. Undo the newest merge first.")
    return None


@again_after_deadlock
def undo(done: LeadMerge, *, user: User | None, now: datetime, ip: str | None = None) -> list[str]:
    """Takes a merge back: the merged leads return with what was theirs, and the survivor's values become those of before,
    except what was changed since. Returns the fields that were left as they are. MergeRefused, or nothing is left out.
    Who unsubscribed since did so for all of them."""
    everyone = [done.survivor_id, *done.merged_ids]
    _refuse_other_campaigns(everyone, user)
    with transaction.atomic():
        for mover in _MOVERS.values():
            mover.lock(everyone)
        leads = {
            lead.pk: lead for lead in Lead.objects.select_for_update().filter(pk__in=everyone).order_by("pk")
        }
        done = LeadMerge.objects.select_for_update(of=("self",)).select_related("survivor").get(pk=done.pk)
        if why := may_undo(done, now=now):
            raise MergeRefused(why)
        survivor = leads[done.survivor_id]
        stopped_since = _stopped_since(done)
        left = _give_values_back(survivor, done.values, keep_consent=stopped_since)
        survivor.updated_at = now
        survivor.save()
        returning = [lead_id for lead_id in done.merged_ids if leads[lead_id].merged_into_id == survivor.pk]
        Lead.objects.filter(pk__in=returning).update(merged_into=None, deleted_at=None, updated_at=now)
        for mover in reversed(_MOVERS.values()):
            if mover.key in done.moved:
                mover.undo(done.moved[mover.key], now)
        _move_consent_back(done.moved["leads.consent"])
        if stopped_since:
            for lead_id in returning:
                evidence, source = ConsentRecord.Evidence.MERGE, f"#{survivor.pk}"
                unsubscribe(leads[lead_id], evidence=evidence, source=source, ip=ip, now=now)
        done.undone_at, done.undone_by = now, user
        done.save(update_fields=["undone_at", "undone_by"])
        _audit("lead.merge_undo", done, user=user, ip=ip, left=left)
    return left


def _refuse_other_campaigns(lead_ids: Sequence[int], user: User | None) -> None:
    if user is None:
        return
    for mover in _MOVERS.values():
        if why := mover.refuses(lead_ids, user):
            raise MergeRefused(why)


def _locked(lead_ids: Sequence[int]) -> list[Lead]:
    return list(Lead.objects.select_for_update().filter(pk__in=lead_ids, deleted_at=None).order_by("pk"))


def _values_of(lead: Lead) -> dict[str, Any]:
    """As JSON holds them."""
    values = {name: getattr(lead, name) for name in _KEPT}
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    } | {"extra": dict(lead.extra)}


def _take_values(survivor: Lead, leads: Mapping[int, Lead], chosen: Mapping[str, int]) -> None:
    for name, lead_id in chosen.items():
        source = leads[lead_id]
        if name.startswith("extra."):
            key = name.removeprefix("extra.")
            survivor.extra.pop(key, None)
            if key in source.extra:
                survivor.extra[key] = source.extra[key]
        elif name in CHOSEN_FIELDS:
            setattr(survivor, name, getattr(source, name))
            if name == "email":
                survivor.email_norm, survivor.email_malformed = source.email_norm, source.email_malformed
        else:
            raise MergeRefused(_("%(field)s cannot be chosen.") % {"field": name})


def _settle_flag(
    survivor: Lead, leads: Mapping[int, Lead], before: Mapping[str, Any], *, now: datetime, loosen: bool
) -> None:
    """FLAG-3 (手動マージ), FLAG-4, FLAG-6; then the stricter flag of those who have the address that stays."""
    flag = flag_after(
        Flag(survivor.email_valid, survivor.email_failures, survivor.email_since), way=Way.MERGE,
        registration=survivor.registration, old_norm=str(before["email_norm"]), new_norm=survivor.email_norm,
        malformed=survivor.email_malformed, now=now,
    )  # fmt: skip
    survivor.email_valid, survivor.email_failures, survivor.email_since = flag
    same = [
        lead for lead in leads.values() if lead.email_norm == survivor.email_norm and lead is not survivor
    ]
    if same and not loosen:
        survivor.email_valid = flag.valid and all(lead.email_valid for lead in same)
        survivor.email_failures = max(flag.failures, *(lead.email_failures for lead in same))
        # Failures counted since then go along with the mails.
        survivor.email_since = min(lead.email_since for lead in (survivor, *same))


@dataclass(frozen=True)
class Consent:
    """What a merge makes of consent: the stricter of all, and what the survivor has alone."""

    unsubscribed_at: datetime | None
    dm_permission: str
    stricter: bool


def expected_consent(survivor: Lead, leads: Sequence[Lead]) -> Consent:
    """For the screen; writes nothing."""
    stopped = [lead.unsubscribed_at for lead in leads if lead.unsubscribed_at is not None]
    unwanted = any(lead.dm_permission == DmPermission.UNWANTED for lead in leads)
    permission = DmPermission.UNWANTED if unwanted else DmPermission.WANTED
    first = min(stopped, default=None)
    own = (survivor.unsubscribed_at, survivor.dm_permission)
    return Consent(first, permission, own != (first, permission))


def _settle_consent(survivor: Lead, leads: Mapping[int, Lead], *, loosen: bool) -> bool:
    """The earliest 配信停止 and any 希望しない count for all. True when the survivor's consent changed."""
    consent = expected_consent(survivor, list(leads.values()))
    if loosen or not consent.stricter:
        return False
    survivor.unsubscribed_at, survivor.dm_permission = consent.unsubscribed_at, consent.dm_permission
    return True


def _move_consent(survivor_id: int, others: Sequence[int]) -> dict[str, Any]:
    records = dict(ConsentRecord.objects.filter(lead_id__in=others).values_list("pk", "lead_id"))
    ConsentRecord.objects.filter(pk__in=records).update(lead_id=survivor_id)
    return {"from": by_lead(records)}


def _move_consent_back(moved: Mapping[str, Any]) -> None:
    """The line the merge itself wrote stays: it happened."""
    for lead_id, records in moved["from"].items():
        ConsentRecord.objects.filter(pk__in=records).update(lead_id=int(lead_id))


def by_lead(rows: Mapping[int, int | None]) -> dict[str, list[int]]:
    """{row id: lead id} → {"lead id": [row ids]}, as JSON keeps it; for movers."""
    found: dict[str, list[int]] = {}
    for row, lead_id in rows.items():
        found.setdefault(str(lead_id), []).append(row)
    return found


def _stopped_since(done: LeadMerge) -> bool:
    """Whether the person unsubscribed themselves after the merge, also where the merge had stopped them already."""
    since = ConsentRecord.objects.filter(lead=done.survivor_id, at__gte=done.at)
    own_acts = since.filter(change=ConsentRecord.Change.UNSUBSCRIBED)
    return own_acts.exclude(evidence=ConsentRecord.Evidence.MERGE).exists()


def _give_values_back(survivor: Lead, values: Mapping[str, Any], *, keep_consent: bool) -> list[str]:
    """The address is one thing with its flag, 配信停止 one with DM許可: changed since, they stay as a whole."""
    before, after, now = values["before"], values["after"], _values_of(survivor)
    left: list[str] = []
    for group in (_ADDRESS, _CONSENT, *((name,) for name in CHOSEN_FIELDS if name != "email")):
        if all(before[name] == after[name] for name in group):
            continue
        if any(now[name] != after[name] for name in group) or (group == _CONSENT and keep_consent):
            left.extend(group)
            continue
        for name in group:
            moment = name in {"email_since", "unsubscribed_at"} and before[name]
            setattr(survivor, name, datetime.fromisoformat(before[name]) if moment else before[name])
    for key in sorted({*before["extra"], *after["extra"]}):
        old, new = before["extra"].get(key), after["extra"].get(key)
        if old == new:
            continue
        if now["extra"].get(key) != new:
            left.append(f"extra.{key}")
            continue
        survivor.extra.pop(key, None)
        if old is not None:
            survivor.extra[key] = old
    return left


def _audit(action: str, done: LeadMerge, *, user: User | None, ip: str | None, **more: Any) -> None:
    """One line for the audit log, from which it is undone, and one in the survivor's history."""
    merged = ", ".join(f"#{lead_id}" for lead_id in done.merged_ids)
    label = f"#{done.survivor_id} ← {merged}"
    at = done.undone_at or done.at
    audit.record(
        action, user=user, target=done, target_label=label, detail={"at": at.isoformat()} | more, ip=ip
    )
    first, then = done.values["before"], done.values["after"]
    if done.undone_at is not None:
        first, then = then, first
    shown = {
        name: [first[name], then[name]]
        for name in (*CHOSEN_FIELDS, "dm_permission", "unsubscribed_at", "email_valid")
        if first[name] != then[name] and name not in more.get("left", ())
    }
    keys = {*first["extra"], *then["extra"]}
    shown |= {
        f"extra.{key}": [first["extra"].get(key), then["extra"].get(key)]
        for key in keys
        if first["extra"].get(key) != then["extra"].get(key) and f"extra.{key}" not in more.get("left", ())
    }
    detail = {"at": at.isoformat(), "way": Way.MERGE.value, "source": merged, "changes": shown}
    audit.record("lead.edit", user=user, target=done.survivor, detail=detail, ip=ip)

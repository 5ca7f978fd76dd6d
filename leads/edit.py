"""Creating, changing and deleting one lead: the one writer for forms, the API, my page and commands.

Everything that hangs on a lead's values happens here: NFC (CHR-6), the address check (EXC-4), the valid flag
(FLAG-3..6), consent evidence (OPT-10), typed columns, the audit log with old → new, and the guard against two
administrators at once. Many leads at a time are written by leads/imports/ under the same rules.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from leads.address import check_email
from leads.columns import clean_extra, clean_text
from leads.consent import UNSUBSCRIBED_REFUSAL, add_record, change_for
from leads.flags import SETTING_DIRECTLY, Flag, Way, flag_after
from leads.models import ConsentRecord, DmPermission, Lead, LeadColumn
from settings import audit
from settings.models import AuditEntry, User

# What may be written from outside. 配信停止, counts and times are not among them (OPT-2).
TEXT_FIELDS = (
    "last_name", "first_name", "last_name_kana", "first_name_kana", "company", "department", "job_title",
    "postal_code", "prefecture", "address", "phone", "note",
)  # fmt: skip
CHOICE_FIELDS = ("kind", "language", "registration", "dm_permission")
FIELDS = ("email", *TEXT_FIELDS, *CHOICE_FIELDS, "email_valid", "extra")

EVIDENCE = {
    Way.ADMIN_EDIT: ConsentRecord.Evidence.ADMIN,
    Way.MERGE: ConsentRecord.Evidence.ADMIN,
    Way.CSV_ADD: ConsentRecord.Evidence.IMPORT,
    Way.CSV_UPDATE: ConsentRecord.Evidence.IMPORT,
    Way.CSV_APPLICATION: ConsentRecord.Evidence.IMPORT,
    Way.COMMAND: ConsentRecord.Evidence.ADMIN,
}  # for the others: a form the person filled in


class Change(NamedTuple):
    """One value that somebody else changed meanwhile."""

    field: str  # a name of FIELDS, or "extra.<column key>"
    old: Any
    new: Any
    by: str
    at: datetime


class LeadChangedError(Exception):
    """Somebody else saved this lead since it was read. `changes` says what, oldest first."""

    def __init__(self, lead: Lead, changes: list[Change]) -> None:
        super().__init__(f"lead {lead.pk} was changed at {lead.updated_at.isoformat()}")
        self.lead = lead
        self.changes = changes


def create_lead(
    values: Mapping[str, Any],
    *,
    way: Way,
    user: User | None = None,
    now: datetime,
    source: str = "",
    evidence: str | None = None,
    ip: str | None = None,
) -> Lead:
    """Writes a new lead and returns it. `values` as in FIELDS, `extra` as {column key: text}.
    ValidationError (by field, all faults at once) for values that cannot be stored."""
    cleaned = clean_values(values)
    lead = Lead(created_at=now, updated_at=now, email_since=now)
    extra = cleaned.pop("extra", {})
    wanted = cleaned.pop("email_valid", True)
    if not wanted and way not in SETTING_DIRECTLY:
        raise ValueError(f"{way} may not set the valid flag (FLAG-5)")
    for name, value in cleaned.items():
        setattr(lead, name, value)
    _set_address(lead, cleaned.get("email", ""))
    lead.email_valid = wanted
    lead.extra = {key: value for key, value in extra.items() if value is not None}
    with transaction.atomic():
        lead.save(force_insert=True)
        _record_consent(lead, way=way, evidence=evidence, source=source, user=user, ip=ip, now=now)
        stored = {
            name: [None, getattr(lead, name)]
            for name in FIELDS
            if name != "extra" and getattr(lead, name) != ""
        }
        stored |= {f"extra.{key}": [None, value] for key, value in lead.extra.items()}
        audit.record(
            "lead.create",
            user=user,
            target=lead,
            detail=_detail(stored, way=way, source=source, now=now),
            ip=ip,
        )
    return lead


def change_lead(
    lead: Lead,
    values: Mapping[str, Any],
    *,
    way: Way,
    user: User | None = None,
    now: datetime,
    source: str = "",
    evidence: str | None = None,
    ip: str | None = None,
    seen_at: datetime | None = None,
    campaign_id: int | None = None,
) -> Lead:
    """Writes what differs and returns the lead as it is now; nothing is written when nothing differs.

    `values` holds only what is to be changed; in `extra` only the columns to be changed. `seen_at` is the
    updated_at of the values the person had before their eyes: if the lead was saved since, LeadChangedError.
    `campaign_id`: of the mode it was done in, for the audit log.
    ValidationError (by field) for values that cannot be stored, a deleted lead included.
    """
    cleaned = clean_values(values, stored_email=lead.email)
    with transaction.atomic():
        current = Lead.objects.select_for_update().get(pk=lead.pk)
        if current.deleted_at is not None:
            raise ValidationError(_("This lead has been deleted."), code="deleted")
        if seen_at is not None and current.updated_at != seen_at:
            raise LeadChangedError(current, changes_since(current, seen_at))
        changes = _apply(current, cleaned, way=way, now=now)
        if not changes:
            return current
        current.updated_at = now
        current.save(update_fields=[*_columns_of(changes), "updated_at"])
        if "dm_permission" in changes:
            _record_consent(current, way=way, evidence=evidence, source=source, user=user, ip=ip, now=now)
        audit.record(
            "lead.edit",
            user=user,
            target=current,
            detail=_detail(changes, way=way, source=source, now=now),
            ip=ip,
            campaign_id=campaign_id,
        )
    return current


# Why a lead may not be deleted, asked with the lead's row locked; apps above register theirs in AppConfig.ready().
# `campaign_id` is the mode it is done in.
Obstacle = Callable[[Lead, User | None, int | None], str | None]
_OBSTACLES: list[Obstacle] = []


def register_obstacle(obstacle: Obstacle) -> None:
    if obstacle not in _OBSTACLES:
        _OBSTACLES.append(obstacle)


def obstacles_to_deleting(lead: Lead, user: User | None, campaign_id: int | None) -> list[str]:
    return [text for obstacle in _OBSTACLES if (text := obstacle(lead, user, campaign_id))]


def delete_lead(
    lead: Lead,
    *,
    user: User | None,
    now: datetime,
    ip: str | None = None,
    campaign_id: int | None = None,
) -> bool:
    """Takes the lead out of every list, search and job; the row stays, because deliveries and consent refer to it.
    False if it was deleted before; ValidationError says why it may not be deleted."""
    with transaction.atomic():
        Lead.objects.select_for_update().get(pk=lead.pk)
        if reasons := obstacles_to_deleting(lead, user, campaign_id):
            raise ValidationError(reasons, code="obstacle")
        deleted = Lead.objects.filter(pk=lead.pk, deleted_at=None).update(deleted_at=now, updated_at=now)
        if deleted:
            lead.deleted_at = lead.updated_at = now
            audit.record(
                "lead.delete",
                user=user,
                target=lead,
                detail={"at": now.isoformat(), "email": lead.email},
                ip=ip,
                campaign_id=campaign_id,
            )
    return bool(deleted)


def changes_since(lead: Lead, seen_at: datetime) -> list[Change]:
    """What the audit log knows of changes to this lead after `seen_at`, oldest first."""
    entries = AuditEntry.objects.filter(target_type="lead", target_id=str(lead.pk), at__gte=seen_at).order_by(
        "id"
    )
    changes = []
    for entry in entries:
        at = datetime.fromisoformat(entry.detail["at"]) if "at" in entry.detail else entry.at
        if at <= seen_at:  # the row is written a moment after the time it names
            continue
        for field, (old, new) in entry.detail.get("changes", {}).items():
            changes.append(Change(field, old, new, entry.user_name, at))
    return changes


def clean_values(values: Mapping[str, Any], *, stored_email: str | None = None) -> dict[str, Any]:
    """The values as they will be stored; ValidationError by field (`extra_<key>` for a column), all at once.
    A malformed address is refused, except the very one that is stored already (it came with an import)."""
    cleaned: dict[str, Any] = {}
    problems: dict[str, Any] = {}
    for name, value in values.items():
        if name not in FIELDS:
            raise ValueError(f"{name} cannot be written (leads.edit.FIELDS)")
        try:
            cleaned[name] = _clean_one(name, value, stored_email)
        except ValidationError as problem:
            if hasattr(problem, "error_dict"):
                problems |= problem.error_dict
            else:
                problems[name] = problem
    if problems:
        raise ValidationError(problems)
    return cleaned


def _clean_one(name: str, value: Any, stored_email: str | None) -> Any:
    if name == "extra":
        keys = [int(key) for key in value if str(key).isdecimal() and len(str(key)) < 10]
        columns = {column.key: column for column in LeadColumn.objects.filter(pk__in=keys)} if value else {}
        return clean_extra(columns, value)
    if name == "email_valid":
        return bool(value)
    if name == "email":
        check = check_email(str(value or ""))
        if check.malformed and check.address != stored_email:
            raise ValidationError(check.text, code=check.code)
        return check.address
    field = Lead._meta.get_field(name)
    assert isinstance(field, models.Field)
    text = clean_text(str(value or ""), lines=name == "note")
    if name == "note" and len(text) > 20_000:
        raise ValidationError(
            _("Enter at most %(limit)s characters."), params={"limit": 20_000}, code="too_long"
        )
    if not text and not field.blank:
        text = str(field.default)
    return field.clean(text, None)


def _set_address(lead: Lead, address: str) -> None:
    check = check_email(address)
    lead.email, lead.email_norm, lead.email_malformed = check.address, check.norm, check.malformed


def _apply(lead: Lead, cleaned: Mapping[str, Any], *, way: Way, now: datetime) -> dict[str, list[Any]]:
    """Sets the cleaned values on the (locked) lead; {field: [old, new]} of what differs, the flag's part included."""
    before = {name: getattr(lead, name) for name in (*FIELDS, "email_failures") if name != "extra"}
    flag = Flag(lead.email_valid, lead.email_failures, lead.email_since)
    old_norm = lead.email_norm
    for name, value in cleaned.items():
        if name in TEXT_FIELDS or name in CHOICE_FIELDS:
            setattr(lead, name, value)
    if lead.dm_permission == DmPermission.WANTED and lead.unsubscribed_at is not None:
        raise ValidationError({"dm_permission": ValidationError(UNSUBSCRIBED_REFUSAL, code="unsubscribed")})
    if "email" in cleaned:
        _set_address(lead, cleaned["email"])
    lead.email_valid, lead.email_failures, lead.email_since = flag_after(
        flag,
        way=way,
        registration=lead.registration,
        old_norm=old_norm,
        new_norm=lead.email_norm,
        malformed=lead.email_malformed,
        now=now,
        wanted=cleaned.get("email_valid"),
    )
    changes = {name: [old, getattr(lead, name)] for name, old in before.items() if old != getattr(lead, name)}
    for key, value in cleaned.get("extra", {}).items():
        old = lead.extra.get(key)
        if old != value:
            changes[f"extra.{key}"] = [old, value]
            lead.extra.pop(key, None)
            if value is not None:
                lead.extra[key] = value
    return changes


def _columns_of(changes: Mapping[str, Any]) -> list[str]:
    names = {"extra" if name.startswith("extra.") else name for name in changes}
    if names & {"email", "email_valid"}:
        names |= {"email_norm", "email_malformed", "email_since"}
    return sorted(names)


def _record_consent(
    lead: Lead,
    *,
    way: Way,
    evidence: str | None,
    source: str,
    user: User | None,
    ip: str | None,
    now: datetime,
) -> None:
    add_record(
        lead,
        change_for(lead.dm_permission),
        evidence=evidence or EVIDENCE.get(way, ConsentRecord.Evidence.FORM),
        source=source,
        user=user,
        ip=ip,
        now=now,
    )


def _detail(changes: Mapping[str, Any], *, way: Way, source: str, now: datetime) -> dict[str, Any]:
    return {"at": now.isoformat(), "way": way.value, "source": source, "changes": dict(changes)}

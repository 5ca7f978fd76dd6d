"""Readers are leads: the lead behind an address that registers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from leads.address import normalise_email
from leads.edit import TEXT_FIELDS, change_lead, create_lead
from leads.flags import Way
from leads.models import ConsentRecord, DmPermission, Lead, Registration
from leads.one_at_a_time import wait_for_the_same
from mail.models import Magazine, Reader, ReaderWay
from settings.models import User

BY_STAFF = frozenset({ReaderWay.ADMIN, ReaderWay.IMPORT})
_LEAD_FIELDS = (*TEXT_FIELDS, "language")


def find_readers(magazine: Magazine, address_norm: str) -> list[Reader]:
    """Of this magazine, with this address (EXC-4), of existing leads; the newest lead first."""
    if not address_norm:
        return []
    rows = Reader.objects.filter(
        magazine=magazine, lead__email_norm=address_norm, lead__deleted_at__isnull=True
    )
    return list(rows.select_related("lead").order_by("-lead_id"))


def lead_for(
    magazine: Magazine,
    address: str,
    values: Mapping[str, Any],
    *,
    way: str,
    now: datetime,
    evidence: str = ConsentRecord.Evidence.FORM,
    proved: bool = False,
    source: str = "",
    user: User | None = None,
    ip: str | None = None,
) -> Lead:
    """The lead of this address: who is a reader already, else the newest, else a new one.

    A new one is 希望しない: they asked for this magazine, not for the wizard's mail. It is 仮登録 only where the magazine asks
    for a proof of the address (double opt-in) that was not given. Of a known lead, `values` ({"last_name": …}; other keys
    are passed over) fill what is empty, and only when staff or the proved owner of the address gives them: a stranger may
    have typed the address. ValidationError by field for a value or an address that cannot be stored."""
    known = proved or way in BY_STAFF
    given = {name: values[name] for name in _LEAD_FIELDS if name in values and values[name] not in (None, "")}
    norm = normalise_email(address)
    with transaction.atomic():
        if norm:
            wait_for_the_same("email", norm)
        lead = _find(magazine, norm)
        common: dict[str, Any] = {
            "way": Way.MAGAZINE, "user": user, "now": now, "source": source, "evidence": evidence, "ip": ip,
        }  # fmt: skip
        if lead is None:
            full = known or not magazine.double_opt_in
            registration = Registration.FULL if full else Registration.PROVISIONAL
            fixed = {"email": address, "dm_permission": DmPermission.UNWANTED, "registration": registration}
            return create_lead(given | fixed, **common)
        empty = {name: value for name, value in given.items() if not getattr(lead, name)}
        return change_lead(lead, empty, **common) if known and empty else lead


def _find(magazine: Magazine, norm: str) -> Lead | None:
    readers = find_readers(magazine, norm)
    if readers:
        return readers[0].lead
    return Lead.objects.existing().filter(email_norm=norm).order_by("-pk").first() if norm else None

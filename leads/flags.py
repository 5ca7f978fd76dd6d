"""The valid flag of a lead's address (FLAG-1..6): when it goes off, when it comes back, who may set it.

The rule of FLAG-3..6 stands here twice, for one lead (`flag_after`) and for a set of leads (`flag_sql`, for the
CSV imports); tests/leads/test_flags.py compares the two on every combination.
"""

from collections.abc import Mapping, Set
from datetime import datetime
from typing import NamedTuple

from django.db import connection, models, transaction
from django.utils.translation import gettext_lazy as _

from leads.models import Registration
from settings.models import AuditEntry
from settings.system_settings import get_setting


class Way(models.TextChoices):
    """How a lead was written. The first nine are those of FLAG-3."""

    ADMIN_EDIT = "admin_edit", _("Edited by an administrator")
    CSV_UPDATE = "csv_update", _("CSV bulk update")
    CSV_APPLICATION = "csv_application", _("CSV bulk application")
    MERGE = "merge", _("Manual merge")
    APPLICATION = "application", _("Application form")
    AUTO_MERGE = "auto_merge", _("Application form with automatic merge")
    MY_PAGE = "my_page", _("My page")
    API_VISITOR_PUT = "api_visitor_put", _("API visitor.put")
    API_APPLICATION_POST = "api_application_post", _("API application.post")
    CSV_ADD = "csv_add", _("CSV, new leads")
    COMMAND = "command", _("Command")
    MAGAZINE = "magazine", _("Registration for a magazine")


RESETTING = frozenset(Way) - {Way.CSV_ADD, Way.COMMAND, Way.MAGAZINE}  # FLAG-3
SETTING_DIRECTLY = frozenset({Way.ADMIN_EDIT, Way.API_VISITOR_PUT})  # FLAG-5


class Flag(NamedTuple):
    """Lead.email_valid, .email_failures, .email_since: failures before `since` belong to another address or to a
    row that was closed, and are not counted again."""

    valid: bool
    failures: int
    since: datetime


def flag_after(
    before: Flag,
    *,
    way: Way,
    registration: str,
    old_norm: str,
    new_norm: str,
    malformed: bool,
    now: datetime,
    wanted: bool | None = None,
) -> Flag:
    """What saving an address does to the flag.

    `registration` and `malformed` are those after the change. `wanted` is what somebody set the flag to by hand:
    it counts when it differs from what was stored (a form sends it with every save), and only for the ways of
    FLAG-5, ValueError otherwise. Setting it back to valid by hand starts a new row of failures.
    """
    changed = old_norm != new_norm
    since = now if changed else before.since
    by_hand = wanted is not None and wanted != before.valid
    if by_hand and way not in SETTING_DIRECTLY:
        raise ValueError(f"{way} may not set the valid flag (FLAG-5)")
    if by_hand:
        return Flag(True, 0, now) if wanted else Flag(False, before.failures, since)
    if changed and new_norm and not malformed and registration == Registration.FULL and way in RESETTING:
        return Flag(True, 0, since)
    return Flag(before.valid, before.failures, since)


def flag_sql(
    way: Way, *, lead: str, norm: str, malformed: str, registration: str, now: str = "%(now)s"
) -> dict[str, str]:
    """`flag_after` (without `wanted`) as SQL: {column: expression} for the SET list of an UPDATE of leads_lead.

    `lead` is the alias of the row before the change; the others are SQL expressions for the values after it:
    flag_sql(Way.CSV_UPDATE, lead="lead", norm="row.email_norm", malformed="row.email_malformed",
             registration="COALESCE(row.values->>'registration', lead.registration)").
    Never put text from outside into them.
    """
    changed = f"({norm}) <> {lead}.email_norm"
    resets = (
        f"({changed} AND ({norm}) <> '' AND NOT ({malformed}) AND ({registration}) = '{Registration.FULL.value}')"
        if way in RESETTING
        else "FALSE"
    )
    return {
        "email_valid": f"({lead}.email_valid OR {resets})",
        "email_failures": f"(CASE WHEN {resets} THEN 0 ELSE {lead}.email_failures END)",
        "email_since": f"(CASE WHEN {changed} THEN {now} ELSE {lead}.email_since END)",
    }


# Rows are locked in the order of their ids, so that two workers never wait for each other in a circle.
# updated_at moves only when the flag does: an open edit form must notice that, and need not notice a count.
_RECORD = """
    WITH given AS (
        SELECT * FROM unnest(%(ids)s::bigint[], %(failures)s::int[], %(off)s::boolean[]) AS g(id, failures, off)
    ), old AS (
        SELECT lead.id, lead.email_valid FROM leads_lead lead JOIN given USING (id) ORDER BY lead.id FOR UPDATE OF lead
    )
    UPDATE leads_lead lead SET
        email_failures = COALESCE(given.failures, lead.email_failures),
        email_valid = lead.email_valid AND NOT (given.off OR COALESCE(given.failures >= %(limit)s, FALSE)),
        updated_at = CASE WHEN lead.email_valid AND (given.off OR COALESCE(given.failures >= %(limit)s, FALSE))
                     THEN %(now)s ELSE lead.updated_at END
    FROM given JOIN old USING (id)
    WHERE lead.id = given.id
    RETURNING lead.id, lead.email, given.failures, given.off, old.email_valid AND NOT lead.email_valid
"""


def record_failures(
    failures: Mapping[int, int], *, switch_off: Set[int] = frozenset(), now: datetime
) -> set[int]:
    """FLAG-1, FLAG-2: stores the failed deliveries in a row, {lead id: number}, counted by who calls from
    Lead.email_since on; at `failures_until_invalid` the flag goes off, for those of `switch_off` at once.
    It never comes back here. Returns the ids of the leads whose flag went off; each stands in the audit log.
    """
    ids = sorted(failures.keys() | switch_off)
    if not ids:
        return set()
    values = {
        "ids": ids,
        "failures": [failures.get(lead_id) for lead_id in ids],
        "off": [lead_id in switch_off for lead_id in ids],
        "limit": get_setting("failures_until_invalid"),
        "now": now,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RECORD, values)
        switched = [row[:4] for row in cursor.fetchall() if row[4]]
        AuditEntry.objects.bulk_create(
            AuditEntry(
                user=None,
                user_name="system",
                action="lead.flag",
                target_type="lead",
                target_id=str(lead_id),
                target_label=email[:200],
                detail={
                    "at": now.isoformat(),
                    "changes": {"email_valid": [True, False]},
                    "failures": count,
                    "reason": "at_once" if at_once else "failures_in_a_row",
                },
            )
            for lead_id, email, count, at_once in switched
        )
    return {lead_id for lead_id, *_rest in switched}

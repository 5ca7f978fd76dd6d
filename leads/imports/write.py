"""Judged rows → leads and consent records: a few set-based statements for every 20,000 rows, in one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from leads.flags import Way
from leads.imports.columns import Column
from leads.imports.judge import address_sql, cell_sql, insert_sql, update_sql
from leads.models import ConsentRecord, DmPermission, LeadImport

BATCH = 20_000

_CHANGE = (
    f"CASE WHEN {{}} = '{DmPermission.WANTED.value}' "
    f"THEN '{ConsentRecord.Change.GRANTED.value}' ELSE '{ConsentRecord.Change.REFUSED.value}' END"
)
_CONSENT = "INSERT INTO leads_consentrecord (lead_id, at, change, evidence, source, user_id, ip)"
_CONSENT_VALUES = "%(now)s, {change}, %(evidence)s, %(source)s, %(user)s, NULL"


def write(
    lead_import: LeadImport, columns: Sequence[Column], *, now: datetime, beat: Callable[[int], None]
) -> int:
    """Writes the rows judged new or updated; the number of leads written. `beat(rows)` is called after each batch."""
    statements = []
    if lead_import.mode != LeadImport.Mode.UPDATE:
        statements += _insert_statements(columns, numbered=lead_import.mode == LeadImport.Mode.APPLY)
    if lead_import.mode != LeadImport.Mode.ADD:
        statements += _update_statements(lead_import, columns)
    values: dict[str, Any] = {
        "id": lead_import.pk,
        "now": now,
        "evidence": lead_import.evidence,
        "source": lead_import.file_name[:300],
        "user": lead_import.created_by_id,
    }
    written = 0
    with connection.cursor() as cursor:
        # Foreign keys are checked batch by batch instead of a million at the very end, where nobody sees progress.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "SELECT COALESCE(max(line), 0) FROM leads_leadimportrow WHERE lead_import_id = %s",
            [lead_import.pk],
        )
        (last,) = cursor.fetchone()
        for first in range(0, last + 1, BATCH):
            for statement, counts in statements:
                cursor.execute(statement, values | {"first": first, "last": first + BATCH - 1})
                written += cursor.rowcount if counts else 0
            beat(min(first + BATCH, lead_import.rows))
    return written


_THESE = (
    "staged.lead_import_id = %(id)s AND staged.line BETWEEN %(first)s AND %(last)s AND staged.action = '{}'"
)


Statement = tuple[str, bool]  # whether its rows are leads written


def _insert_statements(columns: Sequence[Column], *, numbered: bool) -> list[Statement]:
    """`numbered`: the new leads have their ids already (applying.number_new_leads)."""
    values = insert_sql(columns)
    if numbered:
        values["id"] = "staged.lead_id"
    consent = _CONSENT_VALUES.format(change=_CHANGE.format("made.dm_permission"))
    statement = f"""
        WITH made AS (
            INSERT INTO leads_lead ({", ".join(values)})
            SELECT {", ".join(values.values())} FROM leads_leadimportrow staged
            WHERE {_THESE.format("new")} ORDER BY staged.line
            RETURNING id, dm_permission
        )
        {_CONSENT} SELECT made.id, {consent} FROM made
        """
    return [(statement, True)]


def _update_statements(lead_import: LeadImport, columns: Sequence[Column]) -> list[Statement]:
    values = update_sql(lead_import, columns)
    if not values:
        return []
    applying = lead_import.mode == LeadImport.Mode.APPLY
    values |= address_sql(values, Way.CSV_APPLICATION if applying else Way.CSV_UPDATE)
    rows = f"FROM leads_leadimportrow staged WHERE {_THESE.format('update')} AND lead.id = staged.lead_id"
    update = f"UPDATE leads_lead lead SET {', '.join(f'{name} = {value}' for name, value in values.items())}, updated_at = %(now)s {rows}"
    permission = cell_sql(columns).get("dm_permission")
    if not permission:
        return [(update, True)]
    consent = _CONSENT_VALUES.format(change=_CHANGE.format(permission))
    # Before the update, while the old value still stands there.
    consents = f"""
        {_CONSENT} SELECT lead.id, {consent} FROM leads_leadimportrow staged
        JOIN leads_lead lead ON lead.id = staged.lead_id
        WHERE {_THESE.format("update")} AND {permission} <> '' AND {permission} <> lead.dm_permission
        ORDER BY lead.id
        """
    return [(consents, False), (update, True)]

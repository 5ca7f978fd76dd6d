"""Judged rows → leads, readers, their histories and the blacklist: a few set-based statements for every 20,000 rows, in the
caller's transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from leads.models import ConsentRecord, DmPermission, Lead
from mail.magazines import blacklist
from mail.magazines.imports.columns import LEAD_FIELDS
from mail.models import Magazine, ReaderImport, ReaderImportRow
from mail.stories.turns import plan_turns

BATCH = 20_000
AT_ONCE = 10_000
_WRITTEN = (ReaderImportRow.Group.NEW, ReaderImportRow.Group.UPDATED, ReaderImportRow.Group.TURNED)

_THESE = "row.reader_import_id = %(id)s AND row.line BETWEEN %(first)s AND %(last)s"
_FROM = f"FROM mail_readerimportrow row WHERE {_THESE}"

# New leads get their ids in the order of the file: their readers need them.
_NUMBER = f"""
    UPDATE mail_readerimportrow made SET lead_id = numbered.lead_id, lead_made = TRUE FROM (
        SELECT id, nextval(pg_get_serial_sequence('leads_lead', 'id')) AS lead_id
        FROM (SELECT row.id {_FROM} AND row."group" IN ('new', 'turned') AND row.lead_id IS NULL ORDER BY row.line) ordered
    ) numbered WHERE made.id = numbered.id
"""
_CONSENT = f"""
    INSERT INTO leads_consentrecord (lead_id, at, change, evidence, source, user_id, ip)
    SELECT row.lead_id, %(now)s, '{ConsentRecord.Change.REFUSED.value}', %(evidence)s, %(source)s, %(user)s, NULL
    {_FROM} AND row.lead_made ORDER BY row.lead_id
"""
_INSERT = f"""
    INSERT INTO mail_reader (magazine_id, lead_id, state, state_at, registered_at, way, "values", updated_at)
    SELECT %(magazine)s, row.lead_id, 'deliverable', %(now)s,
        COALESCE((row."values" ->> 'registered_at')::timestamptz, %(now)s), 'import',
        jsonb_strip_nulls(COALESCE(row."values" -> 'items', '{{}}')), %(now)s
    {_FROM} AND row."group" IN ('new', 'turned') AND NOT COALESCE((row.before ->> 'reader')::boolean, FALSE)
    ORDER BY row.lead_id
"""
_UPDATE = f"""
    UPDATE mail_reader reader SET
        "values" = jsonb_strip_nulls(reader."values" || COALESCE(row."values" -> 'items', '{{}}')),
        state = CASE WHEN row."group" = 'turned' THEN 'deliverable' ELSE reader.state END,
        state_at = CASE WHEN row."group" = 'turned' THEN %(now)s ELSE reader.state_at END,
        updated_at = %(now)s
    {_FROM} AND row."group" IN ('updated', 'turned') AND (row.before ->> 'reader')::boolean
        AND reader.magazine_id = %(magazine)s AND reader.lead_id = row.lead_id
"""
_CHANGE = """
    INSERT INTO mail_readerchange (magazine_id, lead_id, at, what, way, before, after, "group", detail, evidence, source,
        user_id, import_id)
    SELECT %(magazine)s, row.lead_id, %(now)s, {what}, 'import', {before}, {after}, '', {detail}, %(evidence)s, %(source)s,
        %(user)s, %(id)s
"""
_WAS = "COALESCE(row.before ->> 'state', '')"
_WAS_READER = "COALESCE((row.before ->> 'reader')::boolean, FALSE)"
_REGISTERED = f"""{_CHANGE.format(what="'registered'", before="''", after="'deliverable'", detail="'{}'::jsonb")}
    {_FROM} AND row."group" IN ('new', 'turned') AND NOT {_WAS_READER} ORDER BY row.lead_id
"""
_TURNED = f"""{_CHANGE.format(what="'state'", before=_WAS, after="'deliverable'", detail="'{}'::jsonb")}
    {_FROM} AND row."group" = 'turned' AND {_WAS_READER} ORDER BY row.lead_id
"""
_REFUSED = f"""{_CHANGE.format(what="'refused'", before=_WAS, after=_WAS, detail="'{}'::jsonb")}
    {_FROM} AND row."group" = 'refused' AND row.lead_id IS NOT NULL ORDER BY row.lead_id
"""
_STATE = f"CASE WHEN row.\"group\" = 'turned' THEN 'deliverable' ELSE {_WAS} END"
_EDITED = f"""{_CHANGE.format(what="'edited'", before=_STATE, after=_STATE, detail="jsonb_build_object('changes', changed.items)")}
    FROM mail_readerimportrow row CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(item.key, jsonb_build_array(row.before -> 'values' -> item.key, item.value)) AS items
        FROM jsonb_each(row."values" -> 'items') item
        WHERE NULLIF(item.value, 'null') IS DISTINCT FROM row.before -> 'values' -> item.key
    ) changed
    WHERE {_THESE} AND row."group" IN ('updated', 'turned') AND {_WAS_READER} AND changed.items IS NOT NULL
    ORDER BY row.lead_id
"""


def _insert_leads() -> str:
    """DM許可 希望しない: whoever is put into a magazine did not ask for the wizard's mail (readers.lead_for)."""
    given = {name: f"row.\"values\" -> 'lead' ->> '{name}'" for name in LEAD_FIELDS}
    fixed = {
        "id": "row.lead_id",
        "email": "row.address",
        "email_norm": "row.address_norm",
        "email_malformed": "FALSE",
        "email_since": "%(now)s",
        "email_valid": "TRUE",
        "email_failures": "0",
        "kind": "'visitor'",
        "registration": "'full'",
        "dm_permission": f"'{DmPermission.UNWANTED.value}'",
        "language": f"COALESCE({given['language']}, 'ja')",
        "extra": "'{}'::jsonb",
        "search_text": "row.\"values\" ->> 'search'",
        "created_at": "%(now)s",
        "updated_at": "%(now)s",
    }
    empty = {"unsubscribed_at", "deleted_at", "merged_into_id"}
    columns = [str(field.column) for field in Lead._meta.concrete_fields]
    values = {
        name: fixed.get(name) or f"COALESCE({given[name]}, '')" for name in columns if name not in empty
    }
    return f"INSERT INTO leads_lead ({', '.join(values)}) SELECT {', '.join(values.values())} {_FROM} AND row.lead_made ORDER BY row.lead_id"


def write(
    reader_import: ReaderImport, magazine: Magazine, *, now: datetime, beat: Callable[[int], None]
) -> None:
    """Writes the rows judged new, updated or turned. `beat(rows)` is called after each batch."""
    statements = (
        _NUMBER, _insert_leads(), _CONSENT, _INSERT, _UPDATE, _REGISTERED, _TURNED, _EDITED, _REFUSED,
    )  # fmt: skip
    values: dict[str, Any] = {
        "id": reader_import.pk,
        "magazine": magazine.pk,
        "now": now,
        "evidence": reader_import.evidence,
        "source": reader_import.file_name[:300],
        "user": reader_import.created_by_id,
    }
    rows = ReaderImportRow.objects.filter(reader_import=reader_import)
    last = rows.order_by("-line").values_list("line", flat=True).first() or 0
    with connection.cursor() as cursor:
        # Foreign keys are checked batch by batch instead of all at the very end, where nobody sees progress.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for first in range(0, last + 1, BATCH):
            for statement in statements:
                cursor.execute(statement, values | {"first": first, "last": first + BATCH - 1})
            beat(min(first + BATCH, reader_import.rows))
    turned = rows.filter(group=ReaderImportRow.Group.TURNED)  # only with the blacklist off
    blacklist.take_off(magazine, turned.order_by().values_list("address_norm", flat=True).iterator(AT_ONCE))
    written = rows.filter(group__in=_WRITTEN)
    plan_all(
        magazine.pk,
        list(written.values_list("lead_id", flat=True)),
        now=now,
        beat=lambda: beat(reader_import.rows),
    )


def plan_all(
    magazine_id: int, lead_ids: Sequence[int | None], *, now: datetime, beat: Callable[[], None]
) -> None:
    """Their next step stories (MAG-8)."""
    for start in range(0, len(lead_ids), AT_ONCE):
        portion = [lead_id for lead_id in lead_ids[start : start + AT_ONCE] if lead_id is not None]
        plan_turns(magazine_id, lead_ids=portion, now=now)
        beat()

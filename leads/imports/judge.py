"""What an import would do to the leads of this moment: set-based SQL over the staged rows, no row ever in Python.

The same expressions judge a row (unchanged or not), write it, and are explained on the check page.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from leads.flags import Way, flag_sql
from leads.imports.columns import CHOICE_DEFAULTS, Column
from leads.models import DmPermission, Lead, LeadColumn, LeadImport, LeadImportRow
from leads.scope import scope_sql

# SQL names: `staged` is the staged row, `lead` the lead it goes to.


def cell_sql(columns: Sequence[Column]) -> dict[str, str]:
    """Target → the SQL expression of its staged cell. Cells stand in the order of the columns with a target."""
    targets = [column.target for column in columns if column.target]
    return {target: f"staged.cells[{place}]" for place, target in enumerate(targets, 1)}


def _typed(column: Column, cell: str) -> str:
    """The value in Lead.extra; NULL for a blank cell."""
    if column.type == LeadColumn.Type.NUMBER:
        return f"to_jsonb(NULLIF({cell}, '')::numeric)"
    return f"to_jsonb(NULLIF({cell}, ''))"


def _extra_sql(columns: Sequence[Column], cells: dict[str, str], before: str | None) -> str | None:
    own = [column for column in columns if column.extra_key]
    if not own:
        return None
    # Keys are ids of LeadColumn, nothing from outside. jsonb_build_object takes at most 50 pairs at a time.
    groups = [own[start : start + 40] for start in range(0, len(own), 40)]
    built = " || ".join(
        "jsonb_build_object("
        + ", ".join(f"'{int(c.extra_key)}', {_typed(c, cells[c.target])}" for c in group)
        + ")"
        for group in groups
    )
    new = f"jsonb_strip_nulls({built})"
    if before is None:
        return new
    keys = ", ".join(f"'{int(column.extra_key)}'" for column in own)
    return f"(({before} - ARRAY[{keys}]) || {new})"


def update_sql(lead_import: LeadImport, columns: Sequence[Column]) -> dict[str, str]:
    """Column of leads_lead → expression over `staged` and `lead`, for what the file sets (the flag's part not yet)."""
    cells = cell_sql(columns)
    values: dict[str, str] = {}
    for column in columns:
        target = column.target
        if (
            not target
            or target == "id"
            or column.extra_key
            or column.is_answer
            or (
                target == lead_import.key == LeadImport.Key.EMAIL
                and lead_import.mode == LeadImport.Mode.UPDATE
            )
        ):
            continue
        cell = cells[target]
        # CSV-2: a blank cell clears, except DM許可; the other choices cannot be blank (columns.py refuses it).
        values[target] = f"COALESCE(NULLIF({cell}, ''), lead.{target})" if target in CHOICE_DEFAULTS else cell
    if extra := _extra_sql(columns, cells, "lead.extra"):
        values["extra"] = extra
    return values


def address_sql(values: dict[str, str], way: Way) -> dict[str, str]:
    """What hangs on the address: its norm, and FLAG-3..6 through leads/flags.py. A malformed address only gets here
    where it is the one the lead already had."""
    if "email" not in values:
        return {}
    malformed = "(lead.email_malformed AND staged.email_norm = lead.email_norm)"
    registration = values.get("registration", "lead.registration")
    return {
        "email_norm": "staged.email_norm",
        "email_malformed": malformed,
        **flag_sql(
            way, lead="lead", norm="staged.email_norm", malformed=malformed, registration=registration
        ),
    }


def insert_sql(columns: Sequence[Column]) -> dict[str, str]:
    """Column of leads_lead → expression over `staged`, for all columns of a new lead."""
    cells = cell_sql(columns)
    values = {
        "email_norm": "staged.email_norm" if "email" in cells else "''",
        "search_text": "staged.search_text",
        "email_malformed": "FALSE",
        "email_since": "%(now)s",
        "email_valid": "TRUE",
        "email_failures": "0",
        "created_at": "%(now)s",
        "updated_at": "%(now)s",
        "extra": _extra_sql(columns, cells, None) or "'{}'::jsonb",
    }
    for field in Lead._meta.concrete_fields:
        name = str(field.column)
        if name in values or name in {"id", "unsubscribed_at", "deleted_at", "merged_into_id"}:
            continue
        if name in CHOICE_DEFAULTS:
            default = str(CHOICE_DEFAULTS[name])
            values[name] = (
                f"COALESCE(NULLIF({cells[name]}, ''), '{default}')" if name in cells else f"'{default}'"
            )
        else:
            values[name] = cells.get(name, "''")
    return values


def judge(lead_import: LeadImport, columns: Sequence[Column]) -> dict[str, Any]:
    """Judges every staged row against the leads as they are now, inside the caller's transaction; the counts.

    New leads were judged while they were read. An update's rows are judged in one statement.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")  # one hash over the file instead of a sort on disk
        cursor.execute("ANALYZE leads_leadimportrow")  # fresh rows: without it the planner guesses one
        if lead_import.mode == LeadImport.Mode.UPDATE:
            scope, parameters = scope_sql(lead_import.campaign_id, "lead")
            cursor.execute(_judge_sql(lead_import, columns, scope), {"id": lead_import.pk, **parameters})
        cursor.execute(_COUNTS, {"id": lead_import.pk})
        new, update, unchanged, wrong, notes, digest = cursor.fetchone()
        shared = 0
        if lead_import.mode == LeadImport.Mode.ADD and any(column.target == "email" for column in columns):
            cursor.execute(_SHARED, {"id": lead_import.pk})
            (shared,) = cursor.fetchone()
    return {
        "new": new, "update": update, "unchanged": unchanged, "wrong": wrong,
        "notes": notes, "shared": int(shared), "digest": str(digest),
    }  # fmt: skip


def lock_leads(lead_import: LeadImport, columns: Sequence[Column]) -> None:
    """Locks the leads an update goes to, in the order of their ids, so that nothing changes between judging and
    writing, and two imports never wait for each other in a circle."""
    cells = cell_sql(columns)
    if lead_import.key == LeadImport.Key.ID:
        mine = f"lead.id IN (SELECT NULLIF({cells['id']}, '')::bigint FROM leads_leadimportrow staged WHERE lead_import_id = %(id)s)"
    else:
        mine = (
            "lead.email_norm IN (SELECT staged.email_norm FROM leads_leadimportrow staged "
            "WHERE lead_import_id = %(id)s AND staged.email_norm <> '')"
        )
    scope, parameters = scope_sql(lead_import.campaign_id, "lead")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute(
            f"SELECT count(*) FROM (SELECT lead.id FROM leads_lead lead WHERE {mine} AND {scope} "
            "ORDER BY lead.id FOR UPDATE OF lead) locked",
            {"id": lead_import.pk, **parameters},
        )


# The digest notices when rows changed their verdict although the counts stayed the same.
_COUNTS = """
    SELECT count(*) FILTER (WHERE action = 'new'), count(*) FILTER (WHERE action = 'update'),
           count(*) FILTER (WHERE action = 'unchanged'), count(*) FILTER (WHERE action = 'wrong'),
           count(*) FILTER (WHERE notes IS NOT NULL),
           COALESCE(sum(hashtext(line || action || COALESCE(lead_id, 0))::bigint), 0)
    FROM leads_leadimportrow WHERE lead_import_id = %(id)s
"""
# Several leads may share an address; it is worth a note all the same.
_SHARED = """
    SELECT COALESCE(sum(rows), 0) FROM (
        SELECT email_norm, count(*) AS rows FROM leads_leadimportrow
        WHERE lead_import_id = %(id)s AND action = 'new' AND email_norm <> '' GROUP BY email_norm
    ) mine
    WHERE rows > 1 OR EXISTS (
        SELECT 1 FROM leads_lead lead WHERE lead.email_norm = mine.email_norm AND lead.deleted_at IS NULL
    )
"""


def _judge_sql(lead_import: LeadImport, columns: Sequence[Column], scope: str) -> str:
    """`scope`: the leads that may be overwritten, a condition on `lead`. Of others nothing is told, not even that they
    are there."""
    cells = cell_sql(columns)
    number = {column.target: place for place, column in enumerate(columns) if column.target}
    by_id = lead_import.key == LeadImport.Key.ID
    key_place = number["id" if by_id else "email"]

    def conflict(condition: str, place: int, code: str, params: str = "'{}'::jsonb") -> str:
        return f"CASE WHEN {condition} THEN jsonb_build_array(jsonb_build_array({place}, '{code}', {params})) ELSE '[]'::jsonb END"

    count = "jsonb_build_object('count', {})"
    conflicts = [
        conflict("staged.key IS NULL AND staged.problems IS NULL", key_place, "key_blank"),
        conflict(
            "staged.key IS NOT NULL AND staged.same > 1", key_place, "key_twice", count.format("staged.same")
        ),
    ]
    in_campaign = lead_import.campaign_id is not None
    if by_id:
        missing = "not_applicant" if in_campaign else "lead_missing"
        conflicts.append(conflict("staged.key IS NOT NULL AND lead.id IS NULL", key_place, missing))
    else:
        conflicts += [
            conflict(
                "staged.key IS NOT NULL AND staged.problems IS NULL AND found.leads IS NULL",
                key_place,
                "not_applicant" if in_campaign else "address_missing",
            ),
            conflict("found.leads > 1", key_place, "address_shared", count.format("found.leads")),
        ]
    if "dm_permission" in cells:
        wanted = (
            f"{cells['dm_permission']} = '{DmPermission.WANTED.value}' AND lead.unsubscribed_at IS NOT NULL"
        )
        conflicts.append(conflict(wanted, number["dm_permission"], "unsubscribed"))
    # A malformed address that the lead has already is left alone: an export must go back in (CSV-3).
    excused = "FALSE"
    if "email" in cells and by_id:
        excused = (
            "(jsonb_array_length(staged.problems) = 1 AND staged.problems -> 0 ->> 1 = 'email' "
            f"AND lead.email = {cells['email']})"
        )
    values = update_sql(lead_import, columns)
    same = " AND ".join(f"lead.{name} IS NOT DISTINCT FROM ({value})" for name, value in values.items())
    action = LeadImportRow.Action
    key = f"NULLIF({cells['id']}, '')::bigint" if by_id else "NULLIF(staged.email_norm, '')"
    joins = (
        f"LEFT JOIN leads_lead lead ON lead.id = staged.key AND {scope}"
        if by_id
        else f"""LEFT JOIN (
            SELECT email_norm, count(*) AS leads, min(id) AS lead_id FROM leads_lead lead
            WHERE {scope} AND email_norm IN (
                SELECT email_norm FROM leads_leadimportrow WHERE lead_import_id = %(id)s AND email_norm <> ''
            ) GROUP BY email_norm
        ) found ON found.email_norm = staged.key
        LEFT JOIN leads_lead lead ON lead.id = found.lead_id AND found.leads = 1"""
    )
    return f"""
        WITH staged AS (
            SELECT *, CASE WHEN key IS NULL THEN 1 ELSE count(*) OVER (PARTITION BY key) END AS same
            FROM (SELECT staged.*, {key} AS key FROM leads_leadimportrow staged WHERE lead_import_id = %(id)s) staged
        ), judged AS (
            SELECT staged.line, lead.id AS lead_id, NULLIF({" || ".join(conflicts)}, '[]'::jsonb) AS conflicts,
                   staged.problems IS NOT NULL AND NOT COALESCE({excused}, FALSE) AS misread,
                   COALESCE({same}, FALSE) AS same
            FROM staged {joins}
        )
        UPDATE leads_leadimportrow row SET
            lead_id = judged.lead_id, conflicts = judged.conflicts,
            action = CASE WHEN judged.misread OR judged.conflicts IS NOT NULL THEN '{action.WRONG.value}'
                          WHEN judged.same THEN '{action.UNCHANGED.value}' ELSE '{action.UPDATE.value}' END
        FROM judged WHERE row.lead_import_id = %(id)s AND row.line = judged.line
    """

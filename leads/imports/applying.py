"""CSV一括申込 (LeadImport.Mode.APPLY): which lead each row of the file means, and what is written to it (FLAG-3, csv_application).

A row with a lead ID means that lead; one without means the lead with its address (fully registered ones first, then the
newest), or a new one. Campaigns stand above leads and register what an application is: `register_applier`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from leads.imports.columns import Column, Problems
from leads.imports.judge import cell_sql, update_sql
from leads.models import DmPermission, LeadImport, LeadImportRow, Registration
from leads.scope import leads_in

# Notes of rows that applying writes, [null, code, {}]; the others are about a cell and name its column.
ALREADY, WAITING, KEPT = "already_applied", "waiting_list", "kept_values"


@dataclass(frozen=True)
class Applier:
    """What campaigns do for a file. All are called inside the step's transaction."""

    check: Callable[[int], None]  # raises FileProblem when nobody can be registered for this campaign
    lock: Callable[[int], None]  # before the leads
    questions: Callable[[int], dict[str, str]]  # {label: "answer:<id>"} of what the campaign asks
    # The wrong ones among the cells of a question's column: {place: (code, params)}.
    clean: Callable[[Column, Sequence[str]], Problems]
    judge: Callable[
        [LeadImport], dict[str, int]
    ]  # notes ALREADY and WAITING; {"apply", "already", "waiting"}
    # Makes the applications of the rows, whose leads are written; the number made. `beat` is called after each batch.
    write: Callable[[LeadImport, Sequence[Column], datetime, Callable[[], None]], int]


_APPLIERS: list[Applier] = []


def register_applier(applier: Applier) -> None:
    _APPLIERS[:] = [applier]


def applier() -> Applier:
    return _APPLIERS[0]


def campaign_of(lead_import: LeadImport) -> int:
    assert lead_import.campaign_id is not None
    return lead_import.campaign_id


def judge_applications(lead_import: LeadImport, columns: Sequence[Column]) -> dict[str, int]:
    """Finds the rows' leads, judges each row, then lets campaigns judge the applications."""
    only_own = bool(lead_import.created_by and lead_import.created_by.only_own_campaigns)
    mine: list[int] = []
    if only_own:
        mine = list(leads_in(campaign_of(lead_import)).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            _judge_sql(lead_import, columns), {"id": lead_import.pk, "all": not only_own, "mine": mine}
        )
    return applier().judge(lead_import)


def _judge_sql(lead_import: LeadImport, columns: Sequence[Column]) -> str:
    cells = cell_sql(columns)
    number = {column.target: place for place, column in enumerate(columns) if column.target}

    def conflict(condition: str, place: int | None, code: str, params: str = "'{}'::jsonb") -> str:
        where = "NULL::int" if place is None else str(place)
        return f"CASE WHEN {condition} THEN jsonb_build_array(jsonb_build_array({where}, '{code}', {params})) ELSE '[]'::jsonb END"

    key_place = number.get("id", number.get("email"))
    conflicts = [
        conflict("staged.same > 1", key_place, "person_twice", "jsonb_build_object('count', staged.same)")
    ]
    if "id" in cells:
        conflicts.append(
            conflict("staged.given IS NOT NULL AND lead.id IS NULL", number["id"], "lead_missing")
        )
        conflicts.append(
            conflict(
                f"staged.given IS NOT NULL AND lead.id IS NOT NULL AND NOT {_MINE}",
                number["id"],
                "not_of_campaign",
            )
        )
    if "dm_permission" in cells:
        wanted = (
            f"{cells['dm_permission']} = '{DmPermission.WANTED.value}' AND lead.unsubscribed_at IS NOT NULL"
        )
        conflicts.append(conflict(wanted, number["dm_permission"], "unsubscribed"))
    given = f"NULLIF({cells['id']}, '')::bigint" if "id" in cells else "NULL::bigint"
    values = update_sql(lead_import, columns)
    same = (
        " AND ".join(f"lead.{name} IS NOT DISTINCT FROM ({value})" for name, value in values.items())
        or "TRUE"
    )
    # A malformed address that the lead has already is left alone: an export must go back in (CSV-3).
    excused = "FALSE"
    if "email" in cells:
        excused = (
            "(jsonb_array_length(staged.problems) = 1 AND staged.problems -> 0 ->> 1 = 'email' "
            f"AND lead.email = {cells['email']})"
        )
    action = LeadImportRow.Action
    return f"""
        WITH known AS (
            SELECT DISTINCT ON (email_norm) email_norm, id FROM leads_lead
            WHERE deleted_at IS NULL AND email_norm IN (
                SELECT email_norm FROM leads_leadimportrow WHERE lead_import_id = %(id)s AND email_norm <> ''
            )
            ORDER BY email_norm, (registration = '{Registration.FULL.value}') DESC, id DESC
        ), meant AS (
            SELECT staged.*, {given} AS given FROM leads_leadimportrow staged WHERE lead_import_id = %(id)s
        ), keyed AS (
            SELECT meant.*, COALESCE(given, known.id) AS key
            FROM meant LEFT JOIN known ON given IS NULL AND known.email_norm = meant.email_norm
        ), staged AS (
            SELECT keyed.*, count(*) OVER (
                PARTITION BY COALESCE('#' || key, '@' || NULLIF(email_norm, ''), '-' || line)
            ) AS same FROM keyed
        ), judged AS (
            SELECT staged.line, lead.id AS lead_id, NULLIF({" || ".join(conflicts)}, '[]'::jsonb) AS conflicts,
                   staged.problems IS NOT NULL AND NOT COALESCE({excused}, FALSE) AS misread,
                   COALESCE({same}, FALSE) AS same, {_MINE} AS mine
            FROM staged LEFT JOIN leads_lead lead ON lead.id = staged.key AND lead.deleted_at IS NULL
        )
        UPDATE leads_leadimportrow row SET
            lead_id = judged.lead_id, conflicts = judged.conflicts,
            action = CASE WHEN judged.misread OR judged.conflicts IS NOT NULL THEN '{action.WRONG.value}'
                          WHEN judged.lead_id IS NULL THEN '{action.NEW.value}'
                          WHEN judged.same OR NOT judged.mine THEN '{action.UNCHANGED.value}'
                          ELSE '{action.UPDATE.value}' END,
            notes = NULLIF(({_OF_CELLS}) || CASE WHEN judged.lead_id IS NOT NULL AND NOT judged.mine
                THEN '[[null, "{KEPT}", {{}}]]'::jsonb ELSE '[]'::jsonb END, '[]'::jsonb)
        FROM judged WHERE row.lead_import_id = %(id)s AND row.line = judged.line
    """


# SYS-1: a campaign administrator overwrites nobody outside of the campaign. Somebody found by the address applies all the
# same, as through the public form; their values stay.
_MINE = "(%(all)s OR lead.id = ANY(%(mine)s::bigint[]))"
_OF_CELLS = """
    SELECT COALESCE(jsonb_agg(note), '[]'::jsonb) FROM jsonb_array_elements(COALESCE(row.notes, '[]'::jsonb)) note
    WHERE note -> 0 <> 'null'::jsonb
"""


def lock_known_leads(lead_import: LeadImport, columns: Sequence[Column]) -> None:
    """In the order of their ids, so that nothing changes between judging and writing."""
    cells = cell_sql(columns)
    by_id = (
        f"OR lead.id IN (SELECT NULLIF({cells['id']}, '')::bigint FROM leads_leadimportrow staged WHERE lead_import_id = %(id)s)"
        if "id" in cells
        else ""
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT count(*) FROM (
                SELECT lead.id FROM leads_lead lead
                WHERE lead.deleted_at IS NULL AND (lead.email_norm IN (
                    SELECT staged.email_norm FROM leads_leadimportrow staged
                    WHERE lead_import_id = %(id)s AND staged.email_norm <> ''
                ) {by_id}) ORDER BY lead.id FOR UPDATE OF lead
            ) locked
            """,
            {"id": lead_import.pk},
        )


def number_new_leads(lead_import: LeadImport) -> None:
    """New leads get their ids now, in the order of the file: their applications need them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE leads_leadimportrow row SET lead_id = numbered.lead_id FROM (
                SELECT line, nextval(pg_get_serial_sequence('leads_lead', 'id')) AS lead_id FROM (
                    SELECT line FROM leads_leadimportrow
                    WHERE lead_import_id = %(id)s AND action = 'new' ORDER BY line
                ) ordered
            ) numbered
            WHERE row.lead_import_id = %(id)s AND row.line = numbered.line
            """,
            {"id": lead_import.pk},
        )

"""What an import would do to the readers of this moment (judge.sql), and its counts."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import connection

from mail.magazines import blacklist
from mail.models import BlacklistedAddress, Magazine, ReaderImport, ReaderImportRow

Group = ReaderImportRow.Group
_JUDGE = (Path(__file__).parent / "judge.sql").read_text(encoding="utf-8")
UNMAILED = ("lead_unsubscribed", "lead_invalid", "lead_provisional")  # MAG-12
_AT_ONCE = 10_000

# The digest notices when rows changed their group, or their lead, although the counts stayed the same.
_COUNTS = """
    SELECT "group", count(*), count(*) FILTER (WHERE lead_id IS NULL), COALESCE(sum(hashtext(line || "group" || COALESCE(lead_id, 0))::bigint), 0)
    FROM mail_readerimportrow WHERE reader_import_id = %(id)s GROUP BY "group"
"""
_REASONS = """
    SELECT reason ->> 1, reason -> 2 ->> 'magazine', count(*)
    FROM mail_readerimportrow, jsonb_array_elements(reasons) reason
    WHERE reader_import_id = %(id)s AND reasons IS NOT NULL GROUP BY 1, 2
"""
_STOPPED_ELSEWHERE = """
    SELECT row.id, reader.magazine_id FROM mail_readerimportrow row
        JOIN leads_lead lead ON lead.email_norm = row.address_norm AND lead.deleted_at IS NULL
        JOIN mail_reader reader ON reader.lead_id = lead.id AND reader.state = 'stopped' AND reader.magazine_id <> %(magazine)s
    WHERE row.reader_import_id = %(id)s AND row.problems IS NULL AND row."group" IN ('new', 'turned')
"""
_NOTE_ELSEWHERE = """
    UPDATE mail_readerimportrow row SET reasons = COALESCE(row.reasons, '[]') || told.reasons
    FROM (
        SELECT id, jsonb_agg(jsonb_build_array(NULL, 'elsewhere', jsonb_build_object('magazine', magazine)) ORDER BY magazine) AS reasons
        FROM unnest(%(ids)s::bigint[], %(magazines)s::bigint[]) AS found(id, magazine) GROUP BY id
    ) told
    WHERE row.id = told.id
"""


def judge(reader_import: ReaderImport, magazine: Magazine) -> dict[str, Any]:
    """Judges every staged row, inside the caller's transaction. {group: n, "new_leads": n, "reasons": {code: n},
    "elsewhere": {magazine id: n}, "elsewhere_rows": n, "digest": str}; every group is there."""
    listed = _listed(reader_import, magazine)
    parameters: dict[str, Any] = {
        "id": reader_import.pk, "magazine": magazine.pk, "blacklist": magazine.blacklist,
        "listed": list(listed), "own": list(listed.values()),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute(_JUDGE, parameters)
        elsewhere_rows = _mark_elsewhere(reader_import, magazine)
        cursor.execute(_COUNTS, parameters)
        groups = cursor.fetchall()
        cursor.execute(_REASONS, parameters)
        reasons = cursor.fetchall()
    counts: dict[str, Any] = {group.value: 0 for group in Group} | {
        group: n for group, n, _new, _sum in groups
    }
    return counts | {
        "new_leads": sum(new for group, _n, new, _sum in groups if group in {Group.NEW, Group.TURNED}),
        "reasons": {code: n for code, other, n in reasons if other is None},
        "elsewhere": {other: n for code, other, n in reasons if code == "elsewhere"},
        "elsewhere_rows": elsewhere_rows,
        "digest": f"{magazine.blacklist}:{sum(int(total) for *_, total in groups)}",
    }


def portions(rows: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    waiting = iter(rows)
    while portion := list(islice(waiting, _AT_ONCE)):
        yield portion


def _addresses(reader_import: ReaderImport, groups: list[str] | None = None) -> Iterator[tuple[int, str]]:
    """(row's id, address_norm) of the rows that nothing is wrong with."""
    rows = ReaderImportRow.objects.filter(reader_import=reader_import, problems__isnull=True).order_by()
    if groups is not None:
        rows = rows.filter(group__in=groups)
    return rows.values_list("id", "address_norm").iterator(_AT_ONCE)


def _listed(reader_import: ReaderImport, magazine: Magazine) -> dict[str, bool]:
    """{address of the file that is on the blacklist: whether by the person's own act}."""
    found: dict[str, bool] = {}
    if BlacklistedAddress.objects.filter(magazine=magazine).exists():
        for portion in portions(_addresses(reader_import)):
            found |= blacklist.acts(magazine, [norm for _id, norm in portion])
    return found


def _mark_elsewhere(reader_import: ReaderImport, magazine: Magazine) -> int:
    """MAG-11: notes on each row that would be mailed from now on in which other magazines that address is stopped, or was
    removed after leaving. The number of such rows."""
    others = list(Magazine.objects.exclude(pk=magazine.pk))
    if not others:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_STOPPED_ELSEWHERE, {"id": reader_import.pk, "magazine": magazine.pk})
        found: set[tuple[int, int]] = set(cursor.fetchall())
    lists = [other for other in others if BlacklistedAddress.objects.filter(magazine=other).exists()]
    if lists:
        for portion in portions(_addresses(reader_import, [Group.NEW.value, Group.TURNED.value])):
            ids = {norm: row_id for row_id, norm in portion}
            for other in lists:
                found |= {(ids[norm], other.pk) for norm in blacklist.listed(other, ids)}
    if found:
        with connection.cursor() as cursor:
            ids_, magazines = zip(*sorted(found), strict=True)
            cursor.execute(_NOTE_ELSEWHERE, {"ids": list(ids_), "magazines": list(magazines)})
    return len({row_id for row_id, _magazine in found})

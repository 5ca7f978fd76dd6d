"""Taking an import back (MAG-10): exactly what it did, as far as nobody changed it since (undo.sql says what that means).
Mails that were sent meanwhile stay in the history."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection

from mail.magazines import blacklist
from mail.magazines.imports.write import plan_all
from mail.magazines.many_readers import remove
from mail.models import Magazine, ReaderImport, ReaderWay

_VERDICTS = (Path(__file__).parent / "undo.sql").read_text(encoding="utf-8")
_COUNTS = """
    SELECT count(*) FILTER (WHERE verdict = 'remove'), count(*) FILTER (WHERE verdict = 'turn_back'),
        count(*) FILTER (WHERE cardinality(keys) > 0 AND verdict <> 'remove'), count(*) FILTER (WHERE verdict = 'kept'),
        count(*) FILTER (WHERE verdict = 'remove' AND lead_goes)
    FROM {}
"""
_NAMES = ("readers_removed", "turned_back", "restored", "kept", "leads_deleted")
_CHANGE = """
    INSERT INTO mail_readerchange (magazine_id, lead_id, at, what, way, before, after, "group", detail, source, user_id, import_id)
    SELECT %(magazine)s, undone.lead_id, %(now)s, {what}, 'import_undo', {before}, {after}, '', {detail}, %(source)s, %(user)s, %(id)s
    FROM undone JOIN mail_reader reader ON reader.id = undone.reader_id
"""
_TURNED_BACK = (
    _CHANGE.format(
        what="'state'", before="reader.state", after="undone.before ->> 'state'", detail="'{}'::jsonb"
    )
    + "WHERE undone.verdict = 'turn_back' ORDER BY undone.lead_id"
)
_RESTORED = (
    _CHANGE.format(
        what="'edited'",
        before="reader.state",
        after="reader.state",
        detail="jsonb_build_object('changes', changed.items)",
    )
    + """CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(key, jsonb_build_array(reader."values" -> key, undone.old -> key)) AS items FROM unnest(undone.keys) key
    ) changed
    WHERE cardinality(undone.keys) > 0 AND undone.verdict <> 'remove' ORDER BY undone.lead_id"""
)
_WRITE_BACK = """
    UPDATE mail_reader reader SET
        "values" = (reader."values" - undone.keys) || undone.old,
        state = CASE WHEN undone.verdict = 'turn_back' THEN undone.before ->> 'state' ELSE reader.state END,
        state_at = CASE WHEN undone.verdict = 'turn_back' THEN (undone.before ->> 'state_at')::timestamptz ELSE reader.state_at END,
        updated_at = %(now)s
    FROM undone WHERE reader.id = undone.reader_id
        AND (undone.verdict = 'turn_back' OR (cardinality(undone.keys) > 0 AND undone.verdict <> 'remove'))
"""
_DELETE_LEADS = """
    UPDATE leads_lead lead SET deleted_at = %(now)s, updated_at = %(now)s
    FROM undone WHERE lead.id = undone.lead_id AND undone.verdict = 'remove' AND undone.lead_goes
"""


def _parameters(reader_import: ReaderImport) -> dict[str, Any]:
    return {
        "id": reader_import.pk,
        "magazine": reader_import.magazine_id,
        "committed": reader_import.committed_at,
    }


def preview(reader_import: ReaderImport) -> dict[str, int]:
    """How many readers would be removed, turned back to stopped, get values back, stay as they are; how many leads deleted."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS.format(f"({_VERDICTS}) undone"), _parameters(reader_import))
        return dict(zip(_NAMES, cursor.fetchone(), strict=True))


def take_back(
    reader_import: ReaderImport, magazine: Magazine, *, now: datetime, beat: Callable[[], None]
) -> dict[str, int]:
    """In the caller's transaction, which holds the magazine, the leads and the readers. Returns what `preview` counts."""
    user = reader_import.undone_by
    values = _parameters(reader_import) | {
        "now": now, "source": reader_import.file_name[:300], "user": reader_import.undone_by_id,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute(f"CREATE TEMPORARY TABLE undone ON COMMIT DROP AS {_VERDICTS}", values)
        cursor.execute("ANALYZE undone")
        cursor.execute(_COUNTS.format("undone"))
        result = dict(zip(_NAMES, cursor.fetchone(), strict=True))
        beat()
        for statement in (_TURNED_BACK, _RESTORED, _WRITE_BACK):
            cursor.execute(statement, values)
            beat()
        cursor.execute("SELECT reader_id FROM undone WHERE verdict = 'remove'")
        gone = [row[0] for row in cursor.fetchall()]
        remove(
            magazine, gone, way=ReaderWay.IMPORT_UNDO, user=user, now=now, source=reader_import.file_name,
            import_id=reader_import.pk,
        )  # fmt: skip
        beat()
        _list_again(cursor, magazine, now=now)
        cursor.execute("SELECT lead_id FROM undone WHERE verdict IN ('remove', 'turn_back')")
        plan_all(magazine.pk, [row[0] for row in cursor.fetchall()], now=now, beat=beat)
        cursor.execute(_DELETE_LEADS, values)
        cursor.execute("DROP TABLE undone")
    return result


def _list_again(cursor: Any, magazine: Magazine, *, now: datetime) -> None:
    """Whom the import took off the blacklist, and who is as before now."""
    cursor.execute(
        "SELECT address_norm, (before ->> 'own_act')::boolean FROM undone "
        "WHERE verdict IN ('remove', 'turn_back') AND before ->> 'own_act' IS NOT NULL"
    )
    rows = cursor.fetchall()
    for own_act in (True, False):
        blacklist.put(magazine, [norm for norm, own in rows if own is own_act], own_act=own_act, now=now)

"""Administrators stop or remove many readers in statements (MAG-2: bulk deletion, import, its undo), 100,000 in seconds."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from leads.models import ConsentRecord
from mail.magazines import blacklist
from mail.magazines.locks import hold
from mail.models import Magazine, Reader
from mail.models.magazine import ReaderWay
from mail.stories.turns import plan_turns
from settings import audit
from settings.models import User
from smp.lib.deadlocks import again_after_deadlock

_FOUND = """
WITH found AS MATERIALIZED (
    SELECT id, lead_id, state FROM mail_reader
     WHERE magazine_id = %(magazine)s AND id = ANY(%(ids)s) AND state <> %(not)s
     ORDER BY id FOR NO KEY UPDATE
)"""
_NOTE = """
INSERT INTO mail_readerchange (magazine_id, lead_id, at, what, way, before, after, "group", detail, evidence, source,
                               user_id, ip, import_id)
SELECT %(magazine)s, lead_id, %(now)s, %(what)s, %(way)s, state, %(after)s, '', '{}', %(evidence)s, %(source)s,
       %(user)s, %(ip)s, %(import)s FROM found
"""

_STOP = f"""{_FOUND}, done AS (
    UPDATE mail_reader r SET state = 'stopped', state_at = %(now)s, updated_at = %(now)s FROM found WHERE r.id = found.id
){_NOTE}"""

_REMOVE = f"""{_FOUND}, forgotten AS (
    UPDATE mail_readerfailure f SET reset_at = %(now)s FROM found
     WHERE f.magazine_id = %(magazine)s AND f.lead_id = found.lead_id AND f.reset_at IS NULL
), done AS (
    DELETE FROM mail_reader r USING found WHERE r.id = found.id
){_NOTE}"""

_ADDRESSES = """
SELECT DISTINCT l.email_norm FROM mail_reader r JOIN leads_lead l ON l.id = r.lead_id
 WHERE r.magazine_id = %(magazine)s AND r.id = ANY(%(ids)s) AND l.email_norm <> ''
"""


def stop(
    magazine: Magazine, reader_ids: Iterable[int], *, way: str, user: User | None, now: datetime, ip: str | None = None,
    source: str = "", import_id: int | None = None,
) -> int:  # fmt: skip
    """To 配信停止, from whatever state; their addresses are put on the blacklist (not by an import that is taken back).
    Ids of other magazines are passed over. Returns how many were not stopped before."""
    return _act(
        "reader.stop_many", _STOP, {"what": "state", "not": "stopped", "after": "stopped"}, magazine, reader_ids,
        way=way, user=user, now=now, ip=ip, source=source, import_id=import_id,
    )  # fmt: skip


def remove(
    magazine: Magazine, reader_ids: Iterable[int], *, way: str, user: User | None, now: datetime, ip: str | None = None,
    source: str = "", import_id: int | None = None,
) -> int:  # fmt: skip
    """Off the list; history, turns and blacklist stay. Otherwise as `stop`."""
    return _act(
        "reader.remove_many", _REMOVE, {"what": "removed", "not": "", "after": ""}, magazine, reader_ids,
        way=way, user=user, now=now, ip=ip, source=source, import_id=import_id,
    )  # fmt: skip


@again_after_deadlock
def _act(
    action: str, statement: str, kind: dict[str, str], magazine: Magazine, reader_ids: Iterable[int], *, way: str,
    user: User | None, now: datetime, ip: str | None, source: str, import_id: int | None,
) -> int:  # fmt: skip
    evidence = ConsentRecord.Evidence.IMPORT if way == ReaderWay.IMPORT else ConsentRecord.Evidence.ADMIN
    values: dict[str, Any] = {
        "magazine": magazine.pk, "ids": sorted(set(reader_ids)), "now": now, "way": way, "evidence": evidence.value,
        "source": source[:300], "user": user.pk if user else None, "ip": ip, "import": import_id, **kind,
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        magazine = hold(magazine.pk, alone=True)
        if way != ReaderWay.IMPORT_UNDO:
            cursor.execute(_ADDRESSES, values)
            blacklist.put(magazine, {row[0] for row in cursor.fetchall()}, own_act=False, now=now)
        among = Reader.objects.filter(magazine=magazine, pk__in=values["ids"])
        leads = list(among.values_list("lead_id", flat=True)) if statement is _REMOVE else []
        cursor.execute(statement, values)
        done: int = cursor.rowcount
        plan_turns(magazine.pk, lead_ids=leads, now=now)  # who is no reader any more waits for no story
        detail = {"at": now.isoformat(), "readers": done, "way": str(way)}
        if source:
            detail["source"] = source
        if done:
            audit.record(action, user=user, target=magazine, detail=detail, ip=ip)
    return done

"""Step stories: whose turn it is, and when (MAG-8). The only module that writes StoryTurn.

A reader has at most one waiting turn, their next story. `plan_turns` makes it, by one statement (turns.sql), after a registration,
after each start, and after every change of the series. Planning again changes nothing that is right, so it may be done at any
time; the tick does it for whoever has none, so that nothing is lost with a process.

Locks: planning for some readers and planning for a whole series exclude each other (an advisory lock of the magazine), because
otherwise somebody who is planned at this moment would wait by the order that was. A start holds its story's row as well.
"""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from mail.models.story import SkipWhy
from mail.step_settings import LATE_HOURS
from settings.system_settings import get_setting

LIMIT = 5_000  # readers that one statement plans for; too late ones that one tick skips of a story
NEW_FOR = timedelta(hours=1)  # the tick looks so far back for new readers without a plan, each minute

# `{ready: base; days; hours}` is mail/stories/loops.py ready_at, for many.
_LOCAL = "({0} AT TIME ZONE 'Asia/Tokyo')"
_READY = (
    f"(CASE WHEN at_time IS NULL THEN {_LOCAL} + make_interval(days => {{1}}, hours => {{2}})"
    f" ELSE date_trunc('day', {_LOCAL}) + at_time::interval"
    f" + make_interval(days => CASE WHEN {{1}} = 0 AND {_LOCAL}::time > at_time THEN 1 ELSE {{1}} END)"
    " END AT TIME ZONE 'Asia/Tokyo')"
)
_TEXT = re.sub(r"--.*", "", (Path(__file__).parent / "turns.sql").read_text(encoding="utf-8"))
_NEXT = re.sub(r"\{ready: (.+?); (.+?); (.+?)\}", lambda found: _READY.format(*found.groups()), _TEXT)

# Whom it is about: `who` of turns.sql.
_EVERYBODY = """
    SELECT lead_id FROM mail_reader WHERE magazine_id = %(magazine)s
    UNION SELECT lead_id FROM mail_storyturn WHERE magazine_id = %(magazine)s AND state = 'waiting'
"""
_GIVEN = "SELECT unnest(%(leads)s::bigint[]) AS lead_id"
_OF_JOB = "SELECT lead_id FROM mail_delivery WHERE job_id = %(job)s"

# Three kinds of rows, none of which is of two: no turn any more, another turn, a turn at last.
_PLAN = """,
gone AS (
    DELETE FROM mail_storyturn turn USING next
    WHERE turn.id = next.turn_id AND turn.state = 'waiting' AND next.story_id IS NULL
),
changed AS (
    UPDATE mail_storyturn turn SET story_id = next.story_id, base_at = next.base_at, due_at = next.due_at
    FROM next
    WHERE turn.id = next.turn_id AND turn.state = 'waiting' AND next.story_id IS NOT NULL
        AND (waits_for, waits_since, waits_until) IS DISTINCT FROM (next.story_id, next.base_at, next.due_at)
)
INSERT INTO mail_storyturn (story_id, magazine_id, lead_id, state, base_at, due_at, why)
SELECT story_id, %(magazine)s, lead_id, 'waiting', base_at, due_at, '' FROM next
WHERE turn_id IS NULL AND story_id IS NOT NULL
ORDER BY lead_id
ON CONFLICT DO NOTHING
"""


# Most magazines have no step stories: an import of 100,000 readers then plans nothing.
_HAS_SERIES = """
SELECT EXISTS (SELECT FROM mail_story WHERE magazine_id = %(magazine)s AND kind = 'step' AND state IN ('running', 'paused'))
    OR EXISTS (SELECT FROM mail_storyturn WHERE magazine_id = %(magazine)s AND state = 'waiting')
"""


# One look at the index a lead, in their order, whatever the planner believes of the tables.
_HOLD = """
SELECT FROM (SELECT DISTINCT lead_id FROM ({who}) AS who ORDER BY lead_id) AS one
CROSS JOIN LATERAL (
    SELECT id FROM mail_storyturn turn
    WHERE turn.magazine_id = %(magazine)s AND turn.lead_id = one.lead_id AND turn.state = 'waiting'
    LIMIT 1 FOR NO KEY UPDATE
) AS held
"""


def plan_turns(magazine_id: int, *, lead_ids: Collection[int] | None = None, now: datetime) -> None:
    """(Re)makes the waiting turns of these leads as readers of the magazine, or of all of its readers. Who is no reader any
    more, or has had every story, gets none. In the transaction of what made it necessary, at its end."""
    if lead_ids is None:
        _plan(magazine_id, _EVERYBODY, {}, now=now)
    elif lead_ids:
        _plan(magazine_id, _GIVEN, {"leads": sorted(set(lead_ids))}, now=now)


def _plan(magazine_id: int, who: str, parameters: dict[str, Any], *, now: datetime) -> None:
    parameters = {"magazine": magazine_id, "now": now, **parameters}
    with transaction.atomic():
        lock_series(magazine_id, alone=who is _EVERYBODY)
        with connection.cursor() as cursor:
            cursor.execute(_HAS_SERIES, parameters)
            if not cursor.fetchone()[0]:
                return
            if who is not _EVERYBODY:  # two who plan for the same readers do it in the same order
                cursor.execute(_HOLD.replace("{who}", who), parameters)
            cursor.execute(statement(_PLAN, who), parameters)


def statement(ending: str, who: str = _EVERYBODY) -> str:
    """turns.sql and what is done with its `next`. `who` selects lead_id."""
    return (_NEXT + ending).replace("{who}", who)


def lock_series(magazine_id: int, *, alone: bool) -> None:
    """Until the transaction ends: `alone` to change the series, otherwise beside others who plan for single readers. Who
    changes stories has locked their rows before."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtext('smp:series'), %s)", [magazine_id % 2**31])


# ---- at a start ------------------------------------------------------------------------------------------------------


def turns_decided(magazine_id: int, story_id: int, job_id: int, *, now: datetime) -> int:
    """A start of a step story wrote its decision rows, in this transaction, which holds the story's row: their turns are over,
    and the readers' next ones are planned. Returns how many turns were decided."""
    lock_series(magazine_id, alone=False)
    parameters: dict[str, Any] = {"magazine": magazine_id, "story": story_id, "job": job_id, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH held AS (
                SELECT id FROM mail_storyturn WHERE story_id = %(story)s AND state = 'waiting' AND lead_id IN ({_OF_JOB})
                ORDER BY lead_id FOR NO KEY UPDATE)
            UPDATE mail_storyturn turn SET state = 'decided', decided_at = %(now)s, job_id = %(job)s
            FROM held WHERE turn.id = held.id
            """,
            parameters,
        )
        decided = cursor.rowcount
    _plan(magazine_id, _OF_JOB, {"job": job_id}, now=now)
    return int(decided)


def skip_turns(
    story_id: int,
    why: SkipWhy,
    condition: str,
    *,
    limit: int | None = LIMIT,
    now: datetime,
    **parameters: Any,
) -> list[int]:
    """Ends the waiting turns of a story that meet an SQL condition; the leads, `limit` of them at most. Their next turns are
    not planned yet. The caller holds the story's row and the lock of the series."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH held AS (
                SELECT id FROM mail_storyturn turn WHERE story_id = %(story)s AND state = 'waiting' AND {condition}
                ORDER BY due_at, lead_id LIMIT %(limit)s FOR NO KEY UPDATE)
            UPDATE mail_storyturn turn SET state = 'skipped', why = %(why)s, decided_at = %(now)s
            FROM held WHERE turn.id = held.id RETURNING turn.lead_id
            """,
            {"story": story_id, "why": str(why), "now": now, "limit": limit, **parameters},
        )
        return [row[0] for row in cursor.fetchall()]


# Who has had a later story of the series, and who would get this one next though its time was over before it was there. Not who
# waits for it already.
_SKIP_PASSED = """,
passed AS (
    SELECT lead_id FROM next
    WHERE registered_at IS NOT NULL AND waits_for IS DISTINCT FROM %(story)s AND (
        story_id = %(story)s AND planned_at <= %(now)s
        OR %(story)s <> ALL (over) AND over && ARRAY(
            SELECT later.id FROM series later JOIN series this ON this.id = %(story)s AND later.place > this.place))
)
INSERT INTO mail_storyturn (story_id, magazine_id, lead_id, state, decided_at, why)
SELECT %(story)s, %(magazine)s, lead_id, 'skipped', %(now)s, 'added_later' FROM passed
ON CONFLICT DO NOTHING
"""


def skip_passed(magazine_id: int, story_id: int, *, now: datetime) -> int:
    """A story was put into the series, or has another place: who has passed it will not get it (added_later). How many. Their
    turns are planned afterwards; the caller holds the lock of the series alone."""
    with connection.cursor() as cursor:
        cursor.execute(statement(_SKIP_PASSED), {"magazine": magazine_id, "story": story_id, "now": now})
        return int(cursor.rowcount)


def skip_late(magazine_id: int, story_id: int, *, now: datetime) -> int:
    """What is overdue by more than the system setting allows is not sent any more (too_late), and the series goes on with the
    next story. How many; the caller holds the story's row."""
    hours = get_setting(LATE_HOURS)
    if not hours:
        return 0
    lock_series(magazine_id, alone=False)
    leads = skip_turns(
        story_id, SkipWhy.TOO_LATE, "due_at < %(before)s", now=now, before=now - timedelta(hours=hours)
    )  # fmt: skip
    plan_turns(magazine_id, lead_ids=leads, now=now)
    return len(leads)


def drop_gone(magazine_id: int, story_id: int, *, now: datetime) -> int:
    """Due turns of who is no reader any more, or whose lead was deleted, wait for nothing. How many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT lead_id FROM mail_storyturn turn
            WHERE story_id = %(story)s AND state = 'waiting' AND due_at <= %(now)s AND NOT EXISTS (
                SELECT FROM mail_reader reader JOIN leads_lead lead ON lead.id = reader.lead_id
                WHERE reader.magazine_id = turn.magazine_id AND reader.lead_id = turn.lead_id AND lead.deleted_at IS NULL)
            LIMIT %(limit)s
            """,
            {"story": story_id, "now": now, "limit": LIMIT},
        )
        leads = [row[0] for row in cursor.fetchall()]
    plan_turns(magazine_id, lead_ids=leads, now=now)
    return len(leads)


# ---- whoever has no plan ---------------------------------------------------------------------------------------------

# Of each magazine with running or paused step stories. OFFSET 0 makes each question an index look-up of its own, a reader after
# the other, whatever the planner believes.
_MISSING = """
SELECT missing.magazine_id, missing.lead_id
FROM (
    SELECT DISTINCT story.magazine_id FROM mail_story story JOIN mail_magazine magazine ON magazine.id = story.magazine_id
    WHERE story.kind = 'step' AND story.state IN ('running', 'paused') AND magazine.archived_at IS NULL
) series CROSS JOIN LATERAL (
    SELECT reader.magazine_id, reader.lead_id FROM mail_reader reader
    WHERE reader.magazine_id = series.magazine_id {since}
        AND NOT EXISTS (
            SELECT FROM mail_storyturn turn
            WHERE turn.magazine_id = reader.magazine_id AND turn.lead_id = reader.lead_id AND turn.state = 'waiting' OFFSET 0)
        AND EXISTS (SELECT FROM leads_lead lead WHERE lead.id = reader.lead_id AND lead.deleted_at IS NULL OFFSET 0)
        AND EXISTS (
            SELECT FROM mail_story story
            WHERE story.magazine_id = reader.magazine_id AND story.kind = 'step' AND story.state IN ('running', 'paused')
                AND NOT EXISTS (
                    SELECT FROM mail_storyturn turn WHERE turn.story_id = story.id AND turn.lead_id = reader.lead_id OFFSET 0)
            OFFSET 0)
    LIMIT %(limit)s
) missing
"""


def plan_missing(now: datetime, *, everybody: bool) -> int:
    """Plans for readers who wait for nothing though there is a story for them: their process died, or their registration did
    not ask for a plan. `everybody`: all readers, for now and then; otherwise those who registered lately. How many."""
    since = "" if everybody else "AND reader.registered_at > %(since)s"
    with connection.cursor() as cursor:
        cursor.execute(_MISSING.replace("{since}", since), {"since": now - NEW_FOR, "limit": LIMIT})
        found = cursor.fetchall()
    missing: dict[int, list[int]] = {}
    for magazine_id, lead_id in found:
        missing.setdefault(magazine_id, []).append(lead_id)
    for magazine_id in sorted(missing):
        plan_turns(magazine_id, lead_ids=missing[magazine_id], now=now)
    return len(found)

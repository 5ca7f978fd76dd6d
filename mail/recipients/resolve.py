"""Deciding who is addressed (TGT-12): one statement, whatever the size, written once in resolve.sql.

The dry run (EXC-6) and the real decision are the same text; only the last lines differ.
What this module does not do: change a job's state (mail/send_jobs.py) or send anything (mail/delivery/).
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import (
    BooleanField,
    Case,
    Exists,
    F,
    FilteredRelation,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)

from leads.models import Lead
from leads.scope import narrow_to
from leads.search import leads_matching
from mail.magazines.filters import filter_q, has_filter
from mail.models.delivery import DeliveryState
from mail.models.magazine import FailureGroup, Magazine, Reader, ReaderState
from mail.models.send_job import RecipientRule, SendJob
from mail.models.story import StoryTurn, TurnState
from mail.models.template import Purpose
from mail.recipients.plan import Plan, ReaderScope
from mail.recipients.reasons import DECIDED_AT_START, Reason

# Without its comments: they name the places that are filled, and a value with a line end would leave the comment.
DECISION = re.sub(r"--.*", "", (Path(__file__).parent / "resolve.sql").read_text(encoding="utf-8"))
COLUMNS = (
    "id", "email", "email_norm", "email_malformed", "email_valid", "registration", "dm_permission",
    "unsubscribed_at", "deleted_at", "reader_state", "matches",
)  # fmt: skip
# A worker's session may have 4 MB; with it the duplicates of a million leads spill to disk and cost seconds.
WORK_MEMORY = "256MB"
_ROOM = "SELECT set_config('work_mem', %s, true), set_config('jit', 'off', true)"
# A few candidates: their own rows by index. For many, one pass over the template's rows is cheaper.
_FEW = "AND lead_id IN (SELECT id FROM candidate)"
ANALYZE_FROM = 5_000


@dataclass(frozen=True)
class Counts:
    """The dry run's answer. in_scope = addressed + the sum of by_reason."""

    in_scope: int
    addressed: int
    by_reason: dict[Reason, int]


def candidates(plan: Plan, *, now: datetime) -> QuerySet[Lead, Any]:
    """Everyone in scope. By user the ticked leads, deleted ones too (they get their own reason, TGT-2). Inside a
    campaign its applicants only; of a magazine its readers."""
    leads: QuerySet[Lead, Any]
    if plan.readers is not None:
        leads = _readers(plan, plan.readers, now=now)
    elif plan.rule == RecipientRule.BY_USER:
        leads = _no_readers(narrow_to(Lead.objects.filter(id__in=plan.lead_ids), plan.campaign_id))
    else:
        if plan.condition is None:
            raise ValueError("a by-search plan needs a condition")
        leads = _no_readers(leads_matching(plan.condition, now=now, campaign_id=plan.campaign_id))
    return leads.order_by().values_list(*COLUMNS)


def _no_readers(leads: QuerySet[Lead]) -> QuerySet[Lead, Any]:
    """Constants, so that the planner throws away what is asked of readers only."""
    return leads.annotate(reader_state=Value(""), matches=Value(True))


def _readers(plan: Plan, scope: ReaderScope, *, now: datetime) -> QuerySet[Lead, Any]:
    """A magazine's readers, each with the state of the reader (MAG-1) and whether the delivery filter matches (MAG-7)."""
    leads = (
        Lead.objects.filter(deleted_at=None)
        .alias(reader=FilteredRelation("readers", condition=Q(readers__magazine_id=scope.magazine_id)))
        .filter(reader__magazine_id=scope.magazine_id)
        .annotate(reader_state=_state(scope), matches=_filter(plan, scope, now=now))
    )
    if scope.turns_of is not None:
        turns = StoryTurn.objects.filter(
            story_id=scope.turns_of, state=TurnState.WAITING, due_at__lte=now, lead_id=OuterRef("pk")
        )
        leads = leads.filter(Exists(turns))
    if scope.date_item:
        ends = [Q(date__endswith=day) for day in scope.days]
        # Django's own key lookup takes a number for a place in a list.
        date = Func(
            F("reader__values"),
            Value(scope.date_item),
            function="jsonb_extract_path_text",
            output_field=TextField(),
        )
        leads = leads.alias(date=date).filter(reduce(or_, ends, Q(pk__in=[])))
    return leads


def _state(scope: ReaderScope) -> Case:
    """The reader's state as the start will find it. Whoever has reached a threshold is stopped there before anybody is decided
    (MAG-5), so a real start sees nobody like that; the dry run counts them as it will (EXC-6)."""
    magazine = Magazine.objects.filter(pk=scope.magazine_id)
    limits = {group: Subquery(magazine.values(f"stop_{group}")) for group in FailureGroup.values}
    over = reduce(or_, (Q(**{f"reader__failures_{group}__gte": limit}) for group, limit in limits.items()))
    stopped = When(
        Q(reader__state=ReaderState.DELIVERABLE) & over, then=Value(ReaderState.ERROR_STOPPED.value)
    )
    return Case(stopped, default=F("reader__state"), output_field=TextField())


def _filter(plan: Plan, scope: ReaderScope, *, now: datetime) -> Value | Case:
    """Judged reader by reader, beside the other reasons: it says to whom, never whom not (MAG-7)."""
    if not has_filter(plan.condition):
        return Value(True)
    matches = filter_q(plan.condition, scope.magazine_id, now=now)
    return Case(When(matches, then=Value(True)), default=Value(False), output_field=BooleanField())


def _statement(
    plan: Plan, ending: str, parameters: dict[str, Any], *, now: datetime, among: Q | None = None
) -> tuple[str, dict[str, Any]]:
    """resolve.sql with the compiled candidates in it, ready for cursor.execute. `among` leaves only a few of them."""
    everyone = candidates(plan, now=now)
    few = among is not None or plan.rule == RecipientRule.BY_USER
    try:
        sql, positional = (everyone.filter(among) if among is not None else everyone).query.sql_with_params()
    except EmptyResultSet:  # Django knows without asking that nobody matches
        sql, positional = (
            _no_readers(Lead.objects.extra(where=["false"]))
            .order_by()
            .values_list(*COLUMNS)
            .query.sql_with_params()
        )
    named = {f"candidate_{index}": value for index, value in enumerate(positional)}
    # Django writes %s and %%; the statement around it has named parameters.
    parts = sql.replace("%%", "\0").split("%s")
    compiled = parts[0] + "".join(f"%(candidate_{index})s{part}" for index, part in enumerate(parts[1:]))
    decision = DECISION.replace("{few}", _FEW if few else "")
    return decision.replace("{candidates}", compiled.replace("\0", "%%")) + ending, {
        **named,
        "template": plan.template_id,
        "include_sent": plan.include_sent,
        "advertising": plan.purpose == Purpose.ADVERTISING,
        "dm_permissions": list(plan.dm_permissions),
        "skip_duplicates": plan.skip_duplicates,
        **parameters,
    }


def resolve(job: SendJob, plan: Plan, *, now: datetime, state: str = DeliveryState.QUEUED) -> int:
    """Writes one decision row for every lead in scope (TGT-12) and returns how many leads were in scope.

    Runs inside the caller's transaction. `state` is what addressed leads get: queued, or reserved for a by-user
    job that waits for its time (TGT-2). A lead that already has a row of this job keeps it.
    Two jobs with the same template decide one after the other: otherwise neither would see the other's rows and
    a person would get the template twice (EXC-2).
    """
    ending = """
INSERT INTO mail_delivery (job_id, lead_id, kind, campaign_id, template_id, state, reason, decided_at, address, dm_permission,
    email_valid, registration, unsubscribed_at, reader_state, related_id, next_at, attempts, subject, enhanced_status, reply,
    remote_host, failed_address)
SELECT %(job)s, lead_id, %(kind)s, %(campaign)s::bigint, %(template)s, CASE reason WHEN '' THEN %(state)s ELSE 'excluded' END, reason, %(now)s,
    address, dm_permission, email_valid, registration, unsubscribed_at, reader_state, related_id,
    CASE WHEN reason = '' THEN %(next_at)s::timestamptz END, 0, '', '', '', '', ''
FROM decision
ON CONFLICT (job_id, lead_id) WHERE job_id IS NOT NULL DO NOTHING
"""
    next_at = now if state == DeliveryState.QUEUED else None
    values = {
        "job": job.pk, "kind": str(plan.kind), "campaign": plan.campaign_id, "state": str(state), "now": now,
        "next_at": next_at,
    }  # fmt: skip
    sql, parameters = _statement(plan, ending, values, now=now)
    with connection.cursor() as cursor:
        _one_after_another(cursor, plan)
        cursor.execute(_ROOM, [WORK_MEMORY])
        cursor.execute(sql, parameters)
        written: int = cursor.rowcount
        if written >= ANALYZE_FROM:
            # With stale statistics the planner scans thousands of entries per fenced update (docs/architecture.md).
            cursor.execute("ANALYZE mail_delivery")
    return written


def _one_after_another(cursor: CursorWrapper, plan: Plan) -> None:
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtext('smp:template'), %s)", [(plan.template_id or 0) % 2**31]
    )


@dataclass(frozen=True)
class DueWait:
    """A step mail's wait whose time has come, with what its mail says of its application."""

    pk: int
    lead_id: int
    application_id: int | None
    given: dict[str, str]


def resolve_waits(
    plan: Plan, waits: Sequence[DueWait], *, step_mail_id: int, snapshot_id: int, now: datetime
) -> int:
    """Decides waits of one step mail, each of another lead, by the same statement: a delivery each, and the wait knows it.
    Returns how many are on their way. A lead that is not in the plan's scope gets none: its wait stays.

    Runs inside the caller's transaction, which holds the waits.
    """
    ending = """,
due (id, lead_id, application_id, given) AS (
    SELECT * FROM unnest(%(waits)s::bigint[], %(leads)s::bigint[], %(applications)s::bigint[], %(given)s::text[])
),
written AS (
    INSERT INTO mail_delivery (step_mail_id, lead_id, kind, campaign_id, template_id, application_id, snapshot_id, given_values,
        state, reason, decided_at, address, dm_permission, email_valid, registration, unsubscribed_at, related_id, next_at,
        attempts, subject, enhanced_status, reply, remote_host, failed_address)
    SELECT %(step)s, lead_id, 'step', %(campaign)s::bigint, %(template)s, application_id, %(snapshot)s,
        CASE WHEN reason = '' THEN given::jsonb END, CASE reason WHEN '' THEN 'queued' ELSE 'excluded' END, reason, %(now)s,
        address, dm_permission, email_valid, registration, unsubscribed_at, related_id,
        CASE WHEN reason = '' THEN %(now)s::timestamptz END, 0, '', '', '', '', ''
    FROM decision JOIN due USING (lead_id)
    RETURNING id, lead_id, state
),
decided AS (
    UPDATE mail_stepwait wait SET state = 'decided', decided_at = %(now)s, delivery_id = written.id
    FROM written JOIN due USING (lead_id) WHERE wait.id = due.id
)
SELECT count(*) FROM written WHERE state = 'queued'
"""
    values = {
        "step": step_mail_id, "campaign": plan.campaign_id, "snapshot": snapshot_id, "now": now,
        "waits": [one.pk for one in waits], "leads": [one.lead_id for one in waits],
        "applications": [one.application_id for one in waits],
        "given": [json.dumps(one.given, ensure_ascii=False) if one.given else None for one in waits],
    }  # fmt: skip
    sql, parameters = _statement(plan, ending, values, now=now)
    with connection.cursor() as cursor:
        _one_after_another(cursor, plan)
        cursor.execute(sql, parameters)
        return int(cursor.fetchone()[0])


def _ask(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of one dry run, with the memory of the real one. The settings end with the (sub)transaction of a caller
    at the latest; they change how long a statement takes, never what it answers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ROOM, [WORK_MEMORY])
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def expected_counts(plan: Plan, *, now: datetime) -> Counts:
    """EXC-6: how many would be addressed and left out, by reason, if the job started now. Writes nothing."""
    counted = dict(
        _ask(*_statement(plan, "SELECT reason, count(*) FROM decision GROUP BY reason", {}, now=now))
    )
    by_reason = {reason: counted[reason.value] for reason in DECIDED_AT_START if counted.get(reason.value)}
    addressed = counted.get("", 0)
    return Counts(in_scope=addressed + sum(by_reason.values()), addressed=addressed, by_reason=by_reason)


def expected_decision(
    plan: Plan, lead_id: int, *, now: datetime, beside: Collection[int] | None = None
) -> str | None:
    """What would be decided for one lead if the job started now: a reason, "" (addressed), None (not in scope). `beside`: as if
    beside the lead only these were in scope; None: whoever shares the address."""
    norm = Lead.objects.filter(pk=lead_id).values_list("email_norm", flat=True).first()
    if norm is None:
        return None
    # Only who shares the address can change the decision about a lead (EXC-3).
    among = Q(email_norm=norm) if norm else Q(pk=lead_id)
    if beside is not None:
        among = Q(pk__in=[lead_id, *beside])
    sql, parameters = _statement(
        plan, "SELECT reason FROM decision WHERE lead_id = %(lead)s", {"lead": lead_id}, now=now, among=among
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def release_reserved(job: SendJob, *, now: datetime) -> int:
    """TGT-2: the start of a by-user job. The decision stands; only a deleted lead, a missing or malformed address
    and the recipient's own opt-out (OPT-6) still drop someone. The address becomes that of this moment.

    Returns how many mails are on their way. Runs inside the caller's transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH judged AS (
                SELECT delivery.id, lead.email, CASE
                    WHEN lead.deleted_at IS NOT NULL THEN 'deleted'
                    WHEN lead.email_norm = '' THEN 'no_address'
                    WHEN lead.email_malformed THEN 'malformed_address'
                    WHEN lead.unsubscribed_at IS NOT NULL AND %(advertising)s THEN 'unsubscribed_late'
                    ELSE '' END AS reason
                FROM mail_delivery delivery JOIN leads_lead lead ON lead.id = delivery.lead_id
                WHERE delivery.job_id = %(job)s AND delivery.state = 'reserved'
            ), changed AS (
                UPDATE mail_delivery delivery
                SET state = CASE judged.reason WHEN '' THEN 'queued' ELSE 'excluded' END,
                    reason = judged.reason,
                    address = judged.email,
                    decided_at = CASE judged.reason WHEN '' THEN delivery.decided_at ELSE %(now)s END,
                    next_at = CASE judged.reason WHEN '' THEN %(now)s END
                FROM judged WHERE judged.id = delivery.id
                RETURNING delivery.state
            )
            SELECT count(*) FROM changed WHERE state = 'queued'
            """,
            {"job": job.pk, "now": now, "advertising": job.purpose == Purpose.ADVERTISING},
        )
        return int(cursor.fetchone()[0])


@dataclass(frozen=True)
class ExpectedLead:
    """`reason` is "" for the addressed; `related_id` as in Delivery: the chosen lead, or the earlier delivery."""

    lead_id: int
    reason: str
    related_id: int | None


@dataclass(frozen=True)
class ExpectedPage:
    """`total` is 0 when the page lies behind the end."""

    rows: list[ExpectedLead]
    total: int


def expected_page(plan: Plan, reason: str | None, *, now: datetime, limit: int, offset: int) -> ExpectedPage:
    """One page of the leads behind a number of the dry run, newest first, and that number, from one statement.

    `reason` is a Reason, "" for the addressed, None for everyone in scope.
    """
    ending = (
        "SELECT lead_id, reason, related_id, count(*) OVER () FROM decision "
        "WHERE %(wanted)s::text IS NULL OR reason = %(wanted)s ORDER BY lead_id DESC LIMIT %(limit)s OFFSET %(offset)s"
    )
    wanted = None if reason is None else str(reason)
    return _page(plan, ending, {"wanted": wanted, "limit": limit, "offset": offset}, now=now)


def expected_cancelled(plan: Plan, *, now: datetime, limit: int, offset: int) -> ExpectedPage:
    """Of a campaign's plan: those who would be addressed although they have no live application any more (「うちキャンセル済」),
    newest first."""
    ending = """
SELECT lead_id, reason, related_id, count(*) OVER () FROM decision
WHERE reason = '' AND NOT EXISTS (
    SELECT FROM campaigns_application application
    WHERE application.lead_id = decision.lead_id AND application.campaign_id = %(campaign)s
      AND application.state <> 'cancelled')
ORDER BY lead_id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
    return _page(plan, ending, {"campaign": plan.campaign_id, "limit": limit, "offset": offset}, now=now)


@dataclass(frozen=True)
class StoppedReaders:
    """MAG-12: so many of the addressed are in this state in this magazine."""

    magazine_id: int
    magazine: str
    state: str
    count: int

    @property
    def state_label(self) -> str:
        return str(ReaderState(self.state).label)


def stopped_in_magazines(plan: Plan, *, now: datetime) -> list[StoppedReaders]:
    """MAG-12: wizard mail does not ask magazines, but says how many of those it would address are stopped in one. No second
    query where nobody reads anything."""
    if not Reader.objects.exists():
        return []
    ending = """
SELECT magazine.id, magazine.name, reader.state, count(*)
FROM decision JOIN mail_reader reader USING (lead_id) JOIN mail_magazine magazine ON magazine.id = reader.magazine_id
WHERE reason = '' AND reader.state <> 'deliverable' GROUP BY 1, 2, 3 ORDER BY 2, 1, 3 DESC
"""
    return [StoppedReaders(*row) for row in _ask(*_statement(plan, ending, {}, now=now))]


def expected_stopped(
    plan: Plan, magazine_id: int, state: str, *, now: datetime, limit: int, offset: int
) -> ExpectedPage:
    """The leads behind one of these numbers, newest first."""
    ending = """
SELECT lead_id, reason, related_id, count(*) OVER () FROM decision
WHERE reason = '' AND EXISTS (
    SELECT FROM mail_reader reader WHERE reader.lead_id = decision.lead_id
      AND reader.magazine_id = %(magazine)s AND reader.state = %(reader_state)s)
ORDER BY lead_id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
    values = {"magazine": magazine_id, "reader_state": state, "limit": limit, "offset": offset}
    return _page(plan, ending, values, now=now)


def _page(plan: Plan, ending: str, parameters: dict[str, Any], *, now: datetime) -> ExpectedPage:
    found = _ask(*_statement(plan, ending, parameters, now=now))
    return ExpectedPage([ExpectedLead(row[0], row[1], row[2]) for row in found], found[0][3] if found else 0)

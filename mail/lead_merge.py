"""APP-5: mails go along when leads are merged (leads/merge.py), so that 送信済 (EXC-2) and the lead's page know them.

A lead has one decision row a job (TGT-12). Where several of the merged leads have one, the survivor gets the one that says
most about what the person received; the others stay with their leads, and come back with them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count
from django.utils.translation import ngettext

from leads.merge import Mover, by_lead, register_mover
from mail.models import Delivery, ReturnedMail, SendJobLead, StepWait, WaitState


def register() -> None:
    """From MailConfig.ready()."""
    register_mover(Mover("mail", lock, move, undo, counts))


def lock(lead_ids: Sequence[int]) -> None:
    """What waits for these leads: whoever is just deciding it commits first, so that its mails go along (EXC-2). Rows of
    the ledger need no lock: they are written by statements of their own, fenced by id and token."""
    waits = StepWait.objects.filter(lead_id__in=lead_ids, state=WaitState.WAITING).order_by("pk")
    list(waits.select_for_update(no_key=True).values_list("pk"))


# The survivor's own row of a job that yields to a better one changes places with it. The unique constraint is checked row
# by row, so it first steps aside to a negative number nobody has.
_CHANGE_PLACES = """
WITH ranked AS (
    SELECT id, job_id, lead_id, row_number() OVER (PARTITION BY job_id ORDER BY
        CASE state WHEN 'sent' THEN 0 WHEN 'handing_over' THEN 1 WHEN 'unknown' THEN 2 WHEN 'excluded' THEN 9
                   WHEN 'error' THEN 4 ELSE 3 END, (lead_id = %(survivor)s) DESC, id) AS place
    FROM mail_delivery WHERE job_id IS NOT NULL AND lead_id = ANY (%(everyone)s)
)
SELECT best.id, best.lead_id, own.id FROM ranked best
LEFT JOIN ranked own ON own.job_id = best.job_id AND own.lead_id = %(survivor)s
WHERE best.place = 1 AND best.lead_id <> %(survivor)s
"""


def move(survivor_id: int, merged_ids: Sequence[int], now: datetime) -> dict[str, Any]:
    everyone = [survivor_id, *merged_ids]
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE_PLACES, {"survivor": survivor_id, "everyone": everyone})
        best = cursor.fetchall()
    places = [[row, lead_id, own] for row, lead_id, own in best if own is not None]
    _swap(places, survivor_id)
    alone = {row: lead_id for row, lead_id, own in best if own is None}
    without_job = Delivery.objects.filter(lead_id__in=merged_ids, job=None).values_list("pk", "lead_id")
    rows = alone | dict(without_job)
    Delivery.objects.filter(pk__in=rows).update(lead_id=survivor_id)
    returned = dict(ReturnedMail.objects.filter(lead_id__in=merged_ids).values_list("pk", "lead_id"))
    ReturnedMail.objects.filter(pk__in=returned).update(lead_id=survivor_id)
    return {
        "survivor": survivor_id,
        "deliveries": by_lead(rows),
        "places": places,
        "returned": by_lead(returned),
        "ticked": _move_ticks(survivor_id, merged_ids),
        "waits": _move_waits(survivor_id, merged_ids),
    }


def undo(moved: Mapping[str, Any], now: datetime) -> None:
    for lead_id, rows in moved["deliveries"].items():
        Delivery.objects.filter(pk__in=rows, lead_id=moved["survivor"]).update(lead_id=int(lead_id))
    for lead_id, rows in moved["returned"].items():
        ReturnedMail.objects.filter(pk__in=rows).update(lead_id=int(lead_id))
    # Back the way they came: the survivor's own row returns to it.
    _swap([[own, lead_id, row] for row, lead_id, own in moved["places"]], moved["survivor"])
    for lead_id, ticks in moved["ticked"].items():
        SendJobLead.objects.filter(pk__in=ticks).update(lead_id=int(lead_id))
    for lead_id, waits in moved.get("waits", {}).items():  # merges from before step mails have none
        StepWait.objects.filter(pk__in=waits, lead_id=moved["survivor"]).update(lead_id=int(lead_id))


def owners_after_undo(moved: Mapping[str, Any], merged_ids: Sequence[int]) -> dict[int, int]:
    """{delivery: merged lead} that `undo` of this `moved` will leave; before it is done, for what hangs on the mails."""
    stayed = dict(Delivery.objects.filter(lead_id__in=merged_ids).values_list("pk", "lead_id"))
    went = {row: int(lead_id) for lead_id, rows in moved["deliveries"].items() for row in rows}
    places = {row: lead_id for row, lead_id, _own in moved["places"]}
    own = {own for _row, _lead_id, own in moved["places"]}
    return {row: lead_id for row, lead_id in (stayed | went | places).items() if row not in own}


def _swap(places: Sequence[Sequence[int]], survivor_id: int) -> None:
    """[[row that the survivor gets, lead it had or gets back, row that goes there]]."""
    if not places:
        return
    with connection.cursor() as cursor:
        values: dict[str, Any] = {
            "to": [place[0] for place in places],
            "lead": [place[1] for place in places],
            "away": [place[2] for place in places],
            "survivor": survivor_id,
        }
        for statement in (
            "UPDATE mail_delivery SET lead_id = -id WHERE id = ANY (%(away)s)",
            "UPDATE mail_delivery SET lead_id = %(survivor)s WHERE id = ANY (%(to)s)",
            "UPDATE mail_delivery d SET lead_id = place.lead FROM unnest(%(away)s::bigint[], %(lead)s::bigint[]) "
            "AS place(away, lead) WHERE d.id = place.away",
        ):
            cursor.execute(statement, values)


def _move_ticks(survivor_id: int, merged_ids: Sequence[int]) -> dict[str, list[int]]:
    """Ticks of wizard runs that are not confirmed yet: the person stays ticked, once."""
    ticked = set(SendJobLead.objects.filter(lead_id=survivor_id).values_list("job_id", flat=True))
    rows: dict[int, int] = {}
    for tick in SendJobLead.objects.filter(lead_id__in=merged_ids).order_by("pk"):
        if tick.job_id not in ticked:
            ticked.add(tick.job_id)
            rows[tick.pk] = tick.lead_id
    SendJobLead.objects.filter(pk__in=rows).update(lead_id=survivor_id)
    return by_lead(rows)


def _move_waits(survivor_id: int, merged_ids: Sequence[int]) -> dict[str, list[int]]:
    """What waits for the merged leads waits for the survivor, and is decided by its values."""
    rows = dict(StepWait.objects.filter(lead_id__in=merged_ids).values_list("pk", "lead_id"))
    StepWait.objects.filter(pk__in=rows).update(lead_id=survivor_id)
    return by_lead(rows)


def counts(lead_ids: Sequence[int]) -> dict[int, list[str]]:
    found = (
        Delivery.objects.filter(lead_id__in=lead_ids)
        .order_by()
        .values_list("lead_id")
        .annotate(count=Count("pk"))
    )
    return {
        lead_id: [ngettext("%(count)s mail", "%(count)s mails", count) % {"count": count}]
        for lead_id, count in found
    }

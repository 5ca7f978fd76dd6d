"""From claimed rows to finished mails: the snapshot compiled once, the values of a batch in one query.

A mail that cannot be made is a result of its own (`Unmade`) and never stops the others.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.utils.translation import gettext as _

from leads.models import Lead
from mail.address_fields import envelope_form
from mail.merge_fields import values_for
from mail.message import BuiltMail, MergeProblem, Skeleton
from mail.models.delivery import Delivery
from mail.models.template import TemplateSnapshot

logger = logging.getLogger(__name__)

KEPT_SKELETONS = 20


@dataclass(frozen=True)
class Made:
    """A mail ready to be handed over."""

    delivery: Delivery
    mail: BuiltMail
    recipients: list[str]  # of the envelope
    values: dict[str, str]
    snapshot_id: int
    sent_at: datetime
    own: str  # the lead's own address as it stands in the envelope


@dataclass(frozen=True)
class Unmade:
    """A mail that could not be made. `merged`: a merge field gave no address (ADDR-3) → 除外, otherwise エラー."""

    delivery: Delivery
    text: str
    merged: bool


class Composer:
    """Makes mails for one `deliver` run; keeps the skeletons of the snapshots it has met."""

    def __init__(self) -> None:
        self._skeletons: OrderedDict[int, Skeleton] = OrderedDict()

    def make(self, deliveries: Sequence[Delivery], *, snapshot_id: int | None) -> list[Made | Unmade]:
        """One Made or Unmade a row. `snapshot_id` is the job's; a row without a job has its own."""
        now = database_now()
        by_snapshot: dict[int | None, list[Delivery]] = {}
        for row in deliveries:
            by_snapshot.setdefault(snapshot_id or row.snapshot_id, []).append(row)
        return [one for snapshot, rows in by_snapshot.items() for one in self._make_all(rows, snapshot, now)]

    def _make_all(self, rows: list[Delivery], snapshot_id: int | None, now: datetime) -> list[Made | Unmade]:
        if snapshot_id is None:
            return [Unmade(row, _("The mail has no template."), merged=False) for row in rows]
        try:
            skeleton = self._skeleton(snapshot_id)
        except Exception as error:
            logger.exception("snapshot %s cannot be compiled", snapshot_id)
            text = _("The template cannot be used: %(error)s") % {"error": error}
            return [Unmade(row, text, merged=False) for row in rows]
        values = _values(rows, skeleton, now)
        return [_make_one(row, skeleton, snapshot_id, values.get(row.pk), now) for row in rows]

    def _skeleton(self, snapshot_id: int) -> Skeleton:
        if snapshot_id not in self._skeletons:
            content = TemplateSnapshot.objects.values_list("content", flat=True).get(pk=snapshot_id)
            self._skeletons[snapshot_id] = Skeleton(content)
            if len(self._skeletons) > KEPT_SKELETONS:
                self._skeletons.popitem(last=False)
        self._skeletons.move_to_end(snapshot_id)
        return self._skeletons[snapshot_id]


def _values(rows: Sequence[Delivery], skeleton: Skeleton, now: datetime) -> dict[int, dict[str, str]]:
    """{delivery id: merge values}, without those that could not be read. Test mails, by-user jobs (TGT-2) and
    whatever was handed over once before bring theirs; all others are the lead's now. A batch that fails is tried one by one, so that one odd lead costs one mail."""
    brought = {
        row.pk: row.merge_values for row in rows if row.lead_id is None or row.merge_values is not None
    }
    leads = Lead.objects.in_bulk({row.lead_id for row in rows if row.pk not in brought})
    try:
        found = values_for(leads.values(), now=now, names=skeleton.names)
    except Exception:
        logger.exception("merge values of a batch of %s leads failed, trying one by one", len(leads))
        found = {}
        for lead in leads.values():
            try:
                found |= values_for([lead], now=now, names=skeleton.names)
            except Exception:
                logger.exception("merge values of lead %s failed", lead.pk)
    for row in rows:
        if row.pk not in brought and row.lead_id in found:
            brought[row.pk] = found[row.lead_id]
    return {pk: values or {} for pk, values in brought.items()}


def _make_one(
    row: Delivery, skeleton: Skeleton, snapshot_id: int, values: dict[str, str] | None, now: datetime
) -> Made | Unmade:
    if values is None:
        return Unmade(row, _("The lead's values could not be read."), merged=False)
    try:
        # The address of the start (TGT-2): a later change reaches the next mailing, not this one.
        mail = skeleton.build(
            values, delivery_id=row.pk, lead_id=row.lead_id, sent_at=now, address=row.address or None
        )
        recipients = [address for _kind, address in mail.recipients]
        own = envelope_form(row.address) if row.address else recipients[0]
        return Made(row, mail, recipients, values, snapshot_id, now, own)
    except MergeProblem as problem:
        return Unmade(row, str(problem), merged=True)
    except Exception as error:
        logger.exception("mail %s could not be made", row.pk)
        return Unmade(row, _("The mail could not be made: %(error)s") % {"error": error}, merged=False)


def database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment

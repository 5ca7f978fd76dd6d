"""From claimed rows to finished mails: the snapshot compiled once, the values of a batch in one query.

A mail that cannot be made is a result of its own (`Unmade`) and never stops the others.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection
from django.utils.translation import gettext as _

from leads.models import Lead
from mail.address_fields import envelope_form
from mail.delivery.claim import Claimed
from mail.merge_fields import values_for
from mail.message import BuiltMail, MergeProblem, Skeleton
from mail.models.template import Purpose, TemplateSnapshot

logger = logging.getLogger(__name__)

KEPT_SKELETONS = 20


@dataclass(slots=True)
class Made:
    """A mail ready to be handed over; `recipients` are those that are not settled yet."""

    row: Claimed
    mail: BuiltMail
    recipients: list[str]  # of the envelope
    values: str  # JSON, for the ledger
    snapshot_id: int
    sent_at: datetime
    purpose: str
    own: str  # the lead's own address as it stands in the envelope


@dataclass(frozen=True, slots=True)
class Unmade:
    """A mail that could not be made. `merged`: a merge field gave no address (ADDR-3) → 除外, otherwise エラー."""

    row: Claimed
    text: str
    merged: bool


class Composer:
    """Makes mails for one engine; keeps the skeletons of the snapshots it has met."""

    def __init__(self) -> None:
        self._skeletons: OrderedDict[int, Skeleton] = OrderedDict()

    def make(self, rows: Sequence[Claimed]) -> list[Made | Unmade]:
        """One Made or Unmade a row."""
        now = database_now()
        by_snapshot: dict[int | None, list[Claimed]] = {}
        for row in rows:
            by_snapshot.setdefault(row.snapshot_id, []).append(row)
        return [one for snapshot, some in by_snapshot.items() for one in self._make_all(some, snapshot, now)]

    def _make_all(self, rows: list[Claimed], snapshot_id: int | None, now: datetime) -> list[Made | Unmade]:
        if snapshot_id is None:
            return [Unmade(row, _("The mail has no template."), merged=False) for row in rows]
        try:
            skeleton = self._skeleton(snapshot_id)
        except (OperationalError, InterfaceError):
            raise  # the database went away: no mail's fault
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


def _values(rows: Sequence[Claimed], skeleton: Skeleton, now: datetime) -> dict[int, dict[str, str]]:
    """{delivery id: merge values}, without those that could not be read. Test mails, by-user jobs (TGT-2) and
    whatever was handed over once before bring theirs; all others are the lead's now, in the mail's campaign, with the
    given values of the mail itself over them."""
    values: dict[int, dict[str, str]] = {}
    wanted: dict[int | None, list[Claimed]] = {}  # by campaign: the batch of a job has one
    for row in rows:
        if row.merge_values is not None:
            values[row.pk] = json.loads(row.merge_values)
        elif row.lead_id is None:
            values[row.pk] = _given(row)
        else:
            wanted.setdefault(row.campaign_id, []).append(row)
    for campaign_id, some in wanted.items():
        found = _lead_values({row.lead_id for row in some if row.lead_id}, campaign_id, skeleton, now)
        for row in some:  # mails without a job may be several to one lead
            if (of_lead := found.get(row.lead_id or 0)) is not None:
                values[row.pk] = of_lead | _given(row) if row.given_values else of_lead
    return values


def _given(row: Claimed) -> dict[str, str]:
    return dict(json.loads(row.given_values)) if row.given_values else {}


def _lead_values(
    lead_ids: set[int], campaign_id: int | None, skeleton: Skeleton, now: datetime
) -> dict[int, dict[str, str]]:
    """A batch that fails is tried one by one, so that one odd lead costs one mail."""
    leads = list(Lead.objects.filter(pk__in=lead_ids))
    try:
        return _of(leads, campaign_id, skeleton, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("merge values of a batch of %s leads failed, trying one by one", len(leads))
    found: dict[int, dict[str, str]] = {}
    for lead in leads:
        try:
            found |= _of([lead], campaign_id, skeleton, now)
        except Exception:
            logger.exception("merge values of lead %s failed", lead.pk)
    return found


def _of(
    leads: list[Lead], campaign_id: int | None, skeleton: Skeleton, now: datetime
) -> dict[int, dict[str, str]]:
    return values_for(
        leads, now=now, names=skeleton.names, campaign_id=campaign_id, magazine_id=skeleton.magazine_id
    )


def _make_one(
    row: Claimed, skeleton: Skeleton, snapshot_id: int, values: dict[str, str] | None, now: datetime
) -> Made | Unmade:
    if values is None:
        return Unmade(row, _("The lead's values could not be read."), merged=False)
    # The rest of a mail that some of its addresses took already is the same mail (ADDR-4).
    sent_at = (row.sent_at or now) if row.accepted else now
    try:
        # The address of the start (TGT-2): a later change reaches the next mailing, not this one.
        mail = skeleton.build(
            values, delivery_id=row.pk, lead_id=row.lead_id, sent_at=sent_at, address=row.address or None
        )
        recipients = [address for _kind, address in mail.recipients]
        own = envelope_form(row.address) if row.address else recipients[0]
        if row.accepted:
            settled = set(row.accepted)
            recipients = [address for address in recipients if address not in settled]
        purpose = Purpose.ADVERTISING if skeleton.advertising else Purpose.NOTICE
        kept = row.merge_values or json.dumps(values, ensure_ascii=False)
        return Made(row, mail, recipients, kept, snapshot_id, sent_at, purpose, own)
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

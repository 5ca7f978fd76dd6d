"""Stores views in batches (WEB-1): the visitors in one statement, the rows that are not there yet, what they set off."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from mail.step_waits import Viewed, viewed
from tracking.hits import Hit
from tracking.judge import VIEW, Facts, judge
from tracking.models import Identification, PageView, TrackedSite, Verdict
from tracking.sites import OWN, own_site_id

# Sorted by uid: two that store at once take the rows in the same order.
_UPSERT = """
INSERT INTO tracking_visitor AS v (uid, first_seen_at, last_seen_at)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS t(uid, first, last) ORDER BY uid
ON CONFLICT (uid) DO UPDATE SET first_seen_at = LEAST(v.first_seen_at, EXCLUDED.first_seen_at),
                                last_seen_at = GREATEST(v.last_seen_at, EXCLUDED.last_seen_at)
RETURNING id, uid, lead_id, linked_at"""


@dataclass(frozen=True)
class Known:
    """A visitor, locked until the transaction ends."""

    pk: int
    uid: UUID
    lead_id: int | None
    linked_at: datetime | None


def store_views(hits: Sequence[Hit], now: datetime) -> None:
    """In one transaction, all or nothing; a hit that is stored already changes nothing."""
    there = set(PageView.objects.filter(uid__in=[hit.uid for hit in hits]).values_list("uid", flat=True))
    hits = [hit for hit in hits if hit.uid not in there]
    sites = _site_ids(hits)
    hits = [
        hit for hit in hits if hit.ids["site"] in sites
    ]  # a site is never deleted; its key may be made up
    if not hits:
        return
    visitors = visitors_for([(UUID(hit.ids["visitor"]), hit.at) for hit in hits])
    owners = _Owners(visitors.values(), hits)
    rows = [_row(hit, visitors[UUID(hit.ids["visitor"])], sites[hit.ids["site"]], owners) for hit in hits]
    PageView.objects.bulk_create(rows, ignore_conflicts=True)
    tell_step_mails(rows, now)


def visitors_for(seen: Sequence[tuple[UUID, datetime]]) -> dict[UUID, Known]:
    """The visitors with these ids, made where they are new, locked."""
    times: dict[UUID, list[datetime]] = {}
    for uid, at in seen:
        times.setdefault(uid, []).append(at)
    uids = sorted(times)
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, [uids, [min(times[uid]) for uid in uids], [max(times[uid]) for uid in uids]])
        return {row[1]: Known(*row) for row in cursor.fetchall()}


def tell_step_mails(rows: Sequence[PageView], now: datetime) -> None:
    """STEP-3, STEP-4: the views of people whose lead is known. `linked_at`: it became known after the view."""
    told = [
        Viewed(row.lead_id, row.url, row.at, str(row.uid), before_known=row.linked_at is not None)
        for row in rows
        if row.lead_id is not None and row.verdict == Verdict.PERSON
    ]
    if told:
        viewed(told, now=now)


def _row(hit: Hit, visitor: Known, site_id: int, owners: "_Owners") -> PageView:
    judgement = judge(Facts(VIEW, hit.at, None, hit.ip, hit.agent, hit.hints))
    lead_id, linked_at = owners.at(visitor, hit.at)
    return PageView(
        uid=hit.uid, at=hit.at, ip=hit.ip, agent=hit.agent, hints=dict(hit.hints), verdict=judgement.verdict,
        evidence=judgement.evidence, visitor_id=visitor.pk, site_id=site_id, lead_id=lead_id, linked_at=linked_at,
        url=hit.ids["url"], title=hit.ids["title"], referrer=hit.ids["referrer"],
    )  # fmt: skip


def _site_ids(hits: Sequence[Hit]) -> Mapping[str, int]:
    keys = {hit.ids["site"] for hit in hits}
    found = dict(TrackedSite.objects.filter(key__in=keys).values_list("key", "pk"))
    if OWN in keys:
        found[OWN] = own_site_id()
    return found


class _Owners:
    """Whose a browser was at a moment. Most views come after it was linked the last time; for those that were held up
    on the way the identifications are read."""

    def __init__(self, visitors: Iterable[Known], hits: Sequence[Hit]) -> None:
        earliest: dict[str, datetime] = {}
        for hit in hits:
            uid = hit.ids["visitor"]
            earliest[uid] = min(hit.at, earliest.get(uid, hit.at))
        late = {
            known.pk for known in visitors if known.linked_at and earliest[known.uid.hex] < known.linked_at
        }
        self._history: dict[int, list[Identification]] = {pk: [] for pk in late}
        for one in Identification.objects.filter(visitor_id__in=late, linked=True).order_by("at", "pk"):
            self._history[one.visitor_id].append(one)

    def at(self, visitor: Known, moment: datetime) -> tuple[int | None, datetime | None]:
        """(lead, None), or (lead, when it became known) for a view before the first time. (None, None): nobody's."""
        if visitor.linked_at is None or moment >= visitor.linked_at:
            return visitor.lead_id, None
        after = next((one for one in self._history[visitor.pk] if one.at > moment), None)
        if after is None:
            return visitor.lead_id, visitor.linked_at
        return (after.before_id, None) if after.before_id is not None else (after.lead_id, after.at)

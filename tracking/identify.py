"""Whose browser it is (WEB-1, WEB-2). Proofs (application, confirmation, my page login) make it the lead's from now on. A link may
have been forwarded: it says whose browser it is only where that is nobody's yet; otherwise it is written down and changes nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from leads.models import Lead, LeadMerge
from mail.models import Delivery
from tracking.hits import Hit
from tracking.judge import VIEW, Facts, judge
from tracking.models import Identification, IdentifiedBy, PageView, Verdict, Visitor
from tracking.page_views import Known, tell_step_mails, visitors_for

PROOFS = frozenset({IdentifiedBy.APPLICATION, IdentifiedBy.CONFIRMATION, IdentifiedBy.MY_PAGE_LOGIN})


def store_identifications(hits: Sequence[Hit], now: datetime) -> None:
    """In one transaction; a hit that was stored before changes nothing. `ids`: visitor, how, lead or delivery; at and once
    where they differ from the hit's own."""
    for hit in sorted(hits, key=lambda one: (one.ids["visitor"], _at(one), one.uid)):
        how = IdentifiedBy(hit.ids["how"])
        if how not in PROOFS:
            facts = Facts(VIEW, hit.at, None, hit.ip, hit.agent, hit.hints)
            if judge(facts).verdict == Verdict.MACHINE:  # TRK-4: a scanner follows links too
                continue
        delivery_id = hit.ids.get("delivery")
        lead_id = hit.ids.get("lead") or _lead_of(delivery_id)
        if lead_id is not None:
            identify(
                UUID(hit.ids["visitor"]), lead_id, how=how, at=_at(hit), delivery_id=delivery_id,
                once=hit.ids.get("once") or hit.uid.hex,
            )  # fmt: skip


def identify(
    visitor_uid: UUID,
    lead_id: int,
    *,
    how: str,
    at: datetime,
    delivery_id: int | None = None,
    once: str | None = None,
) -> Identification | None:
    """Somebody told at `at` who they are. Earlier views of a browser that was nobody's become the lead's, and start step mails
    as STEP-4 says. `once`: a second time with the same word changes nothing. None then, and for a lead that is gone."""
    living = _living(lead_id)
    if living is None:
        return None
    try:
        with transaction.atomic():
            visitor = visitors_for([(visitor_uid, at)])[visitor_uid]
            if once is not None and Identification.objects.filter(once=once).exists():
                return None
            return _identify(visitor, living, how=how, at=at, delivery_id=delivery_id, once=once)
    except IntegrityError:
        if once is not None and Identification.objects.filter(once=once).exists():
            return None  # another browser was a moment earlier
        raise


def _identify(
    visitor: Known, lead_id: int, *, how: str, at: datetime, delivery_id: int | None, once: str | None
) -> Identification:
    free, same = visitor.lead_id is None, visitor.lead_id == lead_id
    # A proof that arrives after a later one (the spool of a host that was away) does not take the browser back.
    newest = visitor.linked_at is None or at >= visitor.linked_at
    linked = free or same or (how in PROOFS and newest)
    views = _link_views(visitor, lead_id, at) if free else 0
    if linked and not same:
        Visitor.objects.filter(pk=visitor.pk).update(lead_id=lead_id, linked_at=at)
    return Identification.objects.create(
        visitor_id=visitor.pk, lead_id=lead_id, at=at, how=how, linked=linked, before_id=visitor.lead_id,
        delivery_id=delivery_id, views=views, once=once,
    )  # fmt: skip


def _link_views(visitor: Known, lead_id: int, at: datetime) -> int:
    """All views of a browser that was nobody's. Those before `at` are marked as linked afterwards."""
    views = list(
        PageView.objects.select_for_update().filter(visitor_id=visitor.pk, lead_id=None).order_by("at")
    )
    for view in views:
        view.lead_id = lead_id
        view.linked_at = at if view.at < at else None
    nobodys = PageView.objects.filter(visitor_id=visitor.pk, lead_id=None)
    nobodys.filter(at__lt=at).update(lead_id=lead_id, linked_at=at)
    nobodys.update(lead_id=lead_id)
    tell_step_mails(views, timezone.now())
    return sum(view.linked_at is not None for view in views)


def _at(hit: Hit) -> datetime:
    told = hit.ids.get("at")
    return hit.at if told is None else datetime.fromtimestamp(told, UTC)


def _lead_of(delivery_id: int | None) -> int | None:
    if delivery_id is None:
        return None
    return Delivery.objects.filter(pk=delivery_id).values_list("lead_id", flat=True).first()


def _living(lead_id: int) -> int | None:
    """The lead, or the one it was merged into; None when it was deleted."""
    for _step in range(10):
        found = Lead.objects.filter(pk=lead_id).values_list("deleted_at", flat=True)
        if not found:
            return None
        if found[0] is None:
            return lead_id
        merge = LeadMerge.objects.filter(merged_ids__contains=[lead_id], undone_at=None).first()
        if merge is None:
            return None
        lead_id = merge.survivor_id
    return None

"""APP-5: opens, clicks, page views and browsers go along when leads are merged (leads/merge.py), and come back.

What came in after the merge belongs to a mail or a browser, and comes back with it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Model
from django.utils.translation import ngettext

from leads.merge import Mover, by_lead, register_mover
from leads.models import LeadMerge
from mail.lead_merge import owners_after_undo
from tracking.models import Identification, MailHit, PageView, Visitor

STORING = 0x534D5049  # "SMPI", a key among PostgreSQL's advisory locks
# By the name under which their ids are kept with the merge.
_TABLES: dict[str, type[Model]] = {
    "hits": MailHit,
    "views": PageView,
    "visitors": Visitor,
    "identifications": Identification,
}


def register() -> None:
    """From TrackingConfig.ready()."""
    register_mover(Mover("tracking", lock, move, undo, counts))


def lock(lead_ids: Sequence[int]) -> None:
    """No batch of hits is being stored meanwhile (tracking/flush.py): otherwise its rows would stay with a lead that is gone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [STORING])


def while_storing() -> None:
    """Merges wait until this transaction ends; other batches do not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [STORING])


def move(survivor_id: int, merged_ids: Sequence[int], now: datetime) -> dict[str, Any]:
    moved: dict[str, Any] = {"survivor": survivor_id}
    for name, model in _TABLES.items():
        rows = dict(model._default_manager.filter(lead_id__in=merged_ids).values_list("pk", "lead_id"))
        model._default_manager.filter(pk__in=rows).update(lead_id=survivor_id)
        moved[name] = by_lead(rows)
    moved["at"] = now.isoformat()
    return moved


def undo(moved: Mapping[str, Any], now: datetime) -> None:
    survivor = moved["survivor"]
    for name, model in _TABLES.items():
        for lead_id, rows in moved[name].items():
            model._default_manager.filter(pk__in=rows, lead_id=survivor).update(lead_id=int(lead_id))
    for lead_id, browsers in moved["visitors"].items():
        PageView.objects.filter(visitor_id__in=browsers, lead_id=survivor).update(lead_id=int(lead_id))
    # What came in since: with the mail it belongs to, with the browser it was seen by.
    mails = LeadMerge.objects.filter(survivor=survivor, undone_at=None).latest("pk")
    for lead_id, deliveries in by_lead(owners_after_undo(mails.moved["mail"], mails.merged_ids)).items():
        MailHit.objects.filter(delivery_id__in=deliveries, lead_id=survivor).update(lead_id=int(lead_id))
    since = datetime.fromisoformat(moved["at"])
    for lead_id, browsers in moved["visitors"].items():
        for model in (PageView, Identification):
            rows = model._default_manager.filter(visitor_id__in=browsers, lead_id=survivor, at__gte=since)
            rows.update(lead_id=int(lead_id))


def counts(lead_ids: Sequence[int]) -> dict[int, list[str]]:
    words: dict[int, list[str]] = {}
    for lead_id, count in _counts(MailHit, lead_ids):
        text = ngettext("%(count)s open or click", "%(count)s opens and clicks", count)
        words.setdefault(lead_id, []).append(text % {"count": count})
    for lead_id, count in _counts(PageView, lead_ids):
        text = ngettext("%(count)s page view", "%(count)s page views", count)
        words.setdefault(lead_id, []).append(text % {"count": count})
    return words


def _counts(model: type[Model], lead_ids: Sequence[int]) -> Any:
    found = model._default_manager.filter(lead_id__in=lead_ids).order_by()
    return found.values_list("lead_id").annotate(count=Count("pk"))

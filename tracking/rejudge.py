"""Everything stored is judged anew, after a change of the rules (TRK-4): `manage.py judge_hits`.

By ranges of ids, one short transaction each: safe while hits come in, and while it is done twice at the same time; begun
again after a break it finds the rest to do. Only verdict and evidence are written. Nothing is set off by it: a step mail
starts from a page view when it comes, not when somebody thinks better of it years later.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, Min, QuerySet

from mail.models import SendJob
from settings.audit import record
from tracking.bursts import NEAR, Click, counts
from tracking.judge import CLICK, PERSON, RULES_VERSION, VIEW, Facts, Judgement, judge
from tracking.models import MailHit, PageView

BATCH = 5000
_FACTS = ("id", "at", "ip", "agent", "hints", "verdict", "evidence")
_HIT_FACTS = (*_FACTS, "kind", "seconds", "delivery_id", "url_id")

Row = dict[str, Any]
Judged = list[tuple[Row, Judgement]]


@dataclass
class Changes:
    """Rows of one table: how many were judged, and of how many which part changed."""

    judged: int = 0
    to_machine: int = 0
    to_person: int = 0
    evidence: int = 0  # the same verdict for other reasons

    @property
    def changed(self) -> int:
        return self.to_machine + self.to_person + self.evidence


@dataclass
class Counts:
    mails: Changes = field(default_factory=Changes)
    views: Changes = field(default_factory=Changes)
    rules_version: int = RULES_VERSION

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def rejudge(since: datetime | None = None, job_id: int | None = None, *, dry_run: bool = False) -> Counts:
    """`since`: what came at that moment or later. `job_id`: opens and clicks of this mailing; page views belong to none.
    With `dry_run` nothing is written, and the answer says what would be. Audited, also when it breaks off."""
    found, done = Counts(), False
    try:
        hits = MailHit.objects.all() if job_id is None else MailHit.objects.filter(job_id=job_id)
        for low, high in _ranges(_since(hits, since)):
            _judge(_since(hits, since).filter(id__gt=low, id__lte=high), found.mails, dry_run)
        if job_id is None:
            views = _since(PageView.objects.all(), since)
            for low, high in _ranges(views):
                _judge(views.filter(id__gt=low, id__lte=high), found.views, dry_run)
        done = True
    finally:
        if not dry_run:
            detail = {
                "rules_version": RULES_VERSION, "judged": found.mails.judged + found.views.judged,
                "to_machine": found.mails.to_machine + found.views.to_machine,
                "to_person": found.mails.to_person + found.views.to_person, "finished": done,
            } | ({"since": since.isoformat()} if since else {})  # fmt: skip
            job = None if job_id is None else SendJob.objects.filter(pk=job_id).first()
            record("hits.judge", user=None, target=job, detail=detail)
    return found


def judge_deliveries(delivery_ids: Collection[int], since: datetime, until: datetime) -> int:
    """The stored clicks of these mails from about that time anew, because new ones (`since` … `until`) may make a burst of
    them. Call it in the transaction that stored the new ones; answers how many changed."""
    found = Changes()
    near = MailHit.objects.filter(
        kind=CLICK, delivery_id__in=delivery_ids, at__gte=since - NEAR, at__lte=until + NEAR
    )
    _judge(near, found, dry_run=False)
    return found.changed


def _since(rows: QuerySet[Any], since: datetime | None) -> QuerySet[Any]:
    return rows if since is None else rows.filter(at__gte=since)


def _ranges(rows: QuerySet[Any]) -> Iterator[tuple[int, int]]:
    """(above, up to) of ids, over what is stored now: what comes later is judged by these rules as it comes."""
    edges = rows.aggregate(first=Min("id"), last=Max("id"))
    if edges["first"] is None:
        return
    for low in range(edges["first"] - 1, edges["last"], BATCH):
        yield low, min(low + BATCH, edges["last"])


def _judge(rows: QuerySet[Any], found: Changes, dry_run: bool) -> None:
    """Judges these rows, writes what is different, and counts. Looks without a lock first, because nearly nothing changes;
    what does is locked in the order of ids and looked at again."""
    judged = _judgements(rows)
    changed = [row["id"] for row, judgement in judged if _differs(row, judgement)]
    if dry_run or not changed:
        _count(judged, found)
        return
    with transaction.atomic():
        locked = list(
            rows.model.objects.select_for_update()
            .filter(id__in=changed)
            .order_by("id")
            .values_list("id", flat=True)
        )
        again = _judgements(rows.model.objects.filter(id__in=locked))
        new: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        for row, judgement in again:
            if _differs(row, judgement):
                new.setdefault((judgement.verdict, tuple(judgement.evidence)), []).append(row["id"])
        for (verdict, evidence), ids in new.items():
            rows.model.objects.filter(id__in=ids).update(verdict=verdict, evidence=list(evidence))
    unchanged = set(changed)
    _count([pair for pair in judged if pair[0]["id"] not in unchanged] + again, found)


def _differs(row: Row, judgement: Judgement) -> bool:
    return (row["verdict"], row["evidence"]) != (judgement.verdict, judgement.evidence)


def _count(judged: Judged, found: Changes) -> None:
    found.judged += len(judged)
    kinds = Counter(
        "evidence"
        if row["verdict"] == judgement.verdict
        else "to_person"
        if judgement.verdict == PERSON
        else "to_machine"
        for row, judgement in judged
        if _differs(row, judgement)
    )
    found.evidence += kinds["evidence"]
    found.to_person += kinds["to_person"]
    found.to_machine += kinds["to_machine"]


def _judgements(rows: QuerySet[Any]) -> Judged:
    if rows.model is PageView:
        views = list(rows.values(*_FACTS).order_by("id"))
        return [(row, judge(_facts(row, VIEW, None, 1))) for row in views]
    hits = list(rows.values(*_HIT_FACTS).order_by("id"))
    bursts = _bursts([row for row in hits if row["kind"] == CLICK])
    return [(row, judge(_facts(row, row["kind"], row["seconds"], bursts.get(row["id"], 1)))) for row in hits]


def _facts(row: Row, kind: str, seconds: int | None, burst: int) -> Facts:
    return Facts(kind, row["at"], seconds, row["ip"], row["agent"], row["hints"], burst)


def _bursts(clicks: Sequence[Row]) -> dict[int, int]:
    """Facts.burst of these rows by id, with the clicks near them that are not among them."""
    if not clicks:
        return {}
    times = [row["at"] for row in clicks]
    near = list(
        MailHit.objects.filter(
            kind=CLICK,
            delivery_id__in={row["delivery_id"] for row in clicks},
            at__gte=min(times) - NEAR,
            at__lte=max(times) + NEAR,
        ).values_list("id", "delivery_id", "url_id", "at")
    )
    found = counts([Click(delivery_id, url_id, at) for _id, delivery_id, url_id, at in near])
    return {row[0]: count for row, count in zip(near, found, strict=True)}

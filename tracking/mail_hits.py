"""Opens and clicks become rows (TRK-4): joined with their mails in one query, judged, and taken as proof that the mail arrived
(ERR-4: 結果不明 → 正常)."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import floor
from typing import Any

from django.db import connection

from leads.models import Lead
from mail.delivery.proof import arrived
from mail.models import Delivery
from mail.models.delivery import DeliveryState
from tracking import bursts
from tracking.hits import CLICK, OPEN, Hit
from tracking.judge import Facts, judge
from tracking.models import MailHit
from tracking.rejudge import judge_deliveries

_BIGINT = 2**63 - 1
_INT = 2**31 - 1
# A mail that is being handed over when its first hit comes may become 結果不明 afterwards: its lease ends within this time.
HAND_OVER = timedelta(minutes=40)


def store_mail_hits(hits: Sequence[Hit], now: datetime) -> None:
    """In the caller's transaction. Hits that are stored already change nothing. ValueError for ids that are none."""
    for hit in hits:
        _check(hit)
    mails = _mails({hit.ids["delivery_id"] for hit in hits})
    clicks = [hit for hit in hits if hit.kind == CLICK]
    counts = bursts.counts(
        [bursts.Click(hit.ids["delivery_id"], hit.ids["url_id"], hit.at) for hit in clicks]
    )
    burst = {hit.uid: count for hit, count in zip(clicks, counts, strict=True)}
    near = _stored_near(clicks)
    rows = [_row(hit, mails.get(hit.ids["delivery_id"], {}), burst.get(hit.uid, 1)) for hit in hits]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [json.dumps(rows)])
    if near:  # with what is stored already these may be a burst, and what is stored with these
        judge_deliveries(near, min(hit.at for hit in clicks), max(hit.at for hit in clicks))
    for kind in (OPEN, CLICK):
        ids = {hit.ids["delivery_id"] for hit in hits if hit.kind == kind}
        unknown = [pk for pk in ids if mails.get(pk, {}).get("state") == DeliveryState.UNKNOWN]
        arrived(unknown, proof=kind, now=now)


# Ten times as fast as one placeholder a value: a batch is one parameter.
_INSERT = """
INSERT INTO tracking_mailhit (uid, kind, at, ip, agent, hints, delivery_id, url_id, lead_id, job_id, step_mail_id,
    campaign_id, seconds, verdict, evidence)
SELECT uid, kind, at, ip, agent, hints, delivery_id, url_id, lead_id, job_id, step_mail_id, campaign_id, seconds, verdict,
    evidence
FROM json_to_recordset(%s) AS hit(uid uuid, kind text, at timestamptz, ip inet, agent text, hints jsonb,
    delivery_id bigint, url_id bigint, lead_id bigint, job_id bigint, step_mail_id bigint, campaign_id bigint,
    seconds integer, verdict text, evidence text[])
ON CONFLICT (uid) DO NOTHING
"""
_UNKNOWN = """
SELECT DISTINCT h.delivery_id, h.kind FROM tracking_mailhit h JOIN mail_delivery d ON d.id = h.delivery_id
WHERE h.at > %s AND d.state = 'unknown'
"""


def prove_late(now: datetime) -> set[int]:
    """Mails that were still being handed over when their hit came (scanners look before they answer) and are 結果不明 since."""
    with connection.cursor() as cursor:
        cursor.execute(_UNKNOWN, [now - HAND_OVER])
        found = cursor.fetchall()
    return set().union(
        *(arrived([pk for pk, was in found if was == kind], proof=kind, now=now) for kind in (OPEN, CLICK))
    )


def _check(hit: Hit) -> None:
    names = ("delivery_id", "url_id") if hit.kind == CLICK else ("delivery_id",)
    for name in names:
        value = hit.ids.get(name)
        if type(value) is not int or not 0 < value <= _BIGINT:
            raise ValueError(f"{name} is no id: {value!r}")


def _row(hit: Hit, mail: Mapping[str, Any], burst: int) -> dict[str, Any]:
    sent_at = mail.get("sent_at")
    seconds = None if sent_at is None else floor((hit.at - sent_at).total_seconds())
    seconds = seconds if seconds is not None and abs(seconds) <= _INT else None
    judgement = judge(Facts(hit.kind, hit.at, seconds, hit.ip, hit.agent, hit.hints, burst))
    return {
        "uid": str(hit.uid), "kind": hit.kind, "at": hit.at.isoformat(), "ip": hit.ip, "agent": hit.agent,
        "hints": dict(hit.hints), "delivery_id": hit.ids["delivery_id"],
        "url_id": hit.ids.get("url_id") if hit.kind == CLICK else None,
        "lead_id": mail.get("lead_id"), "job_id": mail.get("job_id"), "step_mail_id": mail.get("step_mail_id"),
        "campaign_id": mail.get("campaign_id"), "seconds": seconds, "verdict": judgement.verdict,
        "evidence": judgement.evidence,
    }  # fmt: skip


def _mails(ids: set[int]) -> dict[int, dict[str, Any]]:
    """By id; the lead is who stands for it now (APP-5)."""
    rows = Delivery.objects.filter(pk__in=ids).values(
        "id", "lead_id", "job_id", "step_mail_id", "campaign_id", "sent_at", "state", "lead__merged_into_id"
    )
    mails: dict[int, dict[str, Any]] = {row["id"]: {**row} for row in rows}
    for row in mails.values():
        row["lead_id"] = row["lead__merged_into_id"] or row["lead_id"]
    while merged := _merged_again({row["lead_id"] for row in mails.values() if row["lead__merged_into_id"]}):
        for row in mails.values():
            row["lead_id"] = merged.get(row["lead_id"], row["lead_id"])
    return mails


def _merged_again(lead_ids: set[int]) -> dict[int, int]:
    """Survivors that were merged into somebody else since."""
    if not lead_ids:
        return {}
    found = Lead.objects.filter(pk__in=lead_ids).exclude(merged_into=None)
    return dict(found.values_list("pk", "merged_into_id"))


def _stored_near(clicks: Sequence[Hit]) -> set[int]:
    """Mails of these clicks that have clicks of about the same time in the table."""
    if not clicks:
        return set()
    times = [hit.at for hit in clicks]
    found = MailHit.objects.filter(
        kind=CLICK,
        delivery_id__in={hit.ids["delivery_id"] for hit in clicks},
        at__gte=min(times) - bursts.NEAR,
        at__lte=max(times) + bursts.NEAR,
    ).exclude(uid__in=[hit.uid for hit in clicks])
    return set(found.order_by().values_list("delivery_id", flat=True).distinct())

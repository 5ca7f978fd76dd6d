"""A receiver's outage is taken back: its failures no longer count, and who was stopped by them comes back (MAG-3).

Chosen are the receiving domain, a period (by when the mails were sent), and which kinds of failures: by itself not "no such
mailbox", which an outage does not say. Of the readers those come back who are エラー停止 because of such a failure and are under all
thresholds without them. Never who left or was stopped by hand meanwhile: they are 配信停止, not エラー停止.

A failure of that domain and period that is reported later does not count either (mail/magazines/failures.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mail.delivery.brake import receiving_domain
from mail.magazines.failures import each_group
from mail.magazines.locks import hold
from mail.models import FailureGroup, Magazine, Outage, Reader
from mail.refused import Refused
from settings import audit
from settings.models import User
from smp.lib.deadlocks import again_after_deadlock

# What a receiver in trouble answers.
USUAL_GROUPS = (
    FailureGroup.REFUSED,
    FailureGroup.FULL,
    FailureGroup.TEMPORARY,
    FailureGroup.OTHER,
)


@dataclass(frozen=True)
class Affected:
    """What taking back would do. `come_back` of the `readers` would be deliverable again; `coming_back` lists them."""

    failures: int
    readers: int
    come_back: int


# The failures in question, and what they are to each reader.
_FAILED = f"""
WITH failed AS MATERIALIZED (
    SELECT f.id, f.lead_id, f."group" AS kind, f.at FROM mail_readerfailure f
     WHERE f.magazine_id = %(magazine)s AND f.domain = %(domain)s AND f.at >= %(since)s AND f.at < %(until)s
       AND f."group" = ANY(%(groups)s) AND f.reset_at IS NULL
), mine AS MATERIALIZED (
    SELECT lead_id, count(*) AS number, {each_group("count(*) FILTER (WHERE kind = '@') AS @")},
           {each_group("min(at) FILTER (WHERE kind = '@') AS first_@")}
      FROM failed GROUP BY lead_id
)"""

# The newest stop by errors tells by which kind it was; it must be one of these failures that had happened by then.
_BACK = f"""
SELECT r.id, r.lead_id, mine.number
  FROM mine JOIN mail_reader r ON r.magazine_id = %(magazine)s AND r.lead_id = mine.lead_id
  JOIN mail_magazine m ON m.id = r.magazine_id
  JOIN leads_lead l ON l.id = r.lead_id AND l.deleted_at IS NULL
  JOIN LATERAL (
       SELECT c.at, c."group" AS kind FROM mail_readerchange c
        WHERE c.magazine_id = r.magazine_id AND c.lead_id = r.lead_id AND c.what = 'state'
          AND c.after = 'error_stopped'
        ORDER BY c.at DESC, c.id DESC LIMIT 1) stop
    ON CASE stop.kind {each_group("WHEN '@' THEN mine.first_@ <= stop.at", " ")} END
 WHERE r.state = 'error_stopped'
   AND {each_group("(m.stop_@ IS NULL OR GREATEST(r.failures_@ - mine.@, 0) < m.stop_@)", " AND ")}
"""

_AFFECTED = f"""{_FAILED}, back AS ({_BACK})
SELECT (SELECT count(*) FROM failed), (SELECT count(*) FROM mine), (SELECT count(*) FROM back)
"""

_LOCK = f"""{_FAILED}
SELECT r.id FROM mail_reader r JOIN mine USING (lead_id) WHERE r.magazine_id = %(magazine)s
 ORDER BY r.id FOR NO KEY UPDATE OF r
"""

_TAKE_BACK = f"""{_FAILED}, back AS MATERIALIZED ({_BACK}), forgotten AS (
    UPDATE mail_readerfailure f SET reset_at = %(now)s, outage_id = %(outage)s FROM failed WHERE f.id = failed.id
), done AS (
    UPDATE mail_reader r
       SET {each_group("failures_@ = GREATEST(r.failures_@ - mine.@, 0)")},
           state = CASE WHEN r.id IN (SELECT id FROM back) THEN 'deliverable' ELSE r.state END,
           state_at = CASE WHEN r.id IN (SELECT id FROM back) THEN %(now)s ELSE r.state_at END,
           updated_at = CASE WHEN r.id IN (SELECT id FROM back) THEN %(now)s ELSE r.updated_at END
      FROM mine WHERE r.magazine_id = %(magazine)s AND r.lead_id = mine.lead_id
), noted AS (
    INSERT INTO mail_readerchange (magazine_id, lead_id, at, what, way, before, after, "group", detail, user_id, ip)
    SELECT %(magazine)s, lead_id, %(now)s, 'state', 'outage', 'error_stopped', 'deliverable', '',
           jsonb_build_object('outage', %(outage)s, 'failures', number), %(user)s, %(ip)s
      FROM back
)
SELECT (SELECT count(*) FROM failed), (SELECT count(*) FROM back)
"""


def affected(
    magazine: Magazine,
    domain: str,
    since: datetime,
    until: datetime,
    *,
    groups: Iterable[str] = USUAL_GROUPS,
) -> Affected:
    """What taking back would do now; one statement. Refused("domain"), ("period"), ("groups")."""
    with connection.cursor() as cursor:
        cursor.execute(_AFFECTED, _values(magazine, domain, since, until, groups))
        return Affected(*cursor.fetchone())


def coming_back(
    magazine: Magazine,
    domain: str,
    since: datetime,
    until: datetime,
    *,
    groups: Iterable[str] = USUAL_GROUPS,
) -> QuerySet[Reader]:
    """Who would be deliverable again, in the order of their ids."""
    with connection.cursor() as cursor:
        cursor.execute(_FAILED + _BACK, _values(magazine, domain, since, until, groups))
        ids = [row[0] for row in cursor.fetchall()]
    return Reader.objects.filter(pk__in=ids).select_related("lead").order_by("pk")


@again_after_deadlock
def take_back(
    magazine: Magazine,
    domain: str,
    since: datetime,
    until: datetime,
    *,
    groups: Iterable[str] = USUAL_GROUPS,
    note: str = "",
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> Outage:
    """Does it, in statements. Refused("nothing") when there is no such failure that counts, so the same outage twice changes
    nothing; Refused("domain"), ("period"), ("groups")."""
    values = _values(magazine, domain, since, until, groups)
    note = " ".join(note.replace("\0", "").split())[:300]
    with transaction.atomic(), connection.cursor() as cursor:
        magazine = hold(magazine.pk, alone=True)
        # Whoever counts a failure at this moment has the readers: they are waited for, then everything is looked at anew.
        cursor.execute(_LOCK, values)
        outage = Outage.objects.create(
            magazine=magazine, domain=values["domain"], since=since, until=until, groups=values["groups"],
            note=note, user=user, at=now,
        )  # fmt: skip
        more = {"now": now, "outage": outage.pk, "user": user.pk if user else None, "ip": ip}
        cursor.execute(_TAKE_BACK, values | more)
        outage.failures_count, outage.readers_back = cursor.fetchone()
        if not outage.failures_count:
            raise Refused(
                "nothing",
                _("No failures of this domain in this period count (any more). Nothing was changed."),
            )
        outage.save(update_fields=["failures_count", "readers_back"])
        detail = {
            "at": now.isoformat(), "domain": outage.domain, "outage_since": since.isoformat(), "outage_until": until.isoformat(),
            "failed": outage.failures_count, "readers": outage.readers_back,
        }  # fmt: skip
        audit.record("magazine.outage", user=user, target=magazine, detail=detail, ip=ip)
    return outage


def _values(
    magazine: Magazine, domain: str, since: datetime, until: datetime, groups: Iterable[str]
) -> dict[str, Any]:
    receiving = receiving_domain(f"x@{domain.strip().strip('@')}")
    if not receiving:
        raise Refused("domain", _("Enter a domain, for example docomo.ne.jp."))
    if since >= until:
        raise Refused("period", _("The end of the period must be after its beginning."))
    wanted = set(groups)
    chosen = [group.value for group in FailureGroup if group in wanted]
    if not chosen:
        raise Refused("groups", _("Choose at least one kind of failure."))
    return {"magazine": magazine.pk, "domain": receiving, "since": since, "until": until, "groups": chosen}

"""What the screens ask about brakes (RATE-2). Nothing here changes anything."""

from dataclasses import dataclass
from urllib.parse import urlencode

import idna
from django.db import connection
from django.urls import reverse

from mail.delivery.brake import advice, brakes_of, spellings
from mail.models.brake import JobDomain
from mail.models.send_job import FINISHED, SendJob
from mail.results import ResultGroup


@dataclass(frozen=True)
class Brake:
    """One notice on the job page."""

    row: JobDomain
    shown: str  # the domain as people write it
    total: int  # mails judged
    waiting: int
    advice: str
    failed_url: str
    waiting_url: str


def brakes_shown(job: SendJob) -> list[Brake]:
    """The domains where this job is braked, with what waits there: one query, two if there are any."""
    rows = brakes_of(job)
    waiting = _waiting(job.pk, [row.domain for row in rows]) if rows else {}
    return [
        Brake(
            row=row,
            shown=readable(row.domain),
            total=row.sent + row.failed,
            waiting=waiting[row.domain],
            advice=advice(row),
            failed_url=_link(job.pk, row.domain, ResultGroup.ERROR),
            waiting_url=_link(job.pk, row.domain, ResultGroup.WAITING),
        )
        for row in rows
    ]


def readable(domain: str) -> str:
    try:
        return idna.decode(domain)
    except idna.IDNAError:
        return domain


def _link(job_id: int, domain: str, state: str) -> str:
    query = {"job": job_id, "state": state, "address": f"@{readable(domain)}"}
    return f"{reverse('deliveries')}?{urlencode(query)}"


def _waiting(job_id: int, domains: list[str]) -> dict[str, int]:
    names = {name: domain for domain in domains for name in spellings(domain)}
    found = dict.fromkeys(domains, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lower(split_part(address, '@', -1)), count(*) FROM mail_delivery WHERE job_id = %s "
            "AND state IN ('queued', 'deferred') AND lower(split_part(address, '@', -1)) = ANY(%s) GROUP BY 1",
            [job_id, list(names)],
        )
        for name, number in cursor.fetchall():
            found[names[name]] += number
    return found


def braked_jobs(limit: int, *, campaign_id: int | None = None) -> list[tuple[SendJob, list[str]]]:
    """For the home page: jobs that are braked somewhere and where, newest first; of a campaign its own. One query."""
    mine = {} if campaign_id is None else {"job__campaign_id": campaign_id}
    rows = (
        JobDomain.objects.filter(braked_at__isnull=False, released_at__isnull=True, **mine)
        .exclude(job__state__in=FINISHED)
        .select_related("job__template", "job__campaign")
        .order_by("-job_id", "domain")[: limit * 20]
    )
    found: dict[int, tuple[SendJob, list[str]]] = {}
    for row in rows:
        found.setdefault(row.job_id, (row.job, []))[1].append(readable(row.domain))
    return list(found.values())[:limit]

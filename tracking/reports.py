"""TRK-3: 「開封・クリックレポート」 of a mailing or a step mail. Nothing here changes anything.

What is counted is a mail (a delivery). A mailing sends one a lead (RSV-5), so there it is a person; a step mail may send
a person several, and then each counts. Denominator: the mails that are 正常 *now*. A mail that came back later, or whose
outcome is unknown, leaves numerator and denominator alike, so that no rate goes over 100 %; its hits are told apart. A
lead that was deleted or merged changes nothing: the mail was delivered and read. A retried mail is the same mail. What
somebody sent again by hand (再送信) is a mail of its own and not of the mailing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mail.models import CountedUrl, Delivery, SendJob, StepMail, TemplateSnapshot
from mail.models.template import MailForm
from tracking.report_sql import all_rows
from tracking.report_times import Times, times_of


@dataclass(frozen=True)
class Scope:
    """What a report is about. `column` is that of mail_delivery and tracking_mailhit."""

    column: str  # job_id or step_mail_id
    id: int
    form: str = ""  # mail.models.template.MailForm; "" before anything was sent
    clicks: bool = False  # whether clicks, and opens, were counted in what was sent
    opens: bool = False
    counted: Mapping[str, int] = field(default_factory=dict)  # URL as written → CountedUrl id
    start: datetime | None = None  # of a mailing


def scope_of_job(job: SendJob) -> Scope:
    content = job.snapshot.content if job.snapshot else {}
    return Scope("job_id", job.pk, **_counted([content] if content else []), start=job.started_at)


def scopes_of_jobs(jobs: QuerySet[SendJob]) -> list[Scope]:
    """The same for a list, in one query that leaves the mails' texts and attachments where they are."""
    keys = ("form", "counted", "opens")
    rows = jobs.values_list("pk", "started_at", *(f"snapshot__content__{key}" for key in keys))
    found = []
    for job_id, started_at, *values in rows:
        content = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        found.append(Scope("job_id", job_id, **_counted([content] if content else []), start=started_at))
    return found


def scope_of_step(step: StepMail) -> Scope:
    """Its mails may have been made from several versions of the template: all links that ever went out count."""
    used = Delivery.objects.filter(step_mail_id=step.pk).order_by().values("snapshot_id").distinct()
    snapshots = TemplateSnapshot.objects.filter(pk__in=used).order_by("pk").values_list("content", flat=True)
    return Scope("step_mail_id", step.pk, **_counted(list(snapshots)))


def _counted(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counted: dict[str, int] = {}
    for content in contents:
        counted |= content.get("counted") or {}
    forms = {str(content.get("form", "")) for content in contents}
    # Text readers are in the denominator as soon as one version had a text part.
    form = MailForm.MULTIPART.value if len(forms) > 1 else next(iter(forms), "")
    return {
        "form": form,
        "clicks": bool(counted),
        "opens": any(content.get("opens") for content in contents) and form != MailForm.TEXT,
        "counted": counted,
    }


@dataclass(frozen=True)
class Numbers:
    """Mails. All but the last five are of 正常 mails and of people."""

    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    opened_clicked: int = 0
    clicked_unopened: int = 0  # pictures were not shown: no open, but a click
    undelivered: int = 0  # opened or clicked by a person, but not 正常: they came back later
    machine_opened: int = 0  # mails with opens taken for a machine's, and the hits
    machine_opens: int = 0
    machine_clicked: int = 0
    machine_clicks: int = 0


_DELIVERED = """
SELECT {column}, count(*) FROM mail_delivery WHERE {column} = ANY (%(ids)s) AND state = 'sent' GROUP BY {column}
"""
# One row a mail that was hit, then one a scope.
_HITS = """
WITH hit AS (
    SELECT delivery_id,
           count(*) FILTER (WHERE kind = 'open' AND verdict = 'person') > 0 AS opened,
           count(*) FILTER (WHERE kind = 'click' AND verdict = 'person') > 0 AS clicked,
           count(*) FILTER (WHERE kind = 'open' AND verdict = 'machine') AS machine_opens,
           count(*) FILTER (WHERE kind = 'click' AND verdict = 'machine') AS machine_clicks
    FROM tracking_mailhit WHERE {column} = ANY (%(ids)s) GROUP BY delivery_id
)
SELECT d.{column},
       count(*) FILTER (WHERE d.state = 'sent' AND opened),
       count(*) FILTER (WHERE d.state = 'sent' AND clicked),
       count(*) FILTER (WHERE d.state = 'sent' AND opened AND clicked),
       count(*) FILTER (WHERE d.state = 'sent' AND clicked AND NOT opened),
       count(*) FILTER (WHERE d.state <> 'sent' AND (opened OR clicked)),
       count(*) FILTER (WHERE machine_opens > 0), coalesce(sum(machine_opens), 0)::bigint,
       count(*) FILTER (WHERE machine_clicks > 0), coalesce(sum(machine_clicks), 0)::bigint
FROM hit JOIN mail_delivery d ON d.id = hit.delivery_id WHERE d.{column} = ANY (%(ids)s) GROUP BY d.{column}
"""
_LINKS = """
SELECT h.url_id, count(DISTINCT h.delivery_id), count(*)
FROM tracking_mailhit h JOIN mail_delivery d ON d.id = h.delivery_id AND d.{column} = %(id)s AND d.state = 'sent'
WHERE h.{column} = %(id)s AND h.kind = 'click' AND h.verdict = 'person' GROUP BY h.url_id
"""
_DOMAINS = """
WITH hit AS (
    SELECT delivery_id, bool_or(kind = 'open') AS opened, bool_or(kind = 'click') AS clicked
    FROM tracking_mailhit WHERE {column} = %(id)s AND verdict = 'person' GROUP BY delivery_id
)
SELECT lower(split_part(d.address COLLATE "C", '@', -1)) AS domain, count(*), count(*) FILTER (WHERE opened), count(*) FILTER (WHERE clicked)
FROM mail_delivery d LEFT JOIN hit ON hit.delivery_id = d.id
WHERE d.{column} = %(id)s AND d.state = 'sent' GROUP BY domain ORDER BY 2 DESC, 1 LIMIT %(limit)s
"""
DOMAINS = 30  # lines; the biggest


@dataclass(frozen=True)
class Rate:
    """A rate that says how it came about. `of` and `among` are questions of tracking/report_mails.py: the mails behind it."""

    key: str
    label: str
    numerator: int
    denominator: int
    formula: str
    of: str
    among: str

    @property
    def value(self) -> float | None:
        """Per cent; None where nothing stands below the line."""
        return 100 * self.numerator / self.denominator if self.denominator else None


@dataclass(frozen=True)
class Link:
    id: int
    name: str
    url: str
    people: int
    clicks: int


@dataclass(frozen=True)
class Domain:
    name: str
    delivered: int
    opened: int
    clicked: int


@dataclass(frozen=True)
class Report:
    scope: Scope
    numbers: Numbers
    rates: list[Rate]
    links: list[Link]
    domains: list[Domain]
    times: Times


def report(scope: Scope, *, now: datetime) -> Report:
    """Six statements, whatever the number of mails, hits and links."""
    numbers = numbers_of(scope.column, [scope.id])[scope.id]
    return Report(
        scope, numbers, rates(scope, numbers), links_of(scope), domains_of(scope), times_of(scope.column, scope.id, start=scope.start, now=now)
    )  # fmt: skip


def job_report(job: SendJob, *, now: datetime) -> Report:
    return report(scope_of_job(job), now=now)


def step_report(step: StepMail, *, now: datetime) -> Report:
    return report(scope_of_step(step), now=now)


def numbers_of(column: str, ids: Iterable[int]) -> dict[int, Numbers]:
    """For each id, in two statements. `column`: as in Scope."""
    ids = list(ids)
    found: dict[int, list[int]] = {}
    delivered: dict[int, int] = dict(all_rows(_DELIVERED.format(column=column), {"ids": ids}))
    for scope, *numbers in all_rows(_HITS.format(column=column), {"ids": ids}):
        found[scope] = numbers
    return {one: Numbers(delivered.get(one, 0), *found.get(one, ())) for one in ids}


def rates(scope: Scope, numbers: Numbers) -> list[Rate]:
    """開封率 only where opens were measured (TRK-2), クリック率 only where links were counted."""
    found = []
    if scope.opens:
        found.append(
            Rate("open", _("Open rate"), numbers.opened, numbers.delivered,
                 _("opened (once per recipient) ÷ delivered"), "opened", "delivered")
        )  # fmt: skip
    if scope.clicks:
        found.append(
            Rate("click", _("Click rate"), numbers.clicked, numbers.delivered,
                 _("clicked (once per recipient) ÷ delivered"), "clicked", "delivered")
        )  # fmt: skip
    if scope.opens and scope.clicks:
        found.append(
            Rate("both", _("Clicks among the opened"), numbers.opened_clicked, numbers.opened,
                 _("opened and clicked ÷ opened"), "opened_clicked", "opened")
        )  # fmt: skip
    return found


def links_of(scope: Scope) -> list[Link]:
    """Every link that was counted, those without a click too; the most clicked first."""
    rows = all_rows(_LINKS.format(column=scope.column), {"id": scope.id})
    clicked = {url_id: (people, clicks) for url_id, people, clicks in rows}
    ids = list(dict.fromkeys([*scope.counted.values(), *(one for one in clicked if one is not None)]))
    urls = CountedUrl.objects.in_bulk(ids)
    found = [
        Link(one, urls[one].name if one in urls else "", urls[one].url if one in urls else "", *clicked.get(one, (0, 0)))
        for one in ids
    ]  # fmt: skip
    return sorted(found, key=lambda link: (-link.people, -link.clicks, link.name, link.id))


def domains_of(scope: Scope, *, limit: int | None = DOMAINS) -> list[Domain]:
    """Biggest first; `limit` None: all there are."""
    rows = all_rows(_DOMAINS.format(column=scope.column), {"id": scope.id, "limit": limit})
    return [Domain(*row) for row in rows]

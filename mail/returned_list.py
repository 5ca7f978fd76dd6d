"""「不達・返信の受信履歴」: what came back, as a list; cut by id (`before`) like the list of deliveries, because a filter may
leave millions behind. Counts stop at COUNT_LIMIT."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from leads.models import Lead
from mail.models import Delivery, ReturnedKind, ReturnedMail, SendJob
from mail.models.delivery import Cause, DeliveryState
from settings.system_settings import rows_per_page
from smp.lib.days import end_of, start_of

COUNT_LIMIT = 10_000
TAKEN_AS_DELIVERED = timedelta(days=7)  # ERR-1


@dataclass(frozen=True)
class ReturnedRow:
    """One returned mail with what it belongs to; `words` is what the other server said."""

    mail: ReturnedMail
    delivery: Delivery | None
    lead: Lead | None

    @property
    def address(self) -> str:
        return self._first("address") or (self.delivery.address if self.delivery else "")

    @property
    def words(self) -> str:
        return self._first("diagnostic")

    @property
    def status(self) -> str:
        return self._first("status")

    def _first(self, key: str) -> str:
        """Of the recipient that failed, otherwise of the first."""
        rows: list[dict[str, Any]] = self.mail.recipients
        one = next((row for row in rows if row.get("action") == "failed"), rows[0] if rows else {})
        return str(one.get(key, ""))


@dataclass(frozen=True)
class ReturnedPage:
    rows: list[ReturnedRow]
    count: int
    more_than_count: bool
    older: int | None


def returned_matching(wanted: dict[str, Any], *, campaign_id: int | None = None) -> QuerySet[ReturnedMail]:
    """`wanted`: cleaned values of the list's form; empty ones mean all. Newest first, without the mails' bytes; of a
    campaign what came back for its mails (APP-1), and so nothing that is nobody's."""
    found = ReturnedMail.objects.defer("raw").order_by("-pk")
    if campaign_id is not None:
        found = found.filter(delivery_id__in=Delivery.objects.filter(campaign_id=campaign_id).values("pk"))
    for name in ("kind", "cause"):
        if wanted.get(name):
            found = found.filter(**{name: wanted[name]})
    if wanted.get("changed"):
        found = found.filter(changed=wanted["changed"] == "yes")
    for name in ("job", "lead", "delivery"):
        if wanted.get(name) is not None:
            found = found.filter(**{f"{name}_id": wanted[name]})
    if wanted.get("first_day"):
        found = found.filter(at__gte=start_of(wanted["first_day"]))
    if wanted.get("last_day"):
        found = found.filter(at__lt=end_of(wanted["last_day"]))
    return found


def returned_page(
    wanted: dict[str, Any], *, before: int | None, campaign_id: int | None = None
) -> ReturnedPage:
    size = rows_per_page()
    found = returned_matching(wanted, campaign_id=campaign_id)
    mails = list((found.filter(pk__lt=before) if before else found)[: size + 1])
    count = len(mails)
    if before or count > size:
        count = found.order_by()[: COUNT_LIMIT + 1].count()
    older = mails[size - 1].pk if len(mails) > size else None
    return ReturnedPage(
        with_owners(mails[:size]), min(count, COUNT_LIMIT), more_than_count=count > COUNT_LIMIT, older=older
    )


def with_owners(mails: Iterable[ReturnedMail]) -> list[ReturnedRow]:
    """Two queries, however many."""
    mails = list(mails)
    deliveries = (
        Delivery.objects.select_related("template")
        .defer("merge_values", "reply", "template__html_body", "template__text_body")
        .in_bulk([mail.delivery_id for mail in mails if mail.delivery_id])
    )
    leads = Lead.objects.in_bulk([mail.lead_id for mail in mails if mail.lead_id])
    return [
        ReturnedRow(mail, deliveries.get(mail.delivery_id or 0), leads.get(mail.lead_id or 0))
        for mail in mails
    ]


def returned_of(delivery: Delivery, limit: int = 20) -> list[ReturnedRow]:
    """What came back for one mail, oldest first."""
    rows = ReturnedMail.objects.filter(delivery_id=delivery.pk).defer("raw").order_by("pk")[:limit]
    return [ReturnedRow(mail, delivery, None) for mail in rows]


def waiting_for_reports(delivery: Delivery, *, now: datetime) -> bool | None:
    """ERR-1, for a mail that is 正常: True within a week of its hand-over, when a report may still come; False after
    it, when it is taken as delivered; None for any other mail."""
    if delivery.state != DeliveryState.SENT or delivery.sent_at is None:
        return None
    return delivery.sent_at > now - TAKEN_AS_DELIVERED


@dataclass(frozen=True)
class CauseCount:
    cause: str
    label: str
    count: int


def failures_by_cause(job: SendJob) -> list[CauseCount]:
    """ERR-5: the job's failures by cause, most frequent first; those from before causes were stored have none."""
    found = (
        Delivery.objects.filter(job=job, state=DeliveryState.ERROR)
        .order_by()
        .values_list("cause")
        .annotate(n=Count("*"))
    )
    rows = [
        CauseCount(cause, str(Cause(cause).label) if cause in Cause.values else "", number)
        for cause, number in found
    ]
    return sorted(rows, key=lambda row: (-row.count, row.cause))


def complaints_about(job: SendJob) -> int:
    """OPT-9: how many complaints came about a job's mails."""
    return ReturnedMail.objects.filter(job_id=job.pk, kind=ReturnedKind.COMPLAINT).count()

"""「個別メール送信履歴」 (RES-4): the ledger as a list that stays cheap at ten million rows.

Pages are cut by id (`before`), never by OFFSET, within a job by lead, whose index gives that order; counts stop at
COUNT_LIMIT. Parts of addresses and titles have no index, because it would slow down every resolve: such a search walks
from the newest mail back, for at most TIME_LIMIT.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from mail.models import Delivery
from mail.models.delivery import DeliveryState
from mail.modes import shown_in
from mail.recipients.reasons import NEVER_ADDRESSED
from mail.results import ADDRESSED, ResultGroup
from settings.system_settings import rows_per_page
from smp.lib.days import end_of, start_of

COUNT_LIMIT = 10_000
TIME_LIMIT = timedelta(seconds=5)
QUERY_CANCELED = "57014"


class TooMuchToRead(Exception):
    """The search took longer than TIME_LIMIT: it has to be narrowed down."""


@dataclass(frozen=True)
class DeliveryPage:
    rows: list[Delivery]
    count: int
    more_than_count: bool  # there are more than `count`
    older: int | None  # `before` of the next page


def states_of(value: str) -> tuple[DeliveryState, ...]:
    """A result group (正常, エラー, …) or a single state."""
    return ResultGroup(value).states if value in ResultGroup.values else (DeliveryState(value),)


def deliveries_matching(wanted: dict[str, Any], *, campaign_id: int | None = None) -> QuerySet[Delivery]:
    """`wanted`: cleaned values of the list's form; empty ones mean all. Newest first, of a campaign its own (APP-1)."""
    found = shown_in(campaign_id, Delivery.objects.order_by("-id"))
    if campaign := wanted.get("campaign"):  # "0": of no campaign
        found = found.filter(campaign_id=int(campaign) or None)
    if text := wanted.get("address"):
        found = found.filter(address__icontains=text)
    if text := wanted.get("title"):
        found = found.filter(subject__icontains=text)
    if (state := wanted.get("state")) == ADDRESSED:
        found = found.exclude(state=DeliveryState.EXCLUDED, reason__in=NEVER_ADDRESSED)
    elif state:
        found = found.filter(state__in=states_of(state))
    for name in ("reason", "kind", "mail_kind", "cause"):
        if wanted.get(name):
            found = found.filter(**{name: wanted[name]})
    for name in ("code", "job_id", "template_id", "lead_id", "step_mail_id"):
        value = wanted.get({"step_mail_id": "step"}.get(name, name.removesuffix("_id")))
        if value is not None and value != "":
            found = found.filter(**{name: int(value)})
    if wanted.get("first_day"):
        found = found.filter(decided_at__gte=start_of(wanted["first_day"]))
    if wanted.get("last_day"):
        found = found.filter(decided_at__lt=end_of(wanted["last_day"]))
    return found


def delivery_page(
    wanted: dict[str, Any], *, before: int | None, campaign_id: int | None = None
) -> DeliveryPage:
    """One page and the bounded count, in three or four statements. TooMuchToRead instead of minutes of waiting."""
    size = rows_per_page()
    found = deliveries_matching(wanted, campaign_id=campaign_id)
    # A job's rows lie together, perhaps far back: in the order of ids, the planner would walk the whole ledger from its
    # end. Each has another lead (RSV-5), and the index that sees to that also gives an order.
    place = "lead_id" if wanted.get("job") else "id"
    page = found.filter(**{f"{place}__lt": before}) if before else found
    shown = page.select_related("lead", "template", "job").defer(
        "merge_values", "reply", "template__html_body", "template__text_body"
    )
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true)",
                    [str(int(TIME_LIMIT.total_seconds() * 1000))],
                )
            rows = list(shown.order_by(f"-{place}")[: size + 1])
            count = len(rows)
            if before or count > size:  # a rare word is not looked for twice
                count = found.order_by()[: COUNT_LIMIT + 1].count()
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != QUERY_CANCELED:
            raise
        raise TooMuchToRead from error
    return DeliveryPage(
        rows=rows[:size],
        count=min(count, COUNT_LIMIT),
        more_than_count=count > COUNT_LIMIT,
        older=getattr(rows[size - 1], place) if len(rows) > size else None,
    )

"""The mails behind each number of a report (TRK-3): one statement for the list, its length and the file, so that they
always agree with the number that led to them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from leads.models import Lead
from mail.models import CountedUrl
from mail.models.delivery import DeliveryState
from mail.modes import usable_in
from smp.lib.days import day_in
from tracking.report_sql import all_rows

SENT = "d.state = 'sent'"
# What is asked: its words, and the condition on the mail `d` and its hits. All but the last three look at 正常 only.
QUESTIONS: dict[str, tuple[Promise, str]] = {
    "delivered": (pgettext_lazy("report", "Delivered"), SENT),
    "opened": (pgettext_lazy("report", "Opened"), f"{SENT} AND opens > 0"),
    "not_opened": (gettext_lazy("Not opened"), f"{SENT} AND coalesce(opens, 0) = 0"),
    "clicked": (pgettext_lazy("report", "Clicked"), f"{SENT} AND clicks > 0"),
    "not_clicked": (gettext_lazy("Not clicked"), f"{SENT} AND coalesce(clicks, 0) = 0"),
    "opened_clicked": (gettext_lazy("Opened and clicked"), f"{SENT} AND opens > 0 AND clicks > 0"),
    "clicked_unopened": (gettext_lazy("Clicked without an open"), f"{SENT} AND opens = 0 AND clicks > 0"),
    "machine_only": (gettext_lazy("Hits of machines only"), f"{SENT} AND opens = 0 AND clicks = 0"),
    "machine_opened": (gettext_lazy("With opens of machines"), "machine_opens > 0"),
    "machine_clicked": (gettext_lazy("With clicks of machines"), "machine_clicks > 0"),
    "undelivered": (gettext_lazy("Opened or clicked, but not delivered"), "d.state <> 'sent' AND (opens > 0 OR clicks > 0)"),
}  # fmt: skip
# The first of them, which a period is about.
_FIRST = {"opened": "first_open", "clicked": "first_click"}

_MAILS = """
WITH hit AS (
    SELECT delivery_id,
           count(*) FILTER (WHERE kind = 'open' AND verdict = 'person') AS opens,
           count(*) FILTER (WHERE kind = 'click' AND verdict = 'person') AS clicks,
           count(*) FILTER (WHERE kind = 'open' AND verdict = 'machine') AS machine_opens,
           count(*) FILTER (WHERE kind = 'click' AND verdict = 'machine') AS machine_clicks,
           min(at) FILTER (WHERE kind = 'open' AND verdict = 'person') AS first_open,
           min(at) FILTER (WHERE kind = 'click' AND verdict = 'person') AS first_click
    FROM tracking_mailhit WHERE {column} = %(id)s AND (kind = 'open' OR %(link)s::bigint IS NULL OR url_id = %(link)s)
    GROUP BY delivery_id
)
SELECT {wanted} FROM mail_delivery d LEFT JOIN hit ON hit.delivery_id = d.id WHERE d.{column} = %(id)s AND ({condition})
"""
_COLUMNS = (
    "d.id, d.lead_id, d.address, d.state, coalesce(opens, 0), coalesce(clicks, 0), coalesce(machine_opens, 0), "
    "coalesce(machine_clicks, 0), first_open, first_click"
)


@dataclass(frozen=True)
class Question:
    """Which mails of a scope. `link`: a CountedUrl id, clicks on others are not looked at; `since`, `until`: of the first
    open or click."""

    what: str
    link: int | None = None
    domain: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass
class MailLine:
    delivery_id: int
    lead_id: int | None
    address: str
    state: str
    opens: int
    clicks: int
    machine_opens: int
    machine_clicks: int
    first_open: datetime | None
    first_click: datetime | None
    lead: Lead | None = None

    @property
    def machines(self) -> int:
        return self.machine_opens + self.machine_clicks

    @property
    def state_label(self) -> str:
        return str(DeliveryState(self.state).label)


def _statement(column: str, scope_id: int, question: Question, wanted: str) -> tuple[str, dict[str, Any]]:
    conditions = [f"({QUESTIONS[question.what][1]})"]
    values: dict[str, Any] = {"id": scope_id, "link": question.link}
    if question.domain:
        conditions.append("lower(split_part(d.address COLLATE \"C\", '@', -1)) = %(domain)s")
        values["domain"] = question.domain
    first = _FIRST.get(question.what)
    if first and question.since:
        conditions.append(f"{first} >= %(since)s")
        values["since"] = question.since
    if first and question.until:
        conditions.append(f"{first} < %(until)s")
        values["until"] = question.until
    return _MAILS.format(column=column, wanted=wanted, condition=" AND ".join(conditions)), values


def count_mails(column: str, scope_id: int, question: Question) -> int:
    statement, values = _statement(column, scope_id, question, "count(*)")
    return int(all_rows(statement, values)[0][0])


def mails_behind(
    column: str, scope_id: int, question: Question, *, before: int | None = None, limit: int | None = None
) -> list[MailLine]:
    """The newest delivery first; `before`: a delivery id, for the next page. Without a limit all (for files)."""
    statement, values = _statement(column, scope_id, question, _COLUMNS)
    if before is not None:
        statement += " AND d.id < %(before)s"
        values["before"] = before
    statement += " ORDER BY d.id DESC"
    if limit is not None:
        statement += " LIMIT %(limit)s"
        values["limit"] = limit
    return [MailLine(*row) for row in all_rows(statement, values)]


def with_leads(lines: list[MailLine]) -> list[MailLine]:
    """One query for all of them. Deleted and merged leads too: they are told on their own page."""
    leads = Lead.objects.in_bulk([line.lead_id for line in lines if line.lead_id])
    for line in lines:
        line.lead = leads.get(line.lead_id) if line.lead_id else None
    return lines


def words_of(question: Question, *, campaign_id: int | None, language: str) -> list[str]:
    """What the list is narrowed to, in words. A link of another mode stays a number (APP-1)."""
    words = [str(QUESTIONS[question.what][0])]
    if question.link is not None:
        url = usable_in(campaign_id, CountedUrl.objects.filter(pk=question.link)).first()
        words.append(_("Link: %(name)s") % {"name": url.name if url else question.link})
    if question.domain:
        words.append(_("Domain: %(name)s") % {"name": question.domain})
    if question.since:
        words.append(f"{day_in(question.since, language)} {question.since:%H:%M}–")
    return words

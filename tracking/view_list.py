"""「アクセス履歴」: views as a list, newest first; cut by id (`before`), because there may be millions. Counts stop at COUNT_LIMIT."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from django.db.models import QuerySet

from leads.models import Lead
from mail.url_patterns import url_q
from settings.system_settings import rows_per_page
from smp.lib.days import end_of, start_of
from tracking.judge import EVIDENCE
from tracking.models import PageView, Verdict

COUNT_LIMIT = 10_000
LATELY = timedelta(days=30)


@dataclass(frozen=True)
class ViewRow:
    view: PageView
    lead: Lead | None

    @property
    def shown_url(self) -> str:
        """Readable: without percent signs where they stand for text."""
        return unquote(self.view.url).replace("\ufffd", "?")

    @property
    def machine(self) -> bool:
        return self.view.verdict == Verdict.MACHINE

    @property
    def why_machine(self) -> str:
        return " ".join(str(EVIDENCE.get(code, code)) for code in self.view.evidence)


@dataclass(frozen=True)
class ViewPage:
    rows: list[ViewRow]
    count: int
    more_than_count: bool
    older: int | None


def views_matching(wanted: dict[str, Any]) -> QuerySet[PageView]:
    """`wanted`: cleaned values of the list's form; empty ones mean all."""
    found = PageView.objects.select_related("site").order_by("-pk")
    if wanted.get("who"):
        found = found.filter(lead_id__isnull=wanted["who"] == "anonymous")
    if wanted.get("machines") != "yes":
        found = found.filter(verdict=Verdict.PERSON)
    for name in ("lead", "site", "visitor"):
        if wanted.get(name):
            value = wanted[name]
            found = found.filter(**{f"{name}_id": getattr(value, "pk", value)})
    if wanted.get("url"):
        found = found.filter(url_q("url", wanted["url"]))
    if wanted.get("first_day"):
        found = found.filter(at__gte=start_of(wanted["first_day"]))
    if wanted.get("last_day"):
        found = found.filter(at__lt=end_of(wanted["last_day"]))
    return found


def viewed_lately(pattern: str, *, now: datetime) -> int:
    """How often people looked at the pages of a pattern in the last 30 days; COUNT_LIMIT at most."""
    found = PageView.objects.filter(url_q("url", pattern), verdict=Verdict.PERSON, at__gte=now - LATELY)
    return found[:COUNT_LIMIT].count()


def view_page(wanted: dict[str, Any], *, before: int | None) -> ViewPage:
    size = rows_per_page()
    found = views_matching(wanted)
    views = list((found.filter(pk__lt=before) if before else found)[: size + 1])
    count = len(views)
    if before or count > size:
        count = found.order_by()[: COUNT_LIMIT + 1].count()
    older = views[size - 1].pk if len(views) > size else None
    return ViewPage(with_leads(views[:size]), min(count, COUNT_LIMIT), count > COUNT_LIMIT, older)


def with_leads(views: Iterable[PageView]) -> list[ViewRow]:
    """One query, however many."""
    views = list(views)
    leads = Lead.objects.in_bulk({view.lead_id for view in views if view.lead_id})
    return [ViewRow(view, leads.get(view.lead_id or 0)) for view in views]

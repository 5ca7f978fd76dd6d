"""What opens, clicks and page views bring to 複合検索 (EXC-5): opened mailing J, clicked the link, viewed the page, since when.

People only (TRK-4, verdict person). Inside a campaign (APP-1) only hits of its mails count, and only its mailings and URLs
are values at all; page views belong to no campaign and are asked for among all campaigns only.
A lead has many: `is_not` = has some other one; "has none", 未開封者 for example, = NOT of `is`. Each item is an EXISTS over
the lead's own hits, found by the index of the lead.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from leads.search.comparisons import datetime_q
from leads.search.registry import Choices, Item, ItemType, Part, Text, register_item, register_lookup
from mail.models import CountedUrl, Delivery, StepMail
from mail.models.step_mail import StepState
from mail.modes import shown_in
from mail.search_items import SHOWN_CHOICES, job_choices, job_labels, template_choices, template_labels
from mail.url_patterns import check_pattern, url_q
from smp.lib.mode import BLUE, ORANGE
from tracking.models import HitKind, MailHit, PageView, TrackedSite, Verdict

GROUP = _("Opens, clicks and page views")
MOST_DAYS = 36_500
MOST_TIMES = 1_000_000

Record = dict[str, list[str]]


def _ids(values: Sequence[str]) -> list[int]:
    return [int(value) for value in values]


def _when(record: Record, now: datetime) -> Q:
    """Within the last n days (today is the first of them), and since a day."""
    q = Q()
    if days := record.get("days"):
        q &= datetime_q("at", "within_days", days, now)
    if since := record.get("since"):
        q &= datetime_q("at", "ge", since, now)
    return q


def _hits(campaign_id: int | None, kind: str) -> QuerySet[MailHit]:
    hits = MailHit.objects.filter(lead_id=OuterRef("pk"), kind=kind, verdict=Verdict.PERSON).order_by()
    return shown_in(campaign_id, hits)


def _hit_q(campaign_id: int | None, kind: str, operator: str, values: list[Record], now: datetime) -> Q:
    record, wanted = values[0], _when(values[0], now)
    if jobs := record.get("job"):
        wanted &= Q(job_id__isnull=False) & Q(job_id__in=_ids(jobs))
    if steps := record.get("step_mail"):
        wanted &= Q(step_mail_id__isnull=False) & Q(step_mail_id__in=_ids(steps))
    if templates := record.get("template"):
        mail = Delivery.objects.filter(pk=OuterRef("delivery_id"), template_id__in=_ids(templates))
        wanted &= Q(Exists(mail.order_by()))
    if urls := record.get("url"):
        wanted &= Q(url_id__isnull=False) & Q(url_id__in=_ids(urls))
    if texts := record.get("url_text"):
        like = Q()
        for text in texts:
            like |= Q(url__icontains=text)
        wanted &= Q(Exists(CountedUrl.objects.filter(like, pk=OuterRef("url_id")).order_by()))
    hits = _hits(campaign_id, kind)
    return Q(Exists(hits.filter(wanted) if operator == "is" else hits.exclude(wanted)))


def _view_q(operator: str, values: list[Record], now: datetime) -> Q:
    record, wanted = values[0], _when(values[0], now)
    if patterns := record.get("url"):
        pages = Q()
        for pattern in patterns:
            pages |= url_q("url", pattern)
        wanted &= pages
    if sites := record.get("site"):
        wanted &= Q(site_id__in=_ids(sites))
    views: QuerySet[Any, Any] = PageView.objects.filter(lead_id=OuterRef("pk"), verdict=Verdict.PERSON)
    views = views.filter(wanted).order_by()
    q = Q(Exists(views))
    if (least := int(record.get("times", ["1"])[0])) > 1:  # counted only for those who have any
        q &= Q(Exists(views.values("lead_id").annotate(times=Count("pk")).filter(times__gte=least)))
    return q


def _between(least: int, most: int, text: str) -> str:
    if not least <= int(text) <= most:
        raise ValidationError(
            _now("Enter a whole number from %(least)s to %(most)s.") % {"least": least, "most": most},
            code="number",
        )
    return text


_DAYS = Part(
    "days",
    pgettext_lazy("search", "Within the last days (n)"),
    ItemType.NUMBER,
    single=True,
    check=partial(_between, 1, MOST_DAYS),
)
_SINCE = Part("since", pgettext_lazy("search", "Since (date)"), ItemType.DATE)


def _named(row: Mapping[str, Any], inside: bool) -> str:
    name = f"{row['name']} (#{row['pk']})"
    return name if inside else " · ".join(filter(None, (name, row["campaign__name"])))


_NAMED = ("pk", "name", "campaign__name")


def step_choices(campaign_id: int | None) -> Choices:
    rows = shown_in(campaign_id, StepMail.objects.exclude(state=StepState.DRAFT).order_by("-id"))
    named = rows.values(*_NAMED)
    return [
        (str(row["pk"]), _named(row, campaign_id is not None))
        for row in (named[:SHOWN_CHOICES] if campaign_id is None else named)
    ]


def step_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = StepMail.objects.filter(pk__in=_ids(values)).values(*_NAMED)
    return {str(row["pk"]): _named(row, False) for row in rows}


def _url_label(row: Mapping[str, Any], inside: bool) -> str:
    named = _named(row, inside)
    return named if row["name"] == row["url"] else f"{named} {row['url'][:80]}"


def url_choices(campaign_id: int | None) -> Choices:
    rows = shown_in(campaign_id, CountedUrl.objects.order_by("-id")).values(*_NAMED, "url")
    return [
        (str(row["pk"]), _url_label(row, campaign_id is not None))
        for row in (rows[:SHOWN_CHOICES] if campaign_id is None else rows)
    ]


def url_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = CountedUrl.objects.filter(pk__in=_ids(values)).values(*_NAMED, "url")
    return {str(row["pk"]): _url_label(row, False) for row in rows}


def site_choices() -> Choices:
    return [(str(pk), f"{name} ({domain})") for pk, name, domain in _sites(TrackedSite.objects.all())]


def site_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = _sites(TrackedSite.objects.filter(pk__in=_ids(values)))
    return {str(pk): f"{name} ({domain})" for pk, name, domain in rows}


def _sites(rows: QuerySet[TrackedSite]) -> QuerySet[TrackedSite, tuple[int, str, str]]:
    return rows.values_list("pk", "name", "domain")


def hit_items(campaign_id: int | None) -> list[Item]:
    """The items of mails in one mode. Inside a campaign an id of somewhere else is refused, so that nothing can be learned
    by trying ids."""
    inside = campaign_id is not None

    def reference(
        key: str,
        label: Text,
        choices: Callable[[int | None], Choices],
        labels: Callable[[Sequence[str]], dict[str, Text]],
    ) -> Part:
        return Part(
            key, label, ItemType.CHOICE, partial(choices, campaign_id), reference=not inside, labels=None if inside else labels
        )  # fmt: skip

    mail = (
        reference("job", _("Mailing"), job_choices, job_labels),
        reference("step_mail", _("Step mail"), step_choices, step_labels),
        reference("template", _("Template"), template_choices, template_labels),
    )
    link = (
        reference("url", pgettext_lazy("search", "Counted URL"), url_choices, url_labels),
        Part("url_text", pgettext_lazy("search", "URL contains"), ItemType.TEXT),
    )
    said = _("All parts are asked of the same open or click. Only people count, not machines.")

    def item(key: str, label: Text, kind: HitKind, parts: tuple[Part, ...]) -> Item:
        return Item(
            key, label, GROUP, ItemType.RECORD, partial(_hit_q, campaign_id, kind), many=True, help=said,
            modes=ORANGE if inside else BLUE, parts=(*parts, _DAYS, _SINCE),
        )  # fmt: skip

    return [
        item("tracking.open", pgettext_lazy("search", "Opened"), HitKind.OPEN, mail),
        item("tracking.click", pgettext_lazy("search", "Clicked"), HitKind.CLICK, (*mail, *link)),
    ]


def view_item() -> Item:
    """Without `is_not`: "some other page" is what nearly every visitor has."""
    return Item(
        "tracking.view", pgettext_lazy("search", "Page viewed"), GROUP, ItemType.RECORD, _view_q, operators=("is",), many=True, modes=BLUE,
        help=_("As www.example.jp/seminar/*; * stands for anything. Views before the person was known count too. Only people count, not machines."),
        parts=(
            Part("url", _("URL of the page"), ItemType.TEXT, check=check_pattern),
            Part("site", pgettext_lazy("search", "Site"), ItemType.CHOICE, site_choices, reference=True, labels=site_labels),
            _DAYS,
            _SINCE,
            Part("times", pgettext_lazy("search", "At least so many times"), ItemType.NUMBER, single=True, check=partial(_between, 1, MOST_TIMES)),
        ),
    )  # fmt: skip


def register() -> None:
    """Called by TrackingConfig.ready()."""
    for item in (*hit_items(None), view_item()):
        register_item(item)
    register_lookup("tracking.", lambda keys: (), hit_items)

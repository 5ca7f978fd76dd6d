"""What mails bring to 複合検索: was sent template X, was in or mailed by job J, the result of a mail, when (EXC-5).

Test mails never count (TEST-6). "Was sent" means what it means to recipients/resolve.sql (EXC-2): on its way, handed
over or outcome unknown; neither failures nor exclusions nor reservations.
A lead has many mails: `is_not` = has some other one; "has none" = NOT of `is` (the manual's 「一致しない」 and NOT).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from leads.search.comparisons import datetime_q
from leads.search.registry import Choices, Item, ItemType, Part, Text, register_item
from leads.searches import register_uses
from mail.models import Delivery, MailTemplate, SendJob
from mail.models.delivery import Cause, DeliveryKind, DeliveryState
from mail.models.send_job import WAITING
from mail.recipients.reasons import Reason
from mail.results import SENT_OR_ON_ITS_WAY, ResultGroup

GROUP = _("Mail")
SHOWN_CHOICES = 300  # the newest; older ones are reached by their ID
SENT_OPERATORS = (
    "not_empty", "empty", "within_days", "days_ago", "today", "this_month", "between", "ge", "le",
)  # fmt: skip


def _mails() -> QuerySet[Delivery]:
    return Delivery.objects.filter(lead_id=OuterRef("pk")).exclude(kind=DeliveryKind.TEST)


def _sent() -> QuerySet[Delivery]:
    return _mails().filter(state__in=SENT_OR_ON_ITS_WAY)


def _one_of(rows: Callable[[], QuerySet[Delivery]], column: str) -> Callable[[str, list[str], datetime], Q]:
    """Ids on a many-valued column: has one of them, has some other one, has none at all, has any."""

    def q(operator: str, values: list[str], now: datetime) -> Q:
        there = rows().filter(**{f"{column}__isnull": False})
        wanted = {f"{column}__in": [int(value) for value in values]}
        match operator:
            case "is":
                return Q(Exists(there.filter(**wanted)))
            case "is_not":
                return Q(Exists(there.exclude(**wanted)))
            case "not_empty":
                return Q(Exists(there))
            case "empty":
                return ~Q(Exists(there))
        raise ValueError(operator)

    return q


def _sent_at_q(operator: str, values: list[str], now: datetime) -> Q:
    sent = _mails().filter(state=DeliveryState.SENT, sent_at__isnull=False)
    if operator == "empty":
        return ~Q(Exists(sent))
    return Q(
        Exists(sent if operator == "not_empty" else sent.filter(datetime_q("sent_at", operator, values, now)))
    )


def _result_q(operator: str, values: list[dict[str, list[str]]], now: datetime) -> Q:
    record = values[0]
    wanted = Q()
    if groups := record.get("state"):
        wanted &= Q(state__in=[state for group in groups for state in ResultGroup(group).states])
    if codes := record.get("code"):
        wanted &= Q(code__isnull=False) & Q(code__in=[int(code) for code in codes])
    if causes := record.get("cause"):
        wanted &= Q(state=DeliveryState.ERROR, cause__in=causes)
    if reasons := record.get("reason"):
        wanted &= Q(reason__in=reasons)
    if templates := record.get("template"):
        wanted &= Q(template_id__isnull=False) & Q(template_id__in=[int(template) for template in templates])
    if jobs := record.get("job"):
        wanted &= Q(job_id__isnull=False) & Q(job_id__in=[int(job) for job in jobs])
    return Q(Exists(_mails().filter(wanted) if operator == "is" else _mails().exclude(wanted)))


def _template_label(row: Mapping[str, Any]) -> str:
    return f"{row['name']} (#{row['pk']})"


def template_choices() -> Choices:
    rows = MailTemplate.objects.order_by("-id").values("pk", "name")[:SHOWN_CHOICES]
    return [(str(row["pk"]), _template_label(row)) for row in rows]


def template_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = MailTemplate.objects.filter(pk__in=[int(value) for value in values]).values("pk", "name")
    return {str(row["pk"]): _template_label(row) for row in rows}


def _job_label(row: Mapping[str, Any]) -> str:
    at = row["started_at"] or row["scheduled_at"] or row["created_at"]
    return f"{date_format(timezone.localtime(at), 'Y-m-d H:i')} {row['template__name'] or ''} (#{row['pk']})"


_JOB = ("pk", "started_at", "scheduled_at", "created_at", "template__name")


def job_choices() -> Choices:
    rows = (
        SendJob.objects.exclude(state__in=["draft", "deleted"]).order_by("-id").values(*_JOB)[:SHOWN_CHOICES]
    )
    return [(str(row["pk"]), _job_label(row)) for row in rows]


def job_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = SendJob.objects.filter(pk__in=[int(value) for value in values]).values(*_JOB)
    return {str(row["pk"]): _job_label(row) for row in rows}


def _reference(
    key: str, label: Text, rows: Callable[[], QuerySet[Delivery]], column: str, help: Text = ""
) -> Item:
    choices, labels = (
        (template_choices, template_labels) if column == "template_id" else (job_choices, job_labels)
    )
    return Item(
        key, label, GROUP, ItemType.CHOICE, _one_of(rows, column), operators=("is", "is_not", "not_empty", "empty"),
        choices=choices, labels=labels, reference=True, many=True, help=help,
    )  # fmt: skip


def register_mail_items() -> None:
    """Called by MailConfig.ready()."""
    register_uses(waiting_jobs_of)
    register_item(_reference("mail.template", _("Was sent the template"), _sent, "template_id"))
    register_item(_reference("mail.job", _("Was mailed by the mailing"), _sent, "job_id"))
    register_item(
        _reference("mail.job_scope", _("Was in scope of the mailing (mailed or not)"), _mails, "job_id")
    )
    register_item(
        Item(
            "mail.sent_at",
            _("A mail was sent at"),
            GROUP,
            ItemType.DATETIME,
            _sent_at_q,
            operators=SENT_OPERATORS,
            many=True,
        )
    )
    register_item(
        Item(
            "mail.result", _("Result of a mail"), GROUP, ItemType.RECORD, _result_q, many=True,
            help=_("All parts are asked of the same mail."),
            parts=(
                Part("state", _("Result"), ItemType.CHOICE, lambda: list(ResultGroup.choices)),
                Part("code", _("Code"), ItemType.NUMBER),
                Part("cause", _("Cause of the failure"), ItemType.CHOICE, lambda: list(Cause.choices)),
                Part("reason", _("Reason"), ItemType.CHOICE, lambda: list(Reason.choices)),
                Part("template", _("Template"), ItemType.CHOICE, template_choices, reference=True, labels=template_labels),
                Part("job", _("Mailing"), ItemType.CHOICE, job_choices, reference=True, labels=job_labels),
            ),
        )
    )  # fmt: skip


def waiting_jobs_of(search_ids: Sequence[int]) -> dict[int, list[str]]:
    """Which reserved mailings use these searches (leads.searches.register_uses)."""
    uses: dict[int, list[str]] = {}
    rows = (
        SendJob.objects.filter(search__in=list(search_ids), state__in=WAITING)
        .order_by("scheduled_at")
        .values("search_id", *_JOB)
    )
    for row in rows:
        uses.setdefault(row["search_id"], []).append(
            gettext("Reserved mailing: %(job)s") % {"job": _job_label(row)}
        )
    return uses

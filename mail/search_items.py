"""What mails bring to 複合検索: was sent template X, was in or mailed by job J, the result of a mail, when (EXC-5).

Test mails never count (TEST-6). "Was sent" means what it means to recipients/resolve.sql (EXC-2): on its way, handed
over or outcome unknown; neither failures nor exclusions nor reservations.
A lead has many mails: `is_not` = has some other one; "has none" = NOT of `is` (the manual's 「一致しない」 and NOT).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from leads.search.comparisons import datetime_q
from leads.search.registry import Choices, Item, ItemType, Part, Text, register_item, register_lookup
from leads.searches import register_obstacle, register_uses
from mail.models import Delivery, MailTemplate, SendJob, StepMail
from mail.models.delivery import Cause, DeliveryKind, DeliveryState
from mail.models.send_job import WAITING
from mail.modes import shown_in
from mail.recipients.reasons import Reason
from mail.results import SENT_OR_ON_ITS_WAY, ResultGroup
from smp.lib.mode import BLUE, ORANGE

GROUP = _("Mail")
SHOWN_CHOICES = 300  # the newest; older ones are reached by their ID
SENT_OPERATORS = (
    "not_empty", "empty", "within_days", "days_ago", "today", "this_month", "between", "ge", "le",
)  # fmt: skip


Rows = Callable[[], QuerySet[Delivery]]


def _mails(campaign_id: int | None) -> QuerySet[Delivery]:
    mails = shown_in(campaign_id, Delivery.objects.filter(lead_id=OuterRef("pk")))
    return mails.exclude(kind=DeliveryKind.TEST)


def _sent(campaign_id: int | None) -> QuerySet[Delivery]:
    return _mails(campaign_id).filter(state__in=SENT_OR_ON_ITS_WAY)


def _one_of(rows: Rows, column: str) -> Callable[[str, list[str], datetime], Q]:
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


def _sent_at(rows: Rows) -> Callable[[str, list[str], datetime], Q]:
    def q(operator: str, values: list[str], now: datetime) -> Q:
        sent = rows().filter(state=DeliveryState.SENT, sent_at__isnull=False)
        if operator == "empty":
            return ~Q(Exists(sent))
        if operator == "not_empty":
            return Q(Exists(sent))
        return Q(Exists(sent.filter(datetime_q("sent_at", operator, values, now))))

    return q


def _result(rows: Rows) -> Callable[[str, list[dict[str, list[str]]], datetime], Q]:
    def q(operator: str, values: list[dict[str, list[str]]], now: datetime) -> Q:
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
            wanted &= Q(template_id__isnull=False) & Q(
                template_id__in=[int(template) for template in templates]
            )
        if jobs := record.get("job"):
            wanted &= Q(job_id__isnull=False) & Q(job_id__in=[int(job) for job in jobs])
        return Q(Exists(rows().filter(wanted) if operator == "is" else rows().exclude(wanted)))

    return q


def _template_label(row: Mapping[str, Any]) -> str:
    return " · ".join(filter(None, (f"{row['name']} (#{row['pk']})", row["campaign__name"])))


_TEMPLATE = ("pk", "name", "campaign__name")


def template_choices(campaign_id: int | None = None) -> Choices:
    """The newest, with their campaign named; of a campaign all of its own."""
    rows = shown_in(campaign_id, MailTemplate.objects.filter(magazine=None).order_by("-id")).values(
        *_TEMPLATE
    )
    return [
        (str(row["pk"]), _template_label(row) if campaign_id is None else f"{row['name']} (#{row['pk']})")
        for row in (rows[:SHOWN_CHOICES] if campaign_id is None else rows)
    ]


def template_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = MailTemplate.objects.filter(pk__in=[int(value) for value in values]).values(*_TEMPLATE)
    return {str(row["pk"]): _template_label(row) for row in rows}


def _job_label(row: Mapping[str, Any]) -> str:
    at = row["started_at"] or row["scheduled_at"] or row["created_at"]
    return f"{date_format(timezone.localtime(at), 'Y-m-d H:i')} {row['template__name'] or ''} (#{row['pk']})"


_JOB = ("pk", "started_at", "scheduled_at", "created_at", "template__name")


def job_choices(campaign_id: int | None = None) -> Choices:
    """The newest mailings; of a campaign all that were ever confirmed, because nothing else can be asked for there."""
    rows = shown_in(
        campaign_id, SendJob.objects.filter(magazine=None).exclude(state="draft").order_by("-id")
    ).values(*_JOB)
    if campaign_id is None:
        rows = rows.exclude(state="deleted")[:SHOWN_CHOICES]
    return [(str(row["pk"]), _job_label(row)) for row in rows]


def job_labels(values: Sequence[str]) -> dict[str, Text]:
    rows = SendJob.objects.filter(pk__in=[int(value) for value in values]).values(*_JOB)
    return {str(row["pk"]): _job_label(row) for row in rows}


def mail_items(campaign_id: int | None) -> list[Item]:
    """The items of one mode (APP-1). Inside a campaign they ask of its mails only, and only its templates and mailings are
    values at all: an id of somewhere else is refused, so that nothing can be learned by trying ids."""
    inside = campaign_id is not None
    modes = ORANGE if inside else BLUE
    templates, jobs = partial(template_choices, campaign_id), partial(job_choices, campaign_id)
    mails, sent = partial(_mails, campaign_id), partial(_sent, campaign_id)

    def reference(key: str, label: Text, rows: Rows, column: str) -> Item:
        choices, labels = (templates, template_labels) if column == "template_id" else (jobs, job_labels)
        return Item(
            key, label, GROUP, ItemType.CHOICE, _one_of(rows, column), operators=("is", "is_not", "not_empty", "empty"),
            choices=choices, labels=None if inside else labels, reference=not inside, closed=inside, many=True, modes=modes,
        )  # fmt: skip

    return [
        reference("mail.template", _("Was sent the template"), sent, "template_id"),
        reference("mail.job", _("Was mailed by the mailing"), sent, "job_id"),
        reference("mail.job_scope", _("Was in scope of the mailing (mailed or not)"), mails, "job_id"),
        Item(
            "mail.sent_at", _("A mail was sent at"), GROUP, ItemType.DATETIME, _sent_at(mails), operators=SENT_OPERATORS,
            many=True, modes=modes,
        ),
        Item(
            "mail.result", _("Result of a mail"), GROUP, ItemType.RECORD, _result(mails), many=True, modes=modes,
            help=_("All parts are asked of the same mail."),
            parts=(
                Part("state", _("Result"), ItemType.CHOICE, lambda: list(ResultGroup.choices)),
                Part("code", _("Code"), ItemType.NUMBER),
                Part("cause", _("Cause of the failure"), ItemType.CHOICE, lambda: list(Cause.choices)),
                Part("reason", _("Reason"), ItemType.CHOICE, lambda: list(Reason.choices)),
                Part("template", _("Template"), ItemType.CHOICE, templates, reference=not inside, labels=None if inside else template_labels),
                Part("job", _("Mailing"), ItemType.CHOICE, jobs, reference=not inside, labels=None if inside else job_labels),
            ),
        ),
    ]  # fmt: skip


def register_mail_items() -> None:
    """Called by MailConfig.ready()."""
    register_uses(waiting_jobs_of)
    register_obstacle(step_mails_of)
    for item in mail_items(None):
        register_item(item)
    register_lookup("mail.", lambda keys: (), mail_items)


def step_mails_of(search_id: int) -> list[str]:
    """STEP-2: step mails go by the search as it is saved, until they are deleted (leads.searches.register_obstacle)."""
    names = StepMail.objects.filter(search=search_id).order_by("pk").values_list("name", flat=True)
    return [
        gettext("The step mail “%(name)s” uses it. Choose another condition there, or delete the step mail.")
        % {"name": name}
        for name in names
    ]


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

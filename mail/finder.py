"""NAV-3: mails (send jobs) and templates by name or ID, of the mode (APP-1)."""

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from mail.models import Magazine, MailTemplate, SendJob, StepMail, StepState
from mail.models.send_job import JobState
from mail.modes import shown_in, usable_in
from mail.step_queries import text_q
from smp.lib.finder import LIMIT, Finder, Result, register_aliases, register_finder, register_synonyms
from smp.lib.mode import BOTH, url_in

MAX_ID = 2**63 - 1


def register() -> None:
    register_finder(Finder("jobs", _("Wizard history"), find_jobs, position=30, more="jobs", modes=BOTH))
    register_finder(
        Finder("templates", _("Mail templates"), find_templates, position=40, more="templates", modes=BOTH)
    )
    register_finder(
        Finder("step_mails", _("Step mail"), find_step_mails, position=35, more="step_mails", modes=BOTH)
    )
    register_finder(Finder("magazines", _("Mail magazines"), find_magazines, position=36, more="magazines"))
    register_synonyms("セミナー", "キャンペーン")
    register_synonyms("テンプレ一覧", "テンプレート一覧")
    register_aliases(
        "wizard",
        "送信者指定方法",
        "送信ユーザ指定",
        "検索条件指定",
        "メール送信",
        "一斉送信",
        "メール配信",
        "予約送信",
    )
    register_aliases("jobs", "送信履歴", "配信履歴", "送信予約一覧", "メール送信履歴")
    register_aliases("deliveries", "個別送信履歴", "不達", "エラーメール", "メール履歴")
    register_aliases("templates", "メールテンプレート", "ひな形")
    register_aliases(
        "mail_settings",
        "送信者設定",
        "差出人",
        "返信先",
        "自動送信",
        "自動メール",
        "受講票URL再発行通知",
        "リマインドメール",
        "申込完了メール",
        "サンクスメール",
    )


def _number(text: str) -> int | None:
    digits = text.lstrip("#＃")
    return int(digits) if digits.isdecimal() and int(digits) <= MAX_ID else None


def find_jobs(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    condition = Q(template__name__icontains=text) | Q(search_name__icontains=text)
    if (number := _number(text)) is not None:
        condition |= Q(pk=number)
    jobs = (
        shown_in(campaign_id, SendJob.objects.filter(magazine=None).exclude(state=JobState.DRAFT))
        .filter(condition)
        .select_related("template", "campaign")
        .order_by("-pk")[:LIMIT]
    )
    return [
        Result(
            job.template.name if job.template else f"#{job.pk}",
            reverse("job", args=[job.pk]),
            " · ".join(
                [
                    f"#{job.pk}",
                    job.get_state_display(),
                    job.get_rule_display(),
                    *([job.campaign.name] if job.campaign and campaign_id is None else []),
                ]
            ),
        )
        for job in jobs
    ]


def find_templates(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    condition = Q(name__icontains=text) | Q(subject__icontains=text)
    if (number := _number(text)) is not None:
        condition |= Q(pk=number)
    templates = usable_in(campaign_id, MailTemplate.objects.filter(condition, archived_at=None))
    found = templates.order_by("-updated_at", "-pk")[:LIMIT]
    return [
        Result(template.name, reverse("template", args=[template.pk]), template.subject) for template in found
    ]


def find_magazines(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    """By name or description; blue only. Archived ones last."""
    found = Magazine.objects.filter(Q(name__icontains=text) | Q(description__icontains=text))
    return [
        Result(
            magazine.name,
            reverse("readers", args=[magazine.pk]),
            str(_("Archived")) if magazine.archived_at else magazine.description,
        )
        for magazine in found.order_by("-archived_at", "name", "pk")[:LIMIT]
    ]


def find_step_mails(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    """By name, template, condition or page, in operation first; those being set up and deleted ones are not looked for."""
    steps = shown_in(campaign_id, StepMail.objects.exclude(state__in=(StepState.DRAFT, StepState.DELETED)))
    condition = text_q(text)
    if (number := _number(text)) is not None:
        condition |= Q(pk=number)
    found = steps.filter(condition).select_related("template", "campaign").order_by("state", "-pk")[:LIMIT]
    return [
        Result(
            step.name,
            url_in(step.campaign_id, "step_mail", step.pk),
            " · ".join(
                [
                    step.get_state_display(),
                    *([step.template.name] if step.template else []),
                    *([step.campaign.name] if step.campaign and campaign_id is None else []),
                ]
            ),
        )
        for step in found
    ]

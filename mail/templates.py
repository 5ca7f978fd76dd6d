"""Writing mail templates: save, copy, archive, attachments. The only module that changes MailTemplate."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, Count, IntegerField, Max, Q, QuerySet, Sum, Value, When
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast
from django.utils.html import escape
from django.utils.translation import gettext as _

from mail.mail_kinds import SENDERS, kinds_sent_with, settings_of
from mail.merge_fields import OPT_OUT
from mail.merging import normalise_newlines
from mail.models.send_job import WAITING, JobState, SendJob
from mail.models.step_mail import StepMail, StepState
from mail.models.template import MailForm, MailTemplate, TemplateAttachment
from mail.modes import usable_in
from mail.template_check import ATTACHMENT_MAX
from settings import audit
from settings.models import User
from settings.system_settings import get_setting

FIELDS = (
    "name", "subject", "form", "purpose", "charset", "to", "from_address", "from_name", "cc", "bcc", "reply_to",
    "errors_to", "text_body", "html_body",
)  # fmt: skip
CHANGE_WARNING = timedelta(minutes=30)  # before a reserved start a change is called a risk (RSV-2's 送信準備)
ATTACHMENTS_COUNT = 10


class Conflict(Exception):
    """Somebody else saved the template meanwhile; str() says who, in the active language."""


class AttachmentRefused(ValueError):
    """A file that cannot be attached; str() says why."""


@dataclass(frozen=True)
class NewFile:
    name: str
    content_type: str
    content: bytes


def listed_templates(campaign_id: int | None = None, *, archived: bool = False) -> QuerySet[MailTemplate]:
    """For the list of a mode: with `last_used_at`, `job_count` and `sent_count`, taken from the jobs' own counts, because
    counting the ledger on every page would not stay quick."""
    started = Q(jobs__started_at__isnull=False)
    sent = Cast(KeyTextTransform("sent", KeyTransform("state", "jobs__counts")), IntegerField())
    return (
        usable_in(campaign_id, MailTemplate.objects.filter(archived_at__isnull=not archived))
        .annotate(
            last_used_at=Max("jobs__started_at"),
            job_count=Count("jobs", filter=started),
            sent_count=Sum(Case(When(started, then=sent), default=Value(0)), default=0),
        )
        .order_by("-updated_at", "-pk")
    )


def new_template(campaign_id: int | None = None) -> MailTemplate:
    """NAV-2: an unsaved template of a mode, that starts from its 「メール設定」."""
    defaults = settings_of("template", campaign_id)
    footer = legal_footer()
    return MailTemplate(
        campaign_id=campaign_id,
        **{field: getattr(defaults, field) for field in SENDERS},
        text_body=footer,
        html_body=f"<p>{escape(footer.strip()).replace(chr(10), '<br>' + chr(10))}</p>\n" if footer else "",
    )


def legal_footer() -> str:
    """LAW-1: what advertising must say, filled from the system settings; "" until an organisation is set there."""
    name, address, contact = (
        " ".join(get_setting(f"legal_{part}").split()) for part in ("name", "address", "contact")
    )
    if not name:
        return ""
    return (
        f"\n\n--\n送信者: {name}\n住所: {address}\nお問い合わせ: {contact}\n"
        f"配信停止はこちら: {{{{ {OPT_OUT} }}}}\n"
    )


def save_template(
    template: MailTemplate,
    *,
    user: User | None,
    seen_at: datetime | None = None,
    files: Sequence[NewFile] = (),
    removed: Iterable[int] = (),
    ip: str | None = None,
) -> MailTemplate:
    """Stores a checked template with its attachments. `seen_at`: `updated_at` of the version that was edited;
    Conflict when it is not the newest any more. AttachmentRefused, and nothing saved, for a file that is too large."""
    template.text_body = normalise_newlines(template.text_body).replace("\0", "")
    template.html_body = normalise_newlines(template.html_body).replace("\0", "")
    with transaction.atomic():
        changed: list[str] = []
        if template.pk:
            stored = (
                MailTemplate.objects.select_for_update(of=("self",))
                .select_related("updated_by")
                .get(pk=template.pk)
            )
            if seen_at is not None and stored.updated_at != seen_at:
                raise Conflict(
                    _(
                        "%(who)s saved this template meanwhile. Your text is still here: compare it with the stored one, then save again."
                    )
                    % {"who": stored.updated_by or _("Somebody")}
                )
            changed = [field for field in FIELDS if getattr(stored, field) != getattr(template, field)]
        else:
            template.created_by = user
        template.updated_by = user
        created = template.pk is None
        template.save()
        template.attachments.filter(pk__in=list(removed)).delete()
        for file in files:
            attach(template, file)
        audit.record(
            "template.create" if created else "template.edit",
            user=user,
            target=template,
            detail={
                "changed": changed,
                "attached": [file.name for file in files],
                "removed": len(list(removed)),
            },
            ip=ip,
        )
    return template


def copy_template(
    template: MailTemplate, *, campaign_id: int | None, user: User | None, ip: str | None = None
) -> MailTemplate:
    """A new template of the mode `campaign_id` with the same content and attachments, and in another mode with the same
    name; what was sent with the old one does not count for it (EXC-2)."""
    copy = MailTemplate(campaign_id=campaign_id, **{field: getattr(template, field) for field in FIELDS})
    if template.campaign_id == campaign_id:
        copy.name = (_("Copy of %(name)s") % {"name": template.name})[:200]
    with transaction.atomic():
        copy.created_by = copy.updated_by = user
        copy.save()
        TemplateAttachment.objects.bulk_create(
            TemplateAttachment(
                template=copy,
                file_name=file.file_name,
                content_type=file.content_type,
                size=file.size,
                content=file.content,
            )
            for file in template.attachments.all()
        )
        audit.record("template.copy", user=user, target=copy, detail={"from": template.pk}, ip=ip)
    return copy


def archive_template(
    template: MailTemplate, *, user: User | None, now: datetime, ip: str | None = None
) -> bool:
    """Takes the template out of the lists; histories keep it. False while a job or a started step mail waits for it, which
    would halt, or an automatic mail is made of it."""
    with transaction.atomic():
        MailTemplate.objects.select_for_update().get(pk=template.pk)
        if (
            template.jobs.filter(state__in=WAITING).exists()
            or step_mails_with(template)
            or kinds_sent_with(template)
        ):
            return False
        if MailTemplate.objects.filter(pk=template.pk, archived_at=None).update(archived_at=now):
            audit.record("template.archive", user=user, target=template, ip=ip)
        return True


def step_mails_with(template: MailTemplate) -> list[str]:
    """The names of the step mails that were started and send it."""
    states = (StepState.ACTIVE, StepState.STOPPED)
    found = StepMail.objects.filter(template=template.pk, state__in=states).order_by("pk")
    return list(found.values_list("name", flat=True))


def restore_template(template: MailTemplate, *, user: User | None, ip: str | None = None) -> None:
    with transaction.atomic():
        if MailTemplate.objects.filter(pk=template.pk, archived_at__isnull=False).update(archived_at=None):
            audit.record("template.restore", user=user, target=template, ip=ip)


def waiting_jobs(template: MailTemplate) -> list[SendJob]:
    """Reservations that follow the template until they start (RSV-1), the next one first."""
    return list(template.jobs.filter(state__in=WAITING).order_by("scheduled_at", "pk")) if template.pk else []


def starts_soon(jobs: Iterable[SendJob], now: datetime) -> bool:
    """Whether one of the waiting jobs starts within 30 minutes."""
    return any(
        job.state == JobState.PREPARING
        or job.scheduled_at is None
        or job.scheduled_at - now <= CHANGE_WARNING
        for job in jobs
    )


def clean_file_name(name: str) -> str:
    """A file name without folders, controls, direction marks and characters that file systems refuse; never empty."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C")
    name = re.sub(r'[<>:"|?*]', "_", name).strip(" .")
    stem, dot, extension = name.rpartition(".")
    if dot and len(name) > 100:
        name = stem[: 99 - len(extension)] + dot + extension if len(extension) < 20 else name
    return name[:100] or "file"


def checked_file(file: NewFile) -> NewFile:
    """The file as it is stored: a clean name, a content type of the usual form. AttachmentRefused for an empty or too
    large one."""
    megabytes = ATTACHMENT_MAX // 1_000_000
    if not file.content:
        raise AttachmentRefused(_("%(file)s is empty.") % {"file": file.name})
    if len(file.content) > ATTACHMENT_MAX:
        raise AttachmentRefused(
            _("%(file)s is larger than %(limit)s MB.") % {"file": file.name, "limit": megabytes}
        )
    content_type = file.content_type.lower().partition(";")[0].strip()
    if not re.fullmatch(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,59}", content_type):
        content_type = "application/octet-stream"
    return NewFile(clean_file_name(file.name), content_type, file.content)


def check_attachments(sizes: Iterable[int]) -> None:
    """AttachmentRefused when these are too many, or too large together."""
    sizes = list(sizes)
    if len(sizes) > ATTACHMENTS_COUNT:
        raise AttachmentRefused(_("At most %(limit)s files can be attached.") % {"limit": ATTACHMENTS_COUNT})
    limit = get_setting("attachments_limit_mb")
    if sum(sizes) > limit * 1_000_000:
        raise AttachmentRefused(
            _("The attachments are too large together: at most %(limit)s MB.") % {"limit": limit}
        )


def attach(template: MailTemplate, file: NewFile) -> TemplateAttachment:
    """Inside the transaction that saves the template."""
    file = checked_file(file)
    check_attachments([*template.attachments.values_list("size", flat=True), len(file.content)])
    return TemplateAttachment.objects.create(
        template=template,
        file_name=file.name,
        content_type=file.content_type,
        size=len(file.content),
        content=file.content,
    )


def body_fields(form: str) -> list[str]:
    """Which bodies a form sends, for screens."""
    return {MailForm.TEXT: ["text_body"], MailForm.HTML: ["html_body"]}.get(
        MailForm(form), ["text_body", "html_body"]
    )

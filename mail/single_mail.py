"""RES-1..3 「再送信」: one mail to one lead again, edited by hand, as a delivery of its own.

    values = prefill(original, now=now)                   the original mail as it was sent, with today's address
    draft = write_draft(original, values, …)              checked and kept as a snapshot; nothing is sent
    send_draft(draft, user=…, now=…)                      a delivery of kind `single`, never counted as the job's

What is typed is sent as it stands: a single mail has no merge fields (mail/merging.py `literal`).
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core import signing
from django.db import transaction
from django.utils.translation import gettext as _

from leads.address import normalise_email
from leads.models import DmPermission, Lead
from mail import links
from mail.address_fields import split_addresses
from mail.automatic_kinds import is_secret
from mail.hints import hint
from mail.merge_fields import values_for
from mail.merging import literal, normalise_newlines, unliteral
from mail.message import BuiltMail, Skeleton, store_snapshot, uncounted
from mail.models.delivery import OPEN, Delivery, DeliveryKind, DeliveryState
from mail.models.magazine import Reader, ReaderState
from mail.models.template import MailForm, Purpose, TemplateSnapshot
from mail.sent_mail import NotRebuilt, SentMail, decode_addresses, rebuild
from mail.template_check import ADDRESS_FIELDS, address_errors
from mail.templates import NewFile, check_attachments, checked_file
from settings import audit
from settings.models import User

TEXTS = (
    "subject", "from_address", "from_name", "to", "cc", "bcc", "reply_to", "errors_to", "text_body", "html_body",
)  # fmt: skip
WAITING = (*OPEN, DeliveryState.RESERVED)  # it goes out by itself; sent again now, it would arrive twice
DRAFT_SECONDS = 24 * 3600
_SALT = "single-mail"


class NotResendable(Exception):
    """This mail cannot be sent again; str() says why."""


class DraftRefused(ValueError):
    """A single mail that cannot be sent as it was filled in: `problems` are (field, sentence)."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(" ".join(sentence for _field, sentence in problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Draft:
    """A checked single mail that waits for 「メール送信」. `token` names it in URLs; it is worthless without a login."""

    original: Delivery
    snapshot: TemplateSnapshot
    made_at: datetime

    @property
    def token(self) -> str:
        return signing.dumps(
            [self.original.pk, self.snapshot.pk, self.made_at.isoformat()], salt=_SALT, compress=True
        )

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = self.snapshot.content
        return content


# ---- the screen's values --------------------------------------------------------------------------------------------


def original_mail(original: Delivery, *, now: datetime) -> SentMail:
    """The mail as it was sent, its links as they are written: single mails are not counted. One that never went out as it
    would be made now. NotResendable when it has no lead any more or cannot be made."""
    lead = _lead_of(original)
    try:
        return rebuild(original, direct=True)
    except NotRebuilt:
        snapshot = original.snapshot or (original.job.snapshot if original.job else None)
        if snapshot is None:
            raise NotResendable(
                _("This mail was never made, so there is nothing to send again. Use the send wizard.")
            ) from None
    try:
        skeleton = Skeleton(uncounted(snapshot.content))
        values = original.merge_values
        if values is None:
            values = values_for(
                [lead],
                now=now,
                names=skeleton.names,
                campaign_id=original.campaign_id,
                magazine_id=skeleton.magazine_id,
            )[lead.pk] | (original.given_values or {})
        mail = skeleton.build(
            values,
            delivery_id=original.pk,
            lead_id=lead.pk,
            sent_at=now,
            address=original.address or lead.email,
        )
    except ValueError as error:
        raise NotResendable(_("The mail can no longer be made: %(problem)s") % {"problem": error}) from error
    return decode_addresses(mail)


def prefill(original: Delivery, *, now: datetime) -> dict[str, Any]:
    """RES-1: the screen's values, from the mail as it was sent; RES-3: 宛先 is the lead's address of today, where it
    was the lead's address then."""
    sent = original_mail(original, now=now)
    lead = _lead_of(original)
    mail = sent.mail
    to = [lead.email if _same(address, original.address) else address for address in sent.addresses["to"]]
    return {
        "subject": mail.subject,
        "from_address": mail.from_header,
        "from_name": sent.from_name,
        "to": ", ".join(dict.fromkeys(address for address in to if address)),
        "cc": ", ".join(sent.addresses["cc"]),
        "bcc": ", ".join(sent.addresses["bcc"]),
        "reply_to": ", ".join(sent.reply_addresses),
        "errors_to": mail.errors_to,
        "form": MailForm.HTML if mail.html else MailForm.TEXT,
        "multipart": bool(mail.html and mail.text),
        "charset": content_of(original)["charset"],
        "text_body": mail.text,
        "html_body": mail.html,
    }


def draft_values(draft: Draft) -> dict[str, Any]:
    """The screen's values of a draft, for 「戻る」."""
    content = draft.content
    return {field: unliteral(content[field]) for field in TEXTS} | {
        "form": MailForm.TEXT if content["form"] == MailForm.TEXT else MailForm.HTML,
        "multipart": content["form"] == MailForm.MULTIPART,
        "charset": content["charset"],
    }


def content_of(original: Delivery) -> dict[str, Any]:
    """The snapshot's content the original was made of; {} without one."""
    snapshot = original.snapshot or (original.job.snapshot if original.job else None)
    content: dict[str, Any] = snapshot.content if snapshot else {}
    return content


def warnings(original: Delivery, to: str) -> list[str]:
    """What somebody should know before sending it again (RES-3 among them)."""
    lead = _lead_of(original)
    found = []
    if original.address and not any(_same(item, original.address) for item in _items(to)):
        found.append(
            _("The address differs from the one used first (%(address)s).") % {"address": original.address}
        )
    if original.state == DeliveryState.SENT:
        found.append(_("The first mail was delivered normally: the recipient gets it twice."))
    if original.state == DeliveryState.UNKNOWN:
        found.append(_("The outcome of the first mail is unknown: the recipient may get it twice."))
    if not lead.email_valid and any(_same(item, lead.email) for item in _items(to)):
        found.append(
            _("The valid flag of the lead's address is 無効: mail to it failed. Correct the address first.")
        )
    if lead.dm_permission == DmPermission.UNWANTED and "magazine" not in content_of(original):
        found.append(_("The lead does not want mail (DM permission 希望しない)."))
    return found


# ---- draft and sending ----------------------------------------------------------------------------------------------


def write_draft(
    original: Delivery,
    values: dict[str, Any],
    *,
    kept: Iterable[int],
    files: Iterable[NewFile],
    attachments: Sequence[dict[str, str]],
    now: datetime,
) -> Draft:
    """Checks what was typed and keeps it. `attachments` are those of the mail that is edited, `kept` the positions
    that stay, `files` new ones. DraftRefused names each field; AttachmentRefused a file. Sends nothing."""
    form = MailForm(values["form"])
    if form == MailForm.HTML and values["multipart"]:
        form = MailForm.MULTIPART
    texts = {field: normalise_newlines(str(values.get(field) or "")).replace("\0", "") for field in TEXTS}
    _check(original, form, texts)
    stay = [attachments[number] for number in kept if 0 <= number < len(attachments)]
    added = [_stored(checked_file(file)) for file in files]
    check_attachments(len(part["content"]) * 3 // 4 for part in (*stay, *added))
    before = content_of(original)
    content = {field: literal(text) for field, text in texts.items()} | {
        "name": before.get("name", ""),
        "form": str(form),
        "purpose": str(before.get("purpose", Purpose.ADVERTISING)),
        "charset": str(values["charset"]),
        "attachments": [*stay, *added],
    }
    if "magazine" in before:  # its one-click link stays the reader's (OPT-7)
        content["magazine"] = before["magazine"]
    try:
        _build(content, original, now)
    except ValueError as error:
        raise DraftRefused([("", str(error))]) from error
    return Draft(original, store_snapshot(content), now)


def read_draft(original: Delivery, token: str) -> Draft | None:
    """The draft a token names; None for a token that is forged, too old or of another mail."""
    try:
        delivery_id, snapshot_id, made_at = signing.loads(token, salt=_SALT, max_age=DRAFT_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    snapshot = TemplateSnapshot.objects.filter(pk=snapshot_id).first()
    if delivery_id != original.pk or snapshot is None:
        return None
    return Draft(original, snapshot, datetime.fromisoformat(made_at))


def draft_mail(draft: Draft, *, now: datetime) -> BuiltMail:
    """The mail of a draft, for 「送信内容確認」."""
    return _build(draft.content, draft.original, now)


def send_draft(draft: Draft, *, user: User | None, now: datetime, ip: str | None = None) -> Delivery:
    """「メール送信」: queues it. Sent twice from the same confirmation page it is one mail (RSV-5). DraftRefused when
    the lead may not be mailed any more."""
    original = draft.original
    with transaction.atomic():
        Delivery.objects.select_for_update().get(pk=original.pk)
        lead = Lead.objects.select_for_update().get(pk=_lead_of(original).pk)
        once = Delivery.objects.filter(
            original_id=original.pk,
            snapshot=draft.snapshot,
            kind=DeliveryKind.SINGLE,
            decided_at__gte=draft.made_at,
        ).first()
        if once is not None:
            return once
        if refusal := refused_because(lead, draft.content):
            raise DraftRefused([("", refusal)])
        delivery = Delivery.objects.create(
            kind=DeliveryKind.SINGLE,
            campaign_id=original.campaign_id,
            lead=lead,
            template=original.template,
            state=DeliveryState.QUEUED,
            decided_at=now,
            next_at=now,
            address=_items(unliteral(draft.content["to"]))[0],
            dm_permission=lead.dm_permission,
            email_valid=lead.email_valid,
            registration=lead.registration,
            unsubscribed_at=lead.unsubscribed_at,
            snapshot=draft.snapshot,
            merge_values={},
            original_id=original.pk,
        )
        audit.record(
            "delivery.resend",
            user=user,
            target=delivery,
            detail={"original": original.pk, "addresses": _items(unliteral(draft.content["to"]))},
            ip=ip,
        )
        transaction.on_commit(lambda: hint("mail.tasks.deliver_job"))
    return delivery


def refused_because(lead: Lead, content: Mapping[str, Any]) -> str:
    """Why this lead may not get a single mail of this content now; "" when it may (OPT-3, OPT-4, OPT-6). A magazine's mail asks the
    reader instead of DM許可 (MAG-1)."""
    if lead.deleted_at is not None:
        return _("The lead was deleted.")
    if content.get("purpose", Purpose.ADVERTISING) != Purpose.ADVERTISING:
        return ""
    if lead.unsubscribed_at is not None:
        return _("The lead opted out (配信停止). Advertising may not be sent to them, single mails included.")
    if "magazine" in content:
        reader = Reader.objects.filter(magazine=content["magazine"], lead=lead).first()
        if reader is None:
            return _("The lead is no reader of this magazine any more.")
        if reader.state != ReaderState.DELIVERABLE:
            return _(
                "The state of the reader is “%(state)s”. Mails of the magazine may not be sent to them."
            ) % {"state": reader.get_state_display()}
        return ""
    if lead.dm_permission == DmPermission.UNWANTED:
        return _("The lead does not want mail (希望しない). Advertising may not be sent to them.")
    return ""


# ---- helpers --------------------------------------------------------------------------------------------------------


def _check(original: Delivery, form: MailForm, texts: dict[str, str]) -> None:
    problems = [
        (problem.field, problem.text)
        for problem in address_errors({field: texts[field] for field in ADDRESS_FIELDS}, [])
    ]
    if not texts["subject"].strip():
        problems.append(("subject", _("Enter a title.")))
    for field in ("to", "from_address"):
        if not texts[field].strip():
            problems.append((field, _("Enter an address.")))
    bodies = {"text_body": form != MailForm.HTML, "html_body": form != MailForm.TEXT}
    lead, content = _lead_of(original), content_of(original)
    advertising = content.get("purpose", Purpose.ADVERTISING) == Purpose.ADVERTISING
    path, opt_out = links.OPT_OUT_PATH, links.opt_out_url(lead.pk)
    if "magazine" in content:
        path, opt_out = links.READER_OPT_OUT_PATH, links.reader_opt_out_url(content["magazine"], lead.pk)
    for field, used in bodies.items():
        if used and not texts[field].strip():
            problems.append((field, _("Write something here.")))
        elif used and advertising and path not in texts[field]:
            problems.append(
                (
                    field,
                    _("Advertising must contain the opt-out URL of this lead: %(url)s (LAW-1)")
                    % {"url": opt_out},
                )
            )
    if refusal := refused_because(lead, content):
        problems.append(("", refusal))
    if problems:
        raise DraftRefused(problems)


def _build(content: dict[str, Any], original: Delivery, now: datetime) -> BuiltMail:
    return Skeleton(content).build({}, delivery_id=original.pk, lead_id=original.lead_id, sent_at=now)


def _stored(file: NewFile) -> dict[str, str]:
    return {
        "name": file.name,
        "type": file.content_type,
        "content": base64.b64encode(file.content).decode("ascii"),
    }


def _lead_of(original: Delivery) -> Lead:
    if original.lead is None or original.kind in {DeliveryKind.TEST, DeliveryKind.ALERT}:
        raise NotResendable(_("This mail went to no lead, so it cannot be sent again from here."))
    if is_secret(original.mail_kind):
        raise NotResendable(
            _("This mail held a link that only its recipient may follow. A new one is asked for on my page.")
        )
    if original.lead.deleted_at is not None:
        raise NotResendable(_("The lead was deleted."))
    if original.state in WAITING:
        raise NotResendable(_("This mail is still waiting to be sent: wait for its result first."))
    return original.lead


def _items(text: str) -> list[str]:
    return split_addresses(text, several=True)


def _same(one: str, other: str) -> bool:
    return normalise_email(one) == normalise_email(other)

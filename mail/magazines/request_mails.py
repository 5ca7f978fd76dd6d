"""The two mails of double opt-in: the link that proves an address, and "you read it already". Nobody knows yet whose address
it is, so nothing that was entered stands in them: neither names nor answers, which could be somebody's advertising."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from leads.address import check_email
from mail.automatic import storable
from mail.automatic_kinds import READER_CONFIRM, READER_KNOWN
from mail.hints import hint
from mail.links import confirm_reader_url, leave_url
from mail.message import store_snapshot
from mail.models import Magazine, ReaderRequest, TemplateSnapshot
from mail.models.delivery import Delivery, DeliveryKind, DeliveryState
from mail.models.template import Charset, MailForm, Purpose
from smp.lib.days import day_in

_FROM = "{% if sender %}{{ sender }}{% else %}{{ magazine }}{% endif %}"
_JA_FOOT = f"\n--\n{_FROM}\n※このメールは自動で送信しています。\n"
_EN_FOOT = f"\n--\n{_FROM}\nThis mail was sent automatically.\n"
_JA_HEAD = "このメールは、メールマガジンの登録で入力されたメールアドレスへお送りしています。\n\n"
_EN_HEAD = "We send this mail to an address that was entered for a mail magazine.\n\n"
# {kind: {language: (subject, body)}}
_WORDS: dict[str, dict[str, tuple[str, str]]] = {
    READER_CONFIRM: {
        "ja": (
            "【{{ magazine }}】登録はまだ完了していません(メールアドレスの確認)",
            _JA_HEAD + "「{{ magazine }}」の登録は、まだ完了していません。\n"
            "下記のURLを開き、ボタンを押して登録を完了してください。\n\n{{ confirm_url }}\n\n"
            "※URLの有効期限は {{ valid_until }} です。\n\n"
            "お心当たりのない場合は、このメールを破棄してください。登録は行われません。\n" + _JA_FOOT,
        ),
        "en": (
            "[{{ magazine }}] Your registration is not done yet: please confirm your address",
            _EN_HEAD + "The registration for “{{ magazine }}” is not done yet.\n"
            "Open this link and press the button:\n\n{{ confirm_url }}\n\n"
            "It can be used until {{ valid_until }}.\n\n"
            "If this was not you, throw this mail away. Nobody will be registered.\n" + _EN_FOOT,
        ),
    },
    READER_KNOWN: {
        "ja": (
            "【{{ magazine }}】すでに登録されています",
            _JA_HEAD + "「{{ magazine }}」には、すでに登録されています。お手続きは必要ありません。\n\n"
            "配信を希望されない場合は、こちらから解除できます。\n{{ leave_url }}\n\n"
            "お心当たりのない場合は、このメールを破棄してください。登録内容は変わりません。\n" + _JA_FOOT,
        ),
        "en": (
            "[{{ magazine }}] You read it already",
            _EN_HEAD + "This address is registered for “{{ magazine }}” already. There is nothing to do.\n\n"
            "If you do not want it any more, you can leave here:\n{{ leave_url }}\n\n"
            "If this was not you, throw this mail away. Nothing was changed.\n" + _EN_FOOT,
        ),
    },
}  # fmt: skip


def write_confirmation(request: ReaderRequest, *, now: datetime) -> Delivery:
    """The mail with the link that proves the address."""
    until = timezone.localtime(request.expires_at)
    values = {
        "confirm_url": confirm_reader_url(request.pk),
        "valid_until": f"{day_in(until, request.language)} {until:%H:%M}",
    }
    return _write(READER_CONFIRM, request, values, now)


def write_known(request: ReaderRequest, *, now: datetime) -> Delivery:
    """To somebody who is a deliverable reader already."""
    return _write(READER_KNOWN, request, {"leave_url": leave_url(request.magazine_id)}, now)


def _write(kind: str, request: ReaderRequest, values: dict[str, str], now: datetime) -> Delivery:
    """Without a lead: there may be none, and who has the address did not ask as far as we know."""
    magazine = request.magazine
    own = {"magazine": storable(magazine.name), "sender": storable(magazine.from_name)}
    delivery = Delivery.objects.create(
        kind=DeliveryKind.AUTOMATIC, mail_kind=kind, state=DeliveryState.QUEUED, decided_at=now, next_at=now,
        address=request.address, snapshot=_snapshot(kind, magazine, request.language), given_values=own | values,
    )  # fmt: skip
    transaction.on_commit(lambda: hint("mail.tasks.deliver_job"))
    return delivery


def _snapshot(kind: str, magazine: Magazine, language: str) -> TemplateSnapshot:
    """From the magazine's sender; from the system's, should that one not be usable: nobody waits for a mail in vain."""
    sender, answers = magazine.from_address.strip(), magazine.reply_to.strip()
    own = {
        "from_address": sender if _usable(sender) else f"noreply@{settings.MAIL_DOMAIN}",
        "reply_to": answers if _usable(answers) else "",
    }
    return store_snapshot(_content(kind, language, own))


def _usable(address: str) -> bool:
    """One address, without merge fields: there is nobody yet whose values could stand in it."""
    check = check_email(address)
    return bool(check.norm) and not check.malformed and "{" not in address


def _content(kind: str, language: str, sender: dict[str, str]) -> dict[str, Any]:
    subject, body = _WORDS[kind]["en" if language == "en" else "ja"]
    return {
        "name": f"{kind} ({language})",
        "subject": subject,
        "form": MailForm.TEXT.value,
        "purpose": Purpose.NOTICE.value,
        "charset": Charset.UTF_8.value,
        "to": "{{ email }}",
        "from_name": _FROM,
        "cc": "",
        "bcc": "",
        "errors_to": "",
        "text_body": body,
        "html_body": "",
        "attachments": [],
        "by_machine": True,  # whoever has the address did not write to us, as far as we know
    } | sender

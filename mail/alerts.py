"""Mails to the privileged administrators when something needs a person (RATE-2).

An alert is a Delivery without job and without lead, so it can never count as sent to anybody, touch a flag or stand in
a mailing's numbers. Its text are merge values, never a template: it may quote what a receiver's server said.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from leads.address import check_email, normalise_email
from mail.headers import one_line
from mail.hints import hint
from mail.message import store_snapshot
from mail.models.delivery import Delivery, DeliveryKind, DeliveryState
from mail.models.template import Charset, MailForm, Purpose
from settings.models import Role, User
from settings.system_settings import Setting, get_setting, register_setting

ALERT_MAILS = "alert_mails"
NOT_AGAIN_FOR = timedelta(hours=1)  # per key
SUBJECT_MAX, TEXT_MAX = 200, 10_000

Words = str | Callable[[], str]


def register_alert_settings() -> None:
    """From AppConfig.ready()."""
    register_setting(
        Setting(
            ALERT_MAILS, _("Mails to privileged administrators when something needs them"), bool, True,
            help=_(
                "On: privileged administrators with an e-mail address get a mail, for example when a mailing was braked. "
                "The notices on the pages stand there in either case."
            ),
            section=_("Sending mail"),
        )
    )  # fmt: skip


def alert_admins(subject: Words, text: Words, *, key: str, now: datetime) -> list[Delivery]:
    """Queues one mail to every active privileged administrator with a usable address, each address once.

    `subject` and `text` are plain text; give functions to have them written in each reader's language. `key` says what
    it is about: of alerts with the same key at most one an hour is written, however many processes notice it at once.
    Returns the deliveries; none when the key was told lately, the mails are switched off, or nobody has an address.
    """
    if not get_setting(ALERT_MAILS):
        return []
    with transaction.atomic():
        with connection.cursor() as cursor:
            # One at a time per key; the lock ends with the transaction.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"alert {key}"])
        told = Delivery.objects.filter(
            kind=DeliveryKind.ALERT, decided_at__gt=now - NOT_AGAIN_FOR, merge_values__key=key
        )
        if told.exists():
            return []
        readers = _readers()
        if not readers:
            return []
        snapshot = store_snapshot(_CONTENT | {"from_address": f"alert@{settings.MAIL_DOMAIN}"})
        deliveries = []
        for address, user in readers.items():
            title = one_line(_said(subject, user.language))[:SUBJECT_MAX]
            values = {"key": key, "subject": title, "text": _said(text, user.language)[:TEXT_MAX]}
            deliveries.append(
                Delivery(
                    kind=DeliveryKind.ALERT, state=DeliveryState.QUEUED, decided_at=now, next_at=now,
                    address=address, subject=title, snapshot=snapshot, merge_values=values,
                )
            )  # fmt: skip
        Delivery.objects.bulk_create(deliveries)
        transaction.on_commit(lambda: hint("mail.tasks.deliver_job"))
    return deliveries


# The same for every alert, so that it is stored once.
_CONTENT = {
    "name": "alert",
    "subject": "{{ subject }}",
    "form": MailForm.TEXT.value,
    "purpose": Purpose.NOTICE.value,
    "charset": Charset.UTF_8.value,
    "to": "{{ email }}",
    "from_name": "SMP",
    "cc": "",
    "bcc": "",
    "reply_to": "",
    "errors_to": "",
    "text_body": "{{ text }}\n",
    "html_body": "",
    "attachments": [],
}


def _readers() -> dict[str, User]:
    readers: dict[str, User] = {}
    known = set()
    for user in User.objects.filter(is_active=True, role=Role.PRIVILEGED).exclude(email="").order_by("pk"):
        checked = check_email(user.email)
        if checked.malformed or not checked.address or normalise_email(checked.address) in known:
            continue
        known.add(normalise_email(checked.address))
        readers[checked.address] = user
    return readers


def _said(words: Words, language: str) -> str:
    """PostgreSQL's JSON holds neither NUL nor lone surrogates, which a receiver's words might bring."""
    with translation.override(language):
        text = words() if callable(words) else words
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")

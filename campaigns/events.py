"""What happens to applications and my pages that people are told about. mail/automatic.py listens and writes the mails
in the same transaction: rolled back, nobody is told; committed, the mail is a row."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import models
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.models import Application, Campaign
from leads.models import Lead

logger = logging.getLogger(__name__)


class Event(models.TextChoices):
    """Each is also the key of a mail kind (mail/mail_kinds.py)."""

    RECEIVED = "received", _("Application received")
    CONFIRM = "confirm", _("Confirmation of the address")  # provisional: the link to confirm
    WAITING = "waiting", _("Put on the waiting list")
    MOVED_UP = "moved_up", _("Moved up from the waiting list")
    CHANGED = "changed", _("Application changed")
    CANCELLED = "cancelled", _("Application cancelled")
    REMINDER = "reminder", _("Reminder")
    TICKET_REISSUED = "ticket_reissued", _("Notice of the reissued ticket URL")
    MY_PAGE_LOGIN = "my_page_login", _("My page: login link")
    MY_PAGE_PASSWORD = "my_page_password", _("My page: new password")
    MY_PAGE_CHANGED = "my_page_changed", _("My page: data changed")
    ADDRESS_CONFIRM = "address_confirm", _("My page: confirm the new address")
    ADDRESS_CHANGED = "address_changed", _("My page: notice to the old address")


# Merge fields that only automatic mails have: the keys of Happening.values.
CONFIRM_URL = (
    "確認URL"  # CONFIRM: the address of the application; ADDRESS_CONFIRM: the new address of my page
)
LOGIN_URL = "ログインURL"  # MY_PAGE_LOGIN
PASSWORD_URL = "パスワード設定URL"  # MY_PAGE_PASSWORD: where a new password is chosen
CHANGES = "変更内容"  # CHANGED, MY_PAGE_CHANGED, ADDRESS_CHANGED: what was changed, as lines


@dataclass(frozen=True)
class Happening:
    event: Event
    lead: Lead
    now: datetime
    campaign: Campaign | None = None
    application: Application | None = None
    # Merge values that only this moment knows, by merge field name: {"確認URL": …, "変更内容": …}
    # The names are the constants below. Secrets among them (LOGIN_URL …) are never shown to staff (mail/automatic.py).
    values: Mapping[str, str] = field(default_factory=dict)
    address: str = ""  # where the mail goes, if not to the lead's address (a new address to be confirmed)
    asked: bool = False  # a person asked for just this mail (TKT-3): it goes out even where its kind is OFF
    tell: bool = (
        True  # False: nobody is mailed about it, but it happened (step mails start from it all the same)
    )


happened = Signal()  # happenings: list[Happening]


def announce(*happenings: Happening) -> None:
    """Call it inside the transaction that makes it true."""
    if happenings:
        happened.send(sender=None, happenings=list(happenings))


class Known(models.TextChoices):
    """WEB-1: how the visitor of a public page proved who they are."""

    APPLICATION = "application", _("Application completed")
    CONFIRMATION = "confirmation", _("Address confirmed")
    MY_PAGE_LOGIN = "my_page_login", _("My page login")


known = (
    Signal()
)  # request: HttpRequest, lead_id: int, how: Known, at: datetime; tracking/known_visitors.py listens


def tell_known(request: HttpRequest, lead_id: int, how: Known) -> None:
    """WEB-1: the browser of `request` is this lead's. After the transaction that made it true, from public pages only: what
    staff, files and programs register is nobody's browser. Who listens can fail; the page that tells it does not."""
    answers = known.send_robust(sender=None, request=request, lead_id=lead_id, how=how, at=timezone.now())
    for listener, problem in answers:
        if isinstance(problem, Exception):
            logger.error("%s failed", listener, exc_info=problem)

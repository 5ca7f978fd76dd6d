"""The mails that are sent by themselves (APP-4, TKT-2): one kind for each event of campaigns/events.py, and one more for
those the campaign's staff are told of too."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from campaigns.events import CONFIRM_URL, LOGIN_URL, PASSWORD_URL, Event
from campaigns.models import Campaign
from mail.mail_kinds import MailKind, Text, in_force, register_mail_kind
from smp.lib.mode import BLUE

# Double opt-in of magazines (mail/magazines/request_mails.py). Their text belongs to the product: there is nothing to set.
READER_CONFIRM = "reader_confirm"
READER_KNOWN = "reader_known"
STAFF = "_staff"  # the kind of the mail to staff: "received_staff"
# Who follows these links acts as the lead: no staff page shows them, and the mails are not sent again by hand.
SECRET = frozenset({Event.MY_PAGE_LOGIN, Event.MY_PAGE_PASSWORD, Event.ADDRESS_CONFIRM, READER_CONFIRM})
# A provisional lead is told what it needs to become a full one, and what it asked for itself.
TO_PROVISIONAL = frozenset(
    {
        Event.CONFIRM,
        Event.MY_PAGE_LOGIN,
        Event.MY_PAGE_PASSWORD,
        Event.MY_PAGE_CHANGED,
        Event.ADDRESS_CONFIRM,
        Event.ADDRESS_CHANGED,
    }
)
SECRETS = frozenset(
    {CONFIRM_URL, "confirm_url", LOGIN_URL, "login_url", PASSWORD_URL, "password_url"}
)  # and their English names
REMINDER_OPTIONS: dict[str, Any] = {"days_before": 1, "at": "10:00"}  # Japan time

_NEEDED = _("It cannot be switched off: without it what was asked for could not be finished.")
# (event, help, switchable, staff)
_APPLICATION: tuple[tuple[Event, Text, bool, bool], ...] = (
    (Event.RECEIVED,
     _("When an application has its seat, at once or after the address was confirmed."), True, True),
    (Event.CONFIRM, _NEEDED, False, False),
    (Event.WAITING, _("When the campaign is full."), True, True),
    (Event.MOVED_UP, _("When a seat became free."), True, True),
    (Event.CHANGED, _("Changed on my page or by staff."), True, True),
    (Event.CANCELLED, _("Cancelled on my page or by staff."), True, True),
    (Event.REMINDER, _("Some days before the start, to those who have a seat."), True, False),
    (Event.TICKET_REISSUED,
     _("When somebody opens a ticket URL that has expired. OFF: nothing is sent by itself; a person can still ask for a "
       "fresh URL on the page."), True, False),
)  # fmt: skip
_MY_PAGE: tuple[tuple[Event, Text, bool], ...] = (
    (Event.MY_PAGE_LOGIN, _NEEDED, False),
    (Event.MY_PAGE_PASSWORD, _NEEDED, False),
    (Event.MY_PAGE_CHANGED, "", True),
    (Event.ADDRESS_CONFIRM, _NEEDED, False),
    (Event.ADDRESS_CHANGED,
     _("So that a stolen login is noticed."), True),
)  # fmt: skip


def register_automatic_kinds() -> None:
    """From AppConfig.ready()."""
    for number, (event, help_text, switchable, staff) in enumerate(_APPLICATION):
        options = REMINDER_OPTIONS if event == Event.REMINDER else {}
        register_mail_kind(
            MailKind(event.value, event.label, help_text, automatic=True, switchable=switchable,
                     position=20 + 2 * number, options=options)
        )  # fmt: skip
        if staff:
            register_mail_kind(
                MailKind(event.value + STAFF, _TO_STAFF[event], _("To the staff addresses of the campaign."),
                         automatic=True, staff=True, position=21 + 2 * number)
            )  # fmt: skip
    for number, (event, help_text, switchable) in enumerate(_MY_PAGE):
        # My page belongs to a lead, not to one campaign.
        register_mail_kind(
            MailKind(event.value, event.label, help_text, automatic=True, switchable=switchable,
                     position=60 + number, modes=BLUE)
        )  # fmt: skip
    for number, (key, label) in enumerate(_MAGAZINE):
        register_mail_kind(
            MailKind(key, label, automatic=True, switchable=False, position=70 + number, modes=())
        )


_MAGAZINE: tuple[tuple[str, Text], ...] = (
    (READER_CONFIRM, _("Magazine: confirmation of the address")),
    (READER_KNOWN, _("Magazine: registered already")),
)
_TO_STAFF: dict[Event, Text] = {
    Event.RECEIVED: _("Application received (to staff)"),
    Event.WAITING: _("Put on the waiting list (to staff)"),
    Event.MOVED_UP: _("Moved up from the waiting list (to staff)"),
    Event.CHANGED: _("Application changed (to staff)"),
    Event.CANCELLED: _("Application cancelled (to staff)"),
}


def is_secret(mail_kind: str) -> bool:
    return mail_kind in SECRET


def shown_values(mail_kind: str, values: Mapping[str, str]) -> Mapping[str, str]:
    """The merge values as staff may see them: whoever has the link of a login mail is that lead."""
    if not is_secret(mail_kind):
        return values
    hidden = _("(not shown: it would still work)")
    return {name: str(hidden) if name in SECRETS and value else value for name, value in values.items()}


def notice_is_on(event: Event, campaign: Campaign) -> bool:
    """For campaigns/notices.py."""
    return in_force([event.value], [campaign.pk])[event.value, campaign.pk].enabled

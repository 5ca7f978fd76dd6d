"""TKT-1..3: the address of a ticket, and mails with a fresh one.

Nothing is stored of an address: it names its application and the second after which it is over, and is signed. So a changed
setting holds for addresses issued from then on; those in mails stay good for as long as their mail says.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.events import Event, Happening, announce
from campaigns.models import Application, ApplicationState
from leads.models import Lead
from settings import audit
from settings.models import User
from settings.system_settings import Setting, get_setting, register_setting
from smp.lib.deadlocks import again_after_deadlock
from smp.lib.signing import read_id, sign_id

TICKET_PATH = (
    "/t/"  # campaigns/public_urls.py: "t/<token>", URL name ticket. It stands in mails: never change it.
)
TEST_TOKEN = "test"  # TEST-5
DAYS_SETTING = "ticket_url_days"
LONGEST_DAYS = 7
BETWEEN_MAILS = timedelta(hours=24)  # TKT-3


@dataclass(frozen=True)
class TicketLink:
    """`application` is None for every address that shows no ticket: not made here, of a test mail, cancelled, on the waiting
    list, not confirmed, or of a campaign without tickets."""

    application: Application | None
    expired: bool
    expires_at: datetime | None


NOTHING = TicketLink(None, False, None)


def register_ticket_settings() -> None:
    """From AppConfig.ready()."""
    register_setting(
        Setting(
            DAYS_SETTING,
            _("Days a ticket URL is valid"),
            int,
            LONGEST_DAYS,
            minimum=1,
            maximum=LONGEST_DAYS,
            section=_("Admission tickets"),
            help=_("1 to 7 days from the moment the URL is issued. URLs that are out keep their time."),
        )
    )


def days_valid() -> int:
    """TKT-1: whatever is not 1 to 7 counts as 7."""
    days = get_setting(DAYS_SETTING)
    return days if isinstance(days, int) and 1 <= days <= LONGEST_DAYS else LONGEST_DAYS


def expiry(*, now: datetime, days: int | None = None) -> datetime:
    """Until when an address issued now is good, that second included."""
    return now.replace(microsecond=0) + timedelta(days=days_valid() if days is None else days)


def ticket_url(application: Application | int, *, now: datetime, days: int | None = None) -> str:
    """受講票URL. Who writes many asks `days_valid()` once and hands it on; an application's id does as well."""
    until = int(expiry(now=now, days=days).timestamp())
    application_id = application if isinstance(application, int) else application.pk
    return f"{settings.BASE_URL}{TICKET_PATH}{sign_id(f'ticket-{until}', application_id)}.{until}"


def dummy_ticket_url() -> str:
    """TEST-5: of a test mail; it shows nobody's ticket."""
    return f"{settings.BASE_URL}{TICKET_PATH}{TEST_TOKEN}"


def expiry_text(moment: datetime) -> str:
    """有効期限, as the page and the mail show it."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def read_ticket(token: str, *, now: datetime) -> TicketLink:
    signed, dot, number = token.strip().rpartition(".")
    if not dot or not number.isascii() or not number.isdigit() or len(number) > 11:
        return NOTHING
    until = int(number)
    application_id = read_id(f"ticket-{until}", signed)
    if application_id is None:
        return NOTHING
    application = (
        Application.objects.filter(
            pk=application_id, state=ApplicationState.APPLIED, campaign__ticket=True, lead__deleted_at=None
        )
        .select_related("campaign", "lead")
        .first()
    )
    if application is None:
        return NOTHING
    expires_at = datetime.fromtimestamp(until, UTC)
    return TicketLink(application, now.replace(microsecond=0) > expires_at, expires_at)


def may_reissue(application: Application, *, now: datetime) -> bool:
    """TKT-3, for the words on a page only: `reissue` looks again."""
    return application.reissued_at is None or application.reissued_at <= now - BETWEEN_MAILS


def reissue(application: Application, *, now: datetime, asked: bool = False) -> bool:
    """TKT-2, TKT-3: one mail with a fresh address, at most one in 24 hours whoever and whatever opens the old one.
    `asked`: a person pressed the button; it goes out even where the notice that goes by itself is OFF."""
    due = Q(reissued_at=None) | Q(reissued_at__lte=now - BETWEEN_MAILS)
    return _send(application, due, now=now, asked=asked)


def send_ticket_url(
    application: Application, *, now: datetime, user: User | None = None, ip: str | None = None
) -> bool:
    """Staff send a fresh address, as often as they want; False when the application has no ticket (any more)."""
    with transaction.atomic():
        sent = _send(application, Q(), now=now, asked=True)
        if sent:
            audit.record("ticket.send", user=user, target=application, ip=ip)
        return sent


def has_ticket(application: Application) -> bool:
    return application.state == ApplicationState.APPLIED and application.campaign.ticket


@again_after_deadlock
def _send(application: Application, due: Q, *, now: datetime, asked: bool) -> bool:
    with transaction.atomic():
        # The lead first: its row is locked by who merges or edits it, who goes on to its applications.
        lead = Lead.objects.select_for_update(no_key=True).get(pk=application.lead_id)
        # The condition stands on the row itself, so that of twenty at once one finds it true.
        rows = Application.objects.filter(due, pk=application.pk, lead=lead, state=ApplicationState.APPLIED)
        if lead.deleted_at is not None or not application.campaign.ticket or not rows.update(reissued_at=now):
            return False
        application.reissued_at = now
        days = days_valid()
        announce(
            Happening(
                Event.TICKET_REISSUED,
                lead,
                now,
                campaign=application.campaign,
                application=application,
                values={
                    "受講票URL": ticket_url(application, now=now, days=days),
                    "有効期限": expiry_text(expiry(now=now, days=days)),
                },
                asked=asked,
            )
        )
        return True

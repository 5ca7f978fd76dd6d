"""APP-4: a new e-mail address, entered on my page. It counts once its mailbox was read: the link that was sent there was opened
and the button pressed. Then the old address is told. Somebody else may have the same one: leads may share an address, so
there is nothing to say about it, and nothing is looked up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from campaigns.events import CHANGES, CONFIRM_URL, Event, Happening, announce
from campaigns.models import AddressChange, MyPageAccount
from campaigns.my_page.links import ADDRESS_PATH, account_of
from campaigns.my_page.login import end_sessions, lock_lead
from leads.address import normalise_email
from leads.edit import change_lead
from leads.flags import Way
from leads.models import Lead
from smp.lib.rate_limit import too_many
from smp.lib.signing import read_id, sign_id

VALID_FOR = timedelta(hours=24)
_PURPOSE = "my page address"
BY_LEAD = (5, 3600)  # times, seconds
BY_ADDRESS = (3, 3600)  # a stranger's mailbox is not flooded


@dataclass(frozen=True)
class Confirmed:
    change: AddressChange
    account: MyPageAccount


def wait_to_ask(lead: Lead, address: str) -> int:
    """Seconds to wait before one more mail; 0 = at once."""
    by_lead = too_many("my-page-address", str(lead.pk), limit=BY_LEAD[0], seconds=BY_LEAD[1])
    who = normalise_email(address)
    return max(by_lead, too_many("my-page-address-to", who, limit=BY_ADDRESS[0], seconds=BY_ADDRESS[1]))


def ask_to_change(lead: Lead, address: str, *, now: datetime, ip: str | None) -> AddressChange:
    """Sends the mail to the new address, which is well-formed (leads.address.check_email). Earlier links are over."""
    with transaction.atomic():
        lead = lock_lead(lead)
        change = AddressChange.objects.create(lead=lead, address=address, requested_at=now, ip=ip)
        url = f"{settings.BASE_URL}{ADDRESS_PATH}{sign_id(_PURPOSE, change.pk)}"
        announce(Happening(Event.ADDRESS_CONFIRM, lead, now, values={CONFIRM_URL: url}, address=address))
    return change


def read_change(token: str, *, now: datetime) -> AddressChange | None:
    """What the link is for, confirmed before or not; None when its time is over or another address was entered since."""
    change_id = read_id(_PURPOSE, token)
    if change_id is None:
        return None
    change = AddressChange.objects.filter(pk=change_id, lead__deleted_at=None).select_related("lead").first()
    if change is None or not timedelta(0) <= now - change.requested_at < VALID_FOR:
        return None
    newer = AddressChange.objects.filter(lead=change.lead_id, pk__gt=change.pk)
    return None if newer.exists() else change


def confirm_change(token: str, *, now: datetime, ip: str | None) -> Confirmed | None:
    """Writes the address (FLAG-3, 4, 6 for my page), ends all sessions and tells the old address. Again: nothing more."""
    with transaction.atomic():
        change = read_change(token, now=now)
        if change is None:
            return None
        lead = lock_lead(change.lead)
        change = read_change(token, now=now)  # of two at once the second finds it confirmed
        if change is None:
            return None
        account = account_of(lead)
        if change.confirmed_at is not None:
            return Confirmed(change, account)
        old = lead.email
        lead = change_lead(lead, {"email": change.address}, way=Way.MY_PAGE, now=now, source="my page", ip=ip)
        change.confirmed_at = now
        change.save(update_fields=["confirmed_at"])
        account.lead = lead
        end_sessions(account)
        if normalise_email(old) not in ("", lead.email_norm):
            _tell_the_old_address(lead, old, now=now)
    change.lead = lead
    return Confirmed(change, account)


def _tell_the_old_address(lead: Lead, old: str, *, now: datetime) -> None:
    """It may be somebody else's by now, so the new one is not named."""
    with translation.override(lead.language):
        said = _("The e-mail address %(address)s is no longer used.") % {"address": old}
    announce(Happening(Event.ADDRESS_CHANGED, lead, now, values={CHANGES: said}, address=old))

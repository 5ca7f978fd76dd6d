"""APP-4: logging in to my page, by a link or a password, and choosing a password.

Several leads may share an address, each with a my page of its own: of a login with a password it is the one whose password
fits. A wrong address costs the same work as a wrong password.
"""

from datetime import datetime
from functools import cache

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from campaigns.events import CHANGES, Event, Happening, announce
from campaigns.models import MyPageAccount
from campaigns.my_page.links import account_of, read_login, read_password
from leads.address import normalise_email
from leads.models import Lead
from settings import audit
from smp.lib.client_ip import neighbourhood
from smp.lib.rate_limit import too_many

PASSWORD_MAX = 128
_MOST = 3  # accounts with a password that share an address, the newest
BY_IP = (60, 900)  # times, seconds
BY_ADDRESS = (10, 900)


def log_in_by_link(token: str, *, now: datetime) -> MyPageAccount | None:
    """Uses the link up. None when it cannot be used (any more)."""
    with transaction.atomic():
        link = read_login(token, now=now)
        if link is None:
            return None
        lock_lead(link.account.lead)
        link = read_login(token, now=now)  # of two at once the second finds it used
        return _logged_in(link.account, now=now) if link else None


def wait_to_try(address: str, ip: str | None) -> int:
    """Seconds to wait before a password is tried again; 0 = at once. Known or not, an address counts the same."""
    from_here = too_many("my-page-password", neighbourhood(ip), limit=BY_IP[0], seconds=BY_IP[1])
    who = normalise_email(address)
    return max(
        from_here, too_many("my-page-password-address", who, limit=BY_ADDRESS[0], seconds=BY_ADDRESS[1])
    )


def log_in_by_password(address: str, password: str, *, now: datetime) -> MyPageAccount | None:
    """None when no account with this address has this password."""
    accounts = MyPageAccount.objects.select_related("lead").filter(
        lead__email_norm=normalise_email(address), lead__deleted_at=None
    )
    if not normalise_email(address):
        accounts = accounts.none()
    tried = list(accounts.exclude(password="").order_by("-lead_id")[:_MOST])
    if not tried:
        check_password(password, _nobodys())
    for account in tried:
        if check_password(password, account.password):
            return _logged_in(account, now=now)
    return None


def fits(account: MyPageAccount, password: str) -> bool:
    """Whether it is the account's password; of an account without one every word is wrong."""
    return bool(account.password) and check_password(password, account.password)


def set_password_by_link(token: str, password: str, *, now: datetime, ip: str | None) -> MyPageAccount | None:
    """As set_password, by a link that is used up. None when it cannot be used (any more)."""
    with transaction.atomic():
        link = read_password(token, now=now)
        if link is None:
            return None
        lock_lead(link.account.lead)
        link = read_password(token, now=now)
        if link is None:
            return None
        account = set_password(link.account.lead, password, now=now, ip=ip)
        return _logged_in(account, now=now)


def set_password(lead: Lead, password: str, *, now: datetime, ip: str | None) -> MyPageAccount:
    """Ends all sessions that are out, and every link; tells the lead. ValidationError by Django's validators."""
    validate_password(password, lead)  # type: ignore[arg-type]  # it has the names that are compared
    with transaction.atomic():
        lead = lock_lead(lead)
        account = account_of(lead)
        account.password = make_password(password)
        end_sessions(account)
        audit.record("my_page.password", user=None, target=lead, detail={"at": now.isoformat()}, ip=ip)
        with translation.override(lead.language):
            changed = _("The password was set.")
        announce(Happening(Event.MY_PAGE_CHANGED, lead, now, values={CHANGES: changed}))
    return account


def end_sessions(account: MyPageAccount) -> None:
    """Saves the account with a new version: cookies and links that name the old one are over. Under the lead's lock."""
    account.version += 1
    account.save()


def lock_lead(lead: Lead) -> Lead:
    """The lead as it is now; whoever logs in or changes a password or an address waits."""
    return Lead.objects.select_for_update().get(pk=lead.pk)


def _logged_in(account: MyPageAccount, *, now: datetime) -> MyPageAccount:
    account.last_login_at = now
    if account.pk is None:
        account.save()
    else:
        account.save(update_fields=["last_login_at"])
    return account


@cache
def _nobodys() -> str:
    return make_password("nobody's password")

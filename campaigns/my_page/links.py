"""Links of my page in mails. Each names its lead, the version of its account and when it was made, and is signed;
nothing is stored. It is over after its time, after its use, and when the account's version is raised."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import signing

from campaigns.models import MyPageAccount
from leads.models import Lead

VALID_FOR = timedelta(minutes=30)
# campaigns/public_urls.py: URL names my_page_link, my_page_new_password, my_page_confirm_address. Never change them.
LOGIN_PATH = "/my/in/"
PASSWORD_PATH = "/my/password/new/"
ADDRESS_PATH = "/my/address/confirm/"
_ISSUED_UNIT = timedelta(microseconds=1)
_START = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Link:
    account: MyPageAccount  # unsaved when the lead has none yet
    issued: datetime


def login_url(lead: Lead, *, now: datetime) -> str:
    """ログインURL: 30 minutes, once."""
    return f"{settings.BASE_URL}{LOGIN_PATH}{_token('login', lead, now)}"


def password_url(lead: Lead, *, now: datetime) -> str:
    """パスワード設定URL: 30 minutes, once."""
    return f"{settings.BASE_URL}{PASSWORD_PATH}{_token('password', lead, now)}"


def read_login(token: str, *, now: datetime) -> Link | None:
    return _read("login", token, now)


def read_password(token: str, *, now: datetime) -> Link | None:
    return _read("password", token, now)


def account_of(lead: Lead) -> MyPageAccount:
    """The lead's account, unsaved when there is none yet."""
    return MyPageAccount.objects.filter(lead=lead).first() or MyPageAccount(lead=lead)


def _signer(purpose: str) -> signing.Signer:
    return signing.Signer(salt=f"campaigns.my_page.{purpose}", sep=".")


def _token(purpose: str, lead: Lead, now: datetime) -> str:
    return _signer(purpose).sign(f"{lead.pk}-{account_of(lead).version}-{(now - _START) // _ISSUED_UNIT}")


def _read(purpose: str, token: str, now: datetime) -> Link | None:
    """None for whatever cannot be used (any more): the page gives one answer for all of them."""
    if len(token) > 200:
        return None
    try:
        lead_id, version, issued_at = (int(part) for part in _signer(purpose).unsign(token).split("-"))
    except (signing.BadSignature, ValueError):
        return None
    issued = _START + issued_at * _ISSUED_UNIT
    if not timedelta(0) <= now - issued < VALID_FOR:
        return None
    lead = Lead.objects.existing().filter(pk=lead_id).first()
    if lead is None:
        return None
    account = account_of(lead)
    used = account.last_login_at is not None and account.last_login_at >= issued
    return None if used or account.version != version else Link(account, issued)

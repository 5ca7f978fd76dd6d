"""RATE-4 「送信ドメイン」: the domains we send as, their DKIM keys and how those are changed. The only module that
writes SendingDomain and DkimKey.

    make_key → waiting → (its record is in DNS) activate_key → active → (the next one is activated) retiring
    → at least 14 days later revoke_key → revoked: the record is replaced by one with an empty p=

Private keys are made here, stored encrypted with a key derived from SMP_SECRET_KEY, and leave this module only
inside a `mail.dkim.Signer`: they are never shown, logged or exported.
"""

import base64
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.check_items import OK, CheckItem, from_json
from mail.delivery.retries import PERIOD
from mail.dkim import Algorithm, Key, Signer, generate_private_key, public_key_text
from mail.dns_lookup import Lookups
from mail.domain_checks import ExpectedKey, check_domain, check_key, expected_keys
from mail.domain_records import clean_domain, key_record, organisational_domain
from mail.models.sending_domain import DkimKey, KeyState, SendingDomain
from mail.models.template import Purpose
from settings import audit
from settings.models import DomainRule, User
from settings.system_settings import get_setting

logger = logging.getLogger(__name__)

STAYS_PUBLISHED = timedelta(
    days=14
)  # after it stopped signing; or the longest retry period, if that is longer
CACHE_SECONDS = 5.0
CACHE_SIZE = 2_000  # From addresses; merge fields may make many
DOMAINS_MAX = 200
DEFAULT_POOL = "default"


class DomainRefused(Exception):
    """Something the rules do not allow; `message` is a sentence for the user, in the user's language."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# ---- domains


def listed_domains() -> QuerySet[SendingDomain]:
    """With their keys, oldest first."""
    return SendingDomain.objects.select_related("override_by").prefetch_related(
        Prefetch("keys", queryset=DkimKey.objects.order_by("id"))
    )


def add_domain(text: str, *, user: User | None, now: datetime, ip: str | None = None) -> SendingDomain:
    """Registers a domain with a first RSA key that waits to be published. DomainRefused for what cannot be one."""
    try:
        name = clean_domain(text)
    except ValueError:
        raise DomainRefused(
            "name", _("“%(text)s” is no domain name. Write it like example.co.jp.") % {"text": text[:100]}
        ) from None
    if not organisational_domain(name):
        raise DomainRefused(
            "public_suffix",
            _("“%(name)s” is shared by many organisations. Register a domain of your own below it.")
            % {"name": name},
        )
    with transaction.atomic():
        if SendingDomain.objects.count() >= DOMAINS_MAX:
            raise DomainRefused("too_many", _("At most %(limit)s domains.") % {"limit": DOMAINS_MAX})
        domain, made = SendingDomain.objects.get_or_create(name=name)
        if not made:
            raise DomainRefused("there", _("%(name)s is registered already.") % {"name": name})
        audit.record("sending_domain.add", user=user, target=domain, ip=ip)
        make_key(domain, "rsa", user=user, now=now, ip=ip)
    return domain


def change_pools(
    domain: SendingDomain, *, advertising: str, notice: str, user: User | None, ip: str | None = None
) -> bool:
    """RATE-3: which source IPs its mails go out from, by purpose. False when nothing changed."""
    with transaction.atomic():
        row = SendingDomain.objects.select_for_update().get(pk=domain.pk)
        changes = {
            field: [getattr(row, field), value]
            for field, value in (("advertising_pool", advertising), ("notice_pool", notice))
            if getattr(row, field) != value
        }
        if not changes:
            return False
        SendingDomain.objects.filter(pk=row.pk).update(advertising_pool=advertising, notice_pool=notice)
        audit.record("sending_domain.pools", user=user, target=row, detail={"changes": changes}, ip=ip)
    _forget_after_commit()
    return True


def delete_domain(domain: SendingDomain, *, user: User | None, ip: str | None = None) -> None:
    """With its keys: from then on mails from it are not signed."""
    with transaction.atomic():
        row = SendingDomain.objects.select_for_update().get(pk=domain.pk)
        selectors = list(row.keys.values_list("selector", flat=True))
        audit.record("sending_domain.delete", user=user, target=row, detail={"selectors": selectors}, ip=ip)
        row.delete()
    _forget_after_commit()


# ---- keys


def make_key(
    domain: SendingDomain, algorithm: Algorithm, *, user: User | None, now: datetime, ip: str | None = None
) -> DkimKey:
    """A new key that waits to be published; one of each algorithm at a time."""
    private = generate_private_key(algorithm)
    with transaction.atomic():
        _locked(domain)
        if domain.keys.filter(algorithm=algorithm, state=KeyState.WAITING).exists():
            raise DomainRefused(
                "waiting", _("A new key waits already. Publish its record and sign with it, or delete it.")
            )
        key = DkimKey.objects.create(
            domain=domain,
            selector=_free_selector(domain, algorithm, now),
            algorithm=algorithm,
            private_key=_box(settings.SECRET_KEY).encrypt(private),
            public_key=public_key_text(private),
        )
        _record("dkim_key.make", key, user=user, ip=ip)
    return key


def activate_key(
    key: DkimKey, *, user: User | None, now: datetime, confirmed: bool = False, ip: str | None = None
) -> DkimKey:
    """Signs with it from now on; the one before stays published. DomainRefused("not_published") while DNS does not
    show its record, unless a person confirmed that it will (audited)."""
    found = _published(key)
    if found.state != OK and not confirmed:
        raise DomainRefused(
            "not_published",
            _("Not yet: %(why)s Signing with a key that receivers cannot find makes every signature wrong.")
            % {"why": found.text},
        )
    with transaction.atomic():
        domain = _locked(key.domain)
        row = DkimKey.objects.select_for_update().get(pk=key.pk)
        if row.state != KeyState.WAITING:
            raise DomainRefused("state", _("This key does not wait any more."))
        if _opened(row) is None:
            raise DomainRefused("lost", _lost_text())
        domain.keys.filter(algorithm=row.algorithm, state=KeyState.ACTIVE).update(
            state=KeyState.RETIRING, retired_at=now
        )
        row.state, row.activated_at = KeyState.ACTIVE, now
        row.save(update_fields=["state", "activated_at"])
        _record("dkim_key.activate", row, user=user, ip=ip, unpublished=found.state != OK)
    _forget_after_commit()
    return row


def stays_until(key: DkimKey) -> datetime | None:
    """Until when a retiring key must stay published: mails signed with it are still on their way, some waiting to be
    tried again. None for other keys."""
    return stay_rule()(key)


def stay_rule() -> Callable[[DkimKey], datetime | None]:
    """`stays_until` for many keys: the settings are read once."""
    stay = max(STAYS_PUBLISHED, longest_retry() + timedelta(days=1))
    return lambda key: (
        key.retired_at + stay if key.state == KeyState.RETIRING and key.retired_at is not None else None
    )


def longest_retry() -> timedelta:
    """ERR-3: the longest time a mail may wait, of the system setting and all speed rules."""
    hours = DomainRule.objects.exclude(retry_period_hours=None).values_list("retry_period_hours", flat=True)
    return timedelta(hours=max(int(get_setting(PERIOD.key)), *(int(each or 0) for each in hours), 0))


def revoke_key(
    key: DkimKey, *, user: User | None, now: datetime, confirmed: bool = False, ip: str | None = None
) -> DkimKey:
    """The last step; its private half is destroyed. DomainRefused("too_early") before its time, unless a person
    confirmed it (a key that got into wrong hands cannot wait)."""
    with transaction.atomic():
        _locked(key.domain)
        row = DkimKey.objects.select_for_update().get(pk=key.pk)
        until = stays_until(row)
        if until is None:
            raise DomainRefused("state", _("Only a key that no longer signs can be revoked."))
        early = now < until
        if early and not confirmed:
            raise DomainRefused(
                "too_early",
                _("Mails signed with it may still be on their way. It can be revoked from %(day)s.")
                % {"day": until.date().isoformat()},
            )
        row.state, row.private_key = KeyState.REVOKED, b""
        row.save(update_fields=["state", "private_key"])
        _record("dkim_key.revoke", row, user=user, ip=ip, early=early)
    return row


def delete_key(key: DkimKey, *, user: User | None, ip: str | None = None) -> None:
    """A key that never signed, or one that was revoked."""
    with transaction.atomic():
        _locked(key.domain)
        row = DkimKey.objects.select_for_update().get(pk=key.pk)
        if row.state not in {KeyState.WAITING, KeyState.REVOKED}:
            raise DomainRefused("state", _("Only a key that never signed, or was revoked, can be deleted."))
        _record("dkim_key.delete", row, user=user, ip=ip)
        row.delete()


def record_of(key: DkimKey) -> str:
    """What is to be published at <selector>._domainkey.<domain>."""
    return key_record(key.algorithm, "" if key.state == KeyState.REVOKED else key.public_key)


def _locked(domain: SendingDomain) -> SendingDomain:
    return SendingDomain.objects.select_for_update().get(pk=domain.pk)


def _record(action: str, key: DkimKey, *, user: User | None, ip: str | None, **detail: bool) -> None:
    said: dict[str, object] = {"selector": key.selector, "algorithm": key.algorithm}
    said |= {name: True for name, value in detail.items() if value}
    audit.record(action, user=user, target=key.domain, detail=said, ip=ip)


def _free_selector(domain: SendingDomain, algorithm: str, now: datetime) -> str:
    """s20261122a, s20261122b …; e20261122a for Ed25519."""
    day = f"{'s' if algorithm == 'rsa' else 'e'}{timezone.localtime(now):%Y%m%d}"
    taken = set(domain.keys.filter(selector__startswith=day).values_list("selector", flat=True))
    for letter in "abcdefghijklmnopqrstuvwxyz":
        if day + letter not in taken:
            return day + letter
    raise DomainRefused("selectors", _("Too many keys were made today. Go on tomorrow."))


# ---- the private half


@lru_cache(maxsize=4)
def _box(secret: str) -> Fernet:
    """Encrypts with a key of its own, derived from the secret (RFC 5869)."""
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"smp:dkim-private-key").derive(
        secret.encode()
    )
    return Fernet(base64.urlsafe_b64encode(derived))


def _opened(key: DkimKey) -> bytes | None:
    """PKCS#8; None when it cannot be read: another secret, a revoked key, a damaged row."""
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            return _box(secret).decrypt(bytes(key.private_key))
        except InvalidToken:
            continue
    return None


def _lost_text() -> str:
    return _(
        "The private key cannot be read: SMP_SECRET_KEY is not the one it was made with. Make a new key."
    )


# ---- the live check


def check_now(domain: SendingDomain, *, now: datetime) -> list[CheckItem]:
    """Asks DNS about everything of this domain and keeps the answer. Seconds long; never call it in a transaction."""
    items = check_domain(domain.name, keys=_expected(domain))
    SendingDomain.objects.filter(pk=domain.pk).update(
        check_result={"items": [item.as_json() for item in items]}, checked_at=now
    )
    domain.refresh_from_db(fields=["check_result", "checked_at"])
    return items


def kept_items(domain: SendingDomain) -> list[CheckItem]:
    """The last check, [] when there was none."""
    stored = domain.check_result.get("items", [])
    return [item for one in stored if (item := from_json(one)) is not None]


def due_for_check(*, now: datetime, older_than: timedelta) -> list[SendingDomain]:
    return [
        domain
        for domain in SendingDomain.objects.order_by("id")
        if domain.checked_at is None or domain.checked_at < now - older_than
    ]


def registered(address: str) -> SendingDomain | None:
    """The sending domain a From address belongs to: its own, or the nearest one above it."""
    names = _and_above(domain_of(address))
    found = {domain.name: domain for domain in SendingDomain.objects.filter(name__in=names)}
    return next((found[name] for name in names if name in found), None)


def _expected(domain: SendingDomain) -> list[ExpectedKey]:
    keys = list(DkimKey.objects.filter(domain=domain))
    stay = stay_rule()
    until = {key.pk: day for key in keys if (day := stay(key)) is not None}
    readable = {key.pk for key in keys if _opened(key) is not None}
    return expected_keys(keys, until=until, readable=readable)


def _published(key: DkimKey) -> CheckItem:
    (expected,) = [one for one in _expected(key.domain) if one.selector == key.selector]
    return check_key(key.domain.name, expected, Lookups())


# ---- asked for every mail


@dataclass(frozen=True)
class _Sender:
    """What a From address gets: its signer and the pools of source IPs by purpose."""

    signer: Signer | None = None
    advertising_pool: str = DEFAULT_POOL
    notice_pool: str = DEFAULT_POOL


_NOBODY = _Sender()
_lock = threading.Lock()
_senders: dict[str, _Sender] = {}  # by From address as given
_good_until = 0.0
_table: dict[str, _Sender] = {}  # by domain
_signers: dict[
    tuple[int, ...], Signer
] = {}  # by key ids: reading an RSA key costs as much as many signatures


def signer_for(from_address: str) -> Signer | None:
    """Signs mails From this address; None when its domain is not registered or has no key that signs."""
    return _sender(from_address).signer


def pool_for(from_address: str, purpose: str) -> str:
    """RATE-3: the pool of source IPs for mails From this address."""
    sender = _sender(from_address)
    return sender.notice_pool if purpose == Purpose.NOTICE else sender.advertising_pool


def forget() -> None:
    """The next question asks the database again."""
    global _good_until
    _good_until = 0.0


def _forget_after_commit() -> None:
    forget()
    transaction.on_commit(forget)


def _sender(from_address: str) -> _Sender:
    if time.monotonic() < _good_until and (known := _senders.get(from_address)) is not None:
        return known
    return _look_up(from_address)


def _look_up(from_address: str) -> _Sender:
    global _good_until, _table
    with _lock:
        if time.monotonic() >= _good_until:
            _table = _load()
            _senders.clear()
            _good_until = time.monotonic() + CACHE_SECONDS
        if len(_senders) >= CACHE_SIZE:
            _senders.clear()
        sender = next(
            (_table[name] for name in _and_above(domain_of(from_address)) if name in _table), _NOBODY
        )
        _senders[from_address] = sender
        return sender


def _load() -> dict[str, _Sender]:
    table = {}
    active = DkimKey.objects.filter(state=KeyState.ACTIVE)
    for domain in SendingDomain.objects.prefetch_related(Prefetch("keys", queryset=active)):
        table[domain.name] = _Sender(
            _signer(domain, list(domain.keys.all())), domain.advertising_pool, domain.notice_pool
        )
    return table


def _signer(domain: SendingDomain, keys: list[DkimKey]) -> Signer | None:
    ids = tuple(key.pk for key in keys)
    if not keys:
        return None
    if ids not in _signers:
        ready = []
        for key in keys:
            private = _opened(key)
            if private is None:
                logger.error("DKIM key %s of %s: %s", key.selector, domain.name, _lost_text())
            else:
                ready.append(
                    Key(domain.name, key.selector, "rsa" if key.algorithm == "rsa" else "ed25519", private)
                )
        if not ready:
            return None
        if len(_signers) > 2 * DOMAINS_MAX:
            _signers.clear()
        _signers[ids] = Signer(ready)
    return _signers[ids]


def domain_of(address: str) -> str:
    """The domain of an address in lower-case A-labels; "" where there is none (or it is still a merge field)."""
    domain = address.strip().rstrip(">").rpartition("@")[2].lower()
    try:
        return clean_domain(domain)
    except ValueError:
        return ""


def _and_above(name: str) -> list[str]:
    """a.example.jp, example.jp; never a public suffix."""
    organisation = organisational_domain(name) if name else ""
    if not organisation:
        return []
    names = [name]
    while names[-1] != organisation:
        names.append(names[-1].partition(".")[2])
    return names

"""API keys (API-1): made once and shown once, kept as a hash, with scopes and an end.

A key is `smp_<prefix>_<secret>`. The secret has 160 random bits, so a plain SHA-256 of the whole keeps it as safe as a slow
hash would, and every request can afford it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from settings import audit
from settings.models import ApiKey, User
from settings.system_settings import get_setting
from smp.lib.rate_limit import too_many

RATE_SETTING = "api_requests_per_minute"
START = "smp_"
USED_EVERY = timedelta(minutes=1)


class NewKey(NamedTuple):
    key: ApiKey
    text: str  # shown to the administrator once, kept nowhere


def make_key(
    name: str,
    scopes: Collection[str],
    *,
    expires_at: datetime | None,
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> NewKey:
    """ValidationError by field: a name and at least one scope are needed, and an end lies ahead."""
    name = " ".join(name.split())
    problems: dict[str, str] = {}
    if not name or len(name) > 100:
        problems["name"] = _("Enter a name of at most 100 characters.")
    if not scopes or not set(scopes) <= set(ApiKey.Scope.values):
        problems["scopes"] = _("Choose at least one thing the key may do.")
    if expires_at is not None and expires_at <= now:
        problems["expires_at"] = _("Choose a moment in the future.")
    if problems:
        raise ValidationError(problems)
    prefix, secret = secrets.token_hex(4), secrets.token_hex(20)
    text = f"{START}{prefix}_{secret}"
    with transaction.atomic():
        key = ApiKey.objects.create(
            name=name,
            prefix=prefix,
            digest=_digest(text),
            scopes=sorted(scopes),
            expires_at=expires_at,
            created_by=user,
        )
        detail = {"scopes": key.scopes, "expires_at": expires_at.isoformat() if expires_at else ""}
        audit.record("api_key.create", user=user, target=key, detail=detail, ip=ip)
    return NewKey(key, text)


def revoke_key(key: ApiKey, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """False when it was revoked before."""
    with transaction.atomic():
        changed = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
        if changed:
            audit.record("api_key.revoke", user=user, target=key, ip=ip)
    return bool(changed)


def authenticate(text: str, *, now: datetime) -> ApiKey | None:
    """The key that works now, or None: unknown, revoked or past its end. Notes the use, to the minute."""
    prefix, _underline, secret = text.removeprefix(START).partition("_")
    if not text.startswith(START) or not secret or len(text) > 200 or not text.isascii():
        return None
    key = ApiKey.objects.filter(prefix=prefix).first()
    # Compared for an unknown one too, so that the time tells nothing.
    fits = hmac.compare_digest(_digest(text), key.digest if key else _digest(""))
    if key is None or not fits or key.revoked_at is not None:
        return None
    if key.expires_at is not None and key.expires_at <= now:
        return None
    if key.last_used_at is None or now - key.last_used_at >= USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def seconds_to_wait(key: ApiKey) -> int:
    """Counts one request; 0 when it may go on, otherwise the seconds for Retry-After."""
    return too_many("api", str(key.pk), limit=get_setting(RATE_SETTING), seconds=60)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""The blacklist of a magazine (MAG-9): addresses that left it, or that an administrator stopped or removed.

Kept as keyed hashes, so that the list survives the readers and names nobody: HMAC-SHA256 of magazine and address (EXC-4's
norm) with a key made of SECRET_KEY. Hashes made with a former key (SECRET_KEY_FALLBACKS) are found as well, and made anew
whenever their address is put on the list again.

Written whether the magazine's blacklist is on or off: who leaves while it is off is known when it is switched on.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from leads.address import normalise_email
from mail.magazines.locks import hold
from mail.models import BlacklistedAddress, Magazine
from mail.refused import Refused
from settings import audit
from settings.models import User

_AT_ONCE = 10_000

# Sorted, so that two who list the same addresses wait for each other instead of for ever. What an administrator did
# becomes the person's own act when they say so themselves; never the other way round.
_PUT = """
INSERT INTO mail_blacklistedaddress AS b (magazine_id, address_hash, own_act, at)
SELECT %(magazine)s, hash, own, %(now)s FROM unnest(%(hashes)s::bytea[], %(own)s::boolean[]) AS g(hash, own) ORDER BY hash
ON CONFLICT (magazine_id, address_hash) DO UPDATE SET own_act = TRUE, at = EXCLUDED.at
 WHERE EXCLUDED.own_act AND NOT b.own_act
RETURNING address_hash
"""


@lru_cache(maxsize=16)
def _keyed(secret: str) -> hmac.HMAC:
    return hmac.new(hashlib.sha256(b"smp-blacklist:" + secret.encode()).digest(), digestmod="sha256")


def _hash(magazine_id: int, norm: str, secret: str) -> bytes:
    mac = _keyed(secret).copy()
    mac.update(f"{magazine_id}:{norm}".encode("utf-8", "surrogatepass"))
    return mac.digest()


def address_hash(magazine_id: int, norm: str) -> bytes:
    """32 bytes, with the present key."""
    return _hash(magazine_id, norm, settings.SECRET_KEY)


def _former(magazine_id: int, norms: Iterable[str]) -> dict[bytes, str]:
    """{hash with a former key: norm}."""
    secrets = settings.SECRET_KEY_FALLBACKS
    return {_hash(magazine_id, norm, secret): norm for norm in norms if norm for secret in secrets}


def _portions(norms: Iterable[str]) -> Iterator[Sequence[str]]:
    everything = sorted({norm for norm in norms if norm})
    for start in range(0, len(everything), _AT_ONCE):
        yield everything[start : start + _AT_ONCE]


def is_blacklisted(magazine: Magazine, norm: str) -> bool:
    """Whether the address is on the list, the magazine's setting aside."""
    return norm in listed(magazine, [norm])


def listed(magazine: Magazine, norms: Iterable[str]) -> set[str]:
    """Those of the addresses that are on the list, a statement for 10,000."""
    return set(acts(magazine, norms))


def acts(magazine: Magazine, norms: Iterable[str]) -> dict[str, bool]:
    """{norm that is listed: whether it was the person's own act}."""
    found: dict[str, bool] = {}
    for portion in _portions(norms):
        by_hash = {address_hash(magazine.pk, norm): norm for norm in portion} | _former(magazine.pk, portion)
        rows = BlacklistedAddress.objects.filter(magazine_id=magazine.pk, address_hash__in=list(by_hash))
        for digest, own_act in rows.values_list("address_hash", "own_act"):
            norm = by_hash[bytes(digest)]
            found[norm] = found.get(norm, False) or own_act
    return found


def entry(magazine: Magazine, norm: str) -> BlacklistedAddress | None:
    """Since when the address is on the list and by whose act; None when it is not. The person's own act goes before."""
    hashes = [address_hash(magazine.pk, norm), *_former(magazine.pk, [norm])] if norm else []
    rows = BlacklistedAddress.objects.filter(magazine_id=magazine.pk, address_hash__in=hashes)
    return rows.order_by("-own_act", "at").first()


def put(magazine: Magazine, norms: Iterable[str], *, own_act: bool, now: datetime) -> set[str]:
    """Lists the addresses. Returns those that were not on the list, or not by their own act and are now.
    Call it in the transaction that stops or removes the readers."""
    news: set[str] = set()
    for portion in _portions(norms):
        before = _take_former(magazine, portion)
        hashes = {address_hash(magazine.pk, norm): norm for norm in portion}
        values: dict[str, Any] = {
            "magazine": magazine.pk,
            "hashes": list(hashes),
            "own": [own_act or before.get(norm, False) for norm in portion],
            "now": now,
        }
        with connection.cursor() as cursor:
            cursor.execute(_PUT, values)
            written = {hashes[bytes(row[0])] for row in cursor.fetchall()}
        news |= {norm for norm in written if norm not in before or (own_act and not before[norm])}
    return news


def _take_former(magazine: Magazine, norms: Iterable[str]) -> dict[str, bool]:
    """Takes away what was listed with a former key: {norm: own_act}."""
    by_hash = _former(magazine.pk, norms)
    if not by_hash:
        return {}
    rows = BlacklistedAddress.objects.filter(magazine_id=magazine.pk, address_hash__in=list(by_hash))
    taken: dict[str, bool] = {}
    for digest, own_act in rows.values_list("address_hash", "own_act"):
        norm = by_hash[bytes(digest)]
        taken[norm] = taken.get(norm, False) or own_act
    rows.delete()
    return taken


def take_off(magazine: Magazine, norms: Iterable[str]) -> int:
    """Whoever calls says why that is allowed: the person's own proved registration, or the blacklist is switched off."""
    deleted = 0
    for portion in _portions(norms):
        hashes = [address_hash(magazine.pk, norm) for norm in portion]
        hashes += _former(magazine.pk, portion)
        rows = BlacklistedAddress.objects.filter(magazine_id=magazine.pk, address_hash__in=hashes)
        deleted += rows.delete()[0]
    return deleted


def release(
    magazine: Magazine,
    address: str,
    *,
    user: User | None,
    now: datetime,
    reason: str = "",
    ip: str | None = None,
) -> bool:
    """An administrator takes off what administrators had put there, and says why. False when the address is not listed;
    Refused("own_act") for somebody who left by themselves."""
    norm = normalise_email(address)
    with transaction.atomic():
        magazine = hold(magazine.pk)
        own_act = acts(magazine, [norm]).get(norm)
        if own_act is None:
            return False
        if own_act:
            raise Refused(
                "own_act",
                _(
                    "This person left the magazine themselves. Only they can come back, by the registration form of the magazine."
                ),
            )
        take_off(magazine, [norm])
        detail = {"at": now.isoformat(), "addresses": [norm], "reason": reason}
        audit.record("magazine.blacklist_release", user=user, target=magazine, detail=detail, ip=ip)
    return True

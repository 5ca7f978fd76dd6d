"""RATE-1, RATE-3 「配信速度」: changing speed rules and source IPs. Every function here is audited.

A default rule is changed by storing a row with its key, and is itself again when that row goes. What the rules mean for
sending is in mail/delivery/speed_rules.py and mail/delivery/sources.py.
"""

import ipaddress
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import idna
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from mail.delivery.slowed import release_site
from mail.delivery.sources import forget_sources
from mail.delivery.speed_rules import (
    DEFAULTS,
    GENERAL,
    RELAY,
    SpeedRule,
    forget_speed_rules,
    route_parts,
    speed_rules,
)
from mail.speed_queries import waiting_by_site
from settings import audit
from settings.models import DomainRule, SourceIp, User

NAMES_MAX = 500  # domains of a rule
FIELDS = (
    "name", "domains", "exchangers", "connections", "mails_per_connection", "mails_per_minute", "tls",
    "retry_interval_minutes", "retry_period_hours", "route",
)  # fmt: skip
# These two hold for whatever no other rule names; a relay leads nowhere else, and retries are the destination's.
WITHOUT_NAMES = (GENERAL, RELAY)
SOURCE_FIELDS = ("address", "hostname", "pool", "enabled", "warmup_started_on", "note")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_POOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


# ---- names


def host_name(text: str) -> str:
    """A domain or host name as lower-case A-labels. ValidationError, naming it, for what is none."""
    name = text.strip().rstrip(".").lower()
    try:
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise ValidationError(_("“%(name)s” is no domain name."), params={"name": text[:100]}) from None
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValidationError(_("“%(name)s” is no domain name."), params={"name": text[:100]})
    return name


def domain_pattern(text: str) -> str:
    """A recipients' domain; with "*." in front everything below it. "@" in front is what people paste."""
    text = text.strip().removeprefix("@")
    return f"*.{host_name(text[2:])}" if text.startswith("*.") else host_name(text)


def split_names(text: str, clean: Any) -> list[str]:
    """Names separated by lines, spaces or commas, each once, in order. ValidationError with every wrong one."""
    words = re.split(r"[\s,;、，]+", text.strip())
    found, wrong = {}, []
    for word in filter(None, words):
        try:
            found[clean(word)] = True
        except ValidationError as error:
            wrong.append(error)
    if wrong:
        raise ValidationError(wrong[:10])
    if len(found) > NAMES_MAX:
        raise ValidationError(
            _("At most %(limit)s names, these are %(count)s."),
            params={"limit": NAMES_MAX, "count": len(found)},
        )
    return list(found)


def clean_route(text: str) -> str:
    """ "" (the system's), "mx", or host:port with the host as A-labels or an IP address."""
    text = text.strip()
    if text.lower() in {"", "mx"}:
        return text.lower()
    try:
        host, port = route_parts(text)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return f"{host_name(host)}:{port}"
        return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    except (ValueError, ValidationError):
        raise ValidationError(
            _("Enter host:port of a relay (for example relay.example.jp:587), “mx”, or nothing.")
        ) from None


# ---- rules


def default_rule(key: str) -> SpeedRule | None:
    return next((rule for rule in DEFAULTS if rule.key == key), None)


def rule_values(rule: SpeedRule) -> dict[str, Any]:
    """A rule as the columns of its row."""
    values = {field: getattr(rule, field) for field in FIELDS}
    return values | {
        "name": str(rule.name),
        "domains": list(rule.domains),
        "exchangers": list(rule.exchangers),
    }


def save_rule(
    row: DomainRule,
    values: dict[str, Any],
    *,
    user: User | None,
    seen: datetime | None,
    ip: str | None = None,
) -> bool:
    """Stores a default's changes (`row.key` set) or a rule of one's own. `values`: all of FIELDS, cleaned. `seen` is the
    stored row's `updated_at` as the page showed it, None for none. False when nothing changed.

    ValidationError({field: …}) when a name stands in another rule already, or somebody changed the rule meanwhile."""
    with transaction.atomic():
        _one_at_a_time()
        stored = _stored(row)
        if (stored.updated_at if stored else None) != seen:
            raise ValidationError(
                _("Somebody else changed this rule meanwhile. Open it again, check it, and save again.")
            )
        _check_names(row, values)
        default = default_rule(row.key) if row.key else None
        before = (
            {field: getattr(stored, field) for field in FIELDS}
            if stored
            else rule_values(default)
            if default
            else {}
        )
        changes = _changes(before, values)
        if not changes:
            return False
        if default is not None and not _changes(rule_values(default), values):
            reset_rule(str(row.key), user=user, ip=ip)
        else:
            target = stored or row
            for field in FIELDS:
                setattr(target, field, values[field])
            target.updated_by = user
            target.save()
            _note("speed_rule.change" if before else "speed_rule.add", target, target.name, changes, user, ip)
    forget_speed_rules()
    return True


def reset_rule(key: str, *, user: User | None, ip: str | None = None) -> bool:
    """A changed default is as delivered again. False when it was not changed."""
    default = default_rule(key)
    with transaction.atomic():
        row = DomainRule.objects.select_for_update(of=("self",)).filter(key=key).first()
        if row is None or default is None:
            return False
        before = {field: getattr(row, field) for field in FIELDS}
        _note("speed_rule.reset", row, row.name, _changes(before, rule_values(default)), user, ip)
        row.delete()
    forget_speed_rules()
    return True


def delete_rule(rule_id: int, *, user: User | None, ip: str | None = None) -> bool:
    """A rule of one's own. False when there is none (any more)."""
    with transaction.atomic():
        row = DomainRule.objects.select_for_update(of=("self",)).filter(pk=rule_id, key=None).first()
        if row is None:
            return False
        _note("speed_rule.delete", row, row.name, {}, user, ip, removed={f: getattr(row, f) for f in FIELDS})
        row.delete()
    forget_speed_rules()
    return True


def _one_at_a_time() -> None:
    """Two administrators must not put one domain into two rules."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('speed rules'))")


def _stored(row: DomainRule) -> DomainRule | None:
    if row.key:
        return DomainRule.objects.filter(key=row.key).first()
    return DomainRule.objects.filter(pk=row.pk).first() if row.pk else None


def _check_names(row: DomainRule, values: dict[str, Any]) -> None:
    if row.key in WITHOUT_NAMES:
        return
    if not values["domains"] and not values["exchangers"]:
        raise ValidationError({"domains": _("Name at least one domain or MX host.")})
    own_key = row.key or f"own:{row.pk}"
    forget_speed_rules()
    others = [rule for rule in speed_rules() if rule.key != own_key]
    problems = {}
    for field in ("domains", "exchangers"):
        taken = [
            ValidationError(
                _("%(name)s stands in the rule “%(rule)s” already. Take it out there first."),
                params={"name": name, "rule": rule.name},
            )
            for name in values[field]
            for rule in others
            if name in getattr(rule, field)
        ]
        if taken:
            problems[field] = taken[:10]
    if problems:
        raise ValidationError(problems)


# ---- source IPs


def clean_pool(text: str) -> str:
    text = text.strip().lower()
    if not _POOL.fullmatch(text):
        raise ValidationError(_("A pool's name has letters a–z, digits, - and _ only, at most 40."))
    return text


def clean_source_address(text: str) -> str:
    """An address mail can go out from, in its one spelling."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise ValidationError(_("Enter an IPv4 or IPv6 address.")) from None
    if getattr(address, "ipv4_mapped", None) is not None:
        raise ValidationError(_("Enter this address as an IPv4 address."))
    if address.is_multicast or address.is_unspecified or getattr(address, "scope_id", None):
        raise ValidationError(_("Mail cannot be sent from this address."))
    return str(address)


def save_source(row: SourceIp, values: dict[str, Any], *, user: User | None, ip: str | None = None) -> bool:
    """Adds or changes a source IP; `values`: all of SOURCE_FIELDS, cleaned. ValidationError({"address": …}) when there
    is that address already. False when nothing changed."""
    with transaction.atomic():
        _one_at_a_time()
        stored = SourceIp.objects.filter(pk=row.pk).first() if row.pk else None
        if SourceIp.objects.filter(address=values["address"]).exclude(pk=row.pk).exists():
            raise ValidationError({"address": _("This address is in the list already.")})
        before = {field: getattr(stored, field) for field in SOURCE_FIELDS} if stored else {}
        changes = _changes(before, values)
        if not changes:
            return False
        target = stored or row
        for field in SOURCE_FIELDS:
            setattr(target, field, values[field])
        target.save()
        _note("source_ip.change" if stored else "source_ip.add", target, target.address, changes, user, ip)
    forget_sources()
    return True


def delete_source(source_id: int, *, user: User | None, ip: str | None = None) -> bool:
    with transaction.atomic():
        row = SourceIp.objects.select_for_update().filter(pk=source_id).first()
        if row is None:
            return False
        _note(
            "source_ip.delete",
            row,
            row.address,
            {},
            user,
            ip,
            removed={f: getattr(row, f) for f in SOURCE_FIELDS},
        )
        row.delete()
    forget_sources()
    return True


# ---- slowed sites


# What was put off behind a slow site. A retry after a refusal (deferred) keeps its time, and a braked domain's mails are
# put back by the workers.
_DUE = """
UPDATE mail_delivery SET next_at = %(now)s
 WHERE state = 'queued' AND next_at > %(now)s AND lower(split_part(address, '@', -1)) = ANY(%(domains)s)
"""


def release(key: str, source: str, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """Full speed again at once for a site that is slowed, and its waiting mails are due again. False when it was not
    (any more). Raises RedisAway."""
    if not release_site(key, source):
        return False
    domains = [one.domain for one in waiting_by_site([key])[key]]
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "domains": domains})
    audit.record("speed.release", user=user, target_label=key, detail={"source_ip": source}, ip=ip)
    return True


# ---- helpers


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        field: [before.get(field), value]
        for field, value in after.items()
        if field not in before or _same(before[field]) != _same(value)
    }


def _same(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _note(
    action: str,
    row: Model,
    label: str,
    changes: dict[str, list[Any]],
    user: User | None,
    ip: str | None,
    **more: Any,
) -> None:
    detail: dict[str, Any] = {
        "changes": {name: [_said(one) for one in pair] for name, pair in changes.items()}
    }
    if "removed" in more:
        detail = {"changes": {name: [_said(value), None] for name, value in more["removed"].items() if value}}
    audit.record(action, user=user, target=row, target_label=label, detail=detail, ip=ip)


def _said(value: Any) -> Any:
    """For the log's JSON."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return value.isoformat() if hasattr(value, "isoformat") else value

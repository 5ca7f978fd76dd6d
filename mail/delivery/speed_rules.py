"""RATE-1: how fast and how much at once, by destination. Defaults here, changes and own rules in settings.DomainRule.

Where the figures come from: Google publishes nothing but "per MX domain, slowly"; Yahoo that it closes connections after
some mails; docomo, au and SoftBank no threshold at all, only that mail must be spread over time. The figures are what
mail systems use towards them today; limits hold per source IP.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import dns.exception
import dns.name
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mail.delivery.remembered import Remembered
from mail.delivery.retries import RetryPlan
from settings.models import DomainRule, Tls

logger = logging.getLogger(__name__)

GENERAL = "general"
RELAY = "relay"
REMEMBERED_SECONDS = 5.0

_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_HOST_AND_PORT = re.compile(r"(?:[^\s:\[\]]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


@dataclass(frozen=True)
class SpeedRule:
    """`domains`: of recipients, "example.jp" exactly, "*.example.jp" everything below it. `exchangers`: MX hosts of
    these names and below them. `mails_per_minute` None: no limit. `retry_…` None: the system's. `route` "": the
    system's, "mx", or "host:port" of a relay."""

    key: str  # of a default; "own:<id>" of a rule of one's own
    name: str | Promise
    domains: tuple[str, ...] = ()
    exchangers: tuple[str, ...] = ()
    connections: int = 10
    mails_per_connection: int = 100
    mails_per_minute: int | None = None
    tls: str = Tls.OPPORTUNISTIC.value
    retry_interval_minutes: int | None = None
    retry_period_hours: int | None = None
    route: str = ""


DEFAULTS = [
    SpeedRule(
        "google", "Google", ("gmail.com", "googlemail.com"), ("google.com", "googlemail.com"),
        connections=5, mails_per_connection=50, tls=Tls.REQUIRED.value,  # without TLS: 4.7.29, 5.7.29
    ),
    SpeedRule(
        "microsoft", "Microsoft",
        ("outlook.com", "outlook.jp", "hotmail.com", "hotmail.co.jp", "live.com", "live.jp", "msn.com"),
        ("protection.outlook.com", "mx.microsoft"), connections=5, mails_per_connection=50,
    ),
    SpeedRule(
        "yahoo", "Yahoo / AOL", ("yahoo.com", "ymail.com", "rocketmail.com", "aol.com"), ("yahoodns.net",),
        connections=10, mails_per_connection=20,
    ),
    SpeedRule(
        "yahoo_japan", "Yahoo! JAPAN", ("yahoo.co.jp", "ybb.ne.jp"), ("yahoo.co.jp",),
        connections=2, mails_per_connection=20, mails_per_minute=600,
    ),
    SpeedRule(
        "icloud", "iCloud", ("icloud.com", "me.com", "mac.com"), ("icloud.com",),
        connections=10, mails_per_connection=5,
    ),
    SpeedRule(
        "docomo", "docomo", ("docomo.ne.jp", "mopera.net"), ("docomo.ne.jp",),
        connections=2, mails_per_connection=20, mails_per_minute=300,  # past 100 in a session docomo undoes them all
    ),
    SpeedRule(
        "au", "au (KDDI, UQ mobile)", ("au.com", "ezweb.ne.jp", "*.ezweb.ne.jp", "uqmobile.jp", "biz.au.com"),
        ("au.com", "ezweb.ne.jp", "uqmobile.jp"),
        connections=2, mails_per_connection=20, mails_per_minute=300,
    ),
    SpeedRule(
        "softbank", "SoftBank / Y!mobile",
        (
            "softbank.ne.jp", "*.softbank.ne.jp", "i.softbank.jp", "vodafone.ne.jp", "*.vodafone.ne.jp", "disney.ne.jp",
            "disneymobile.ne.jp", "ymobile.ne.jp", "ymobile1.ne.jp", "y-mobile.ne.jp", "emnet.ne.jp", "willcom.com",
            "wcm.ne.jp", "pdx.ne.jp", "*.pdx.ne.jp",
        ),
        ("softbank.ne.jp", "softbank.jp", "ymobile.ne.jp"),
        connections=2, mails_per_connection=20, mails_per_minute=300,
    ),
    SpeedRule(GENERAL, _("All other domains"), connections=10, mails_per_connection=100, mails_per_minute=6000),
    SpeedRule(RELAY, _("Our own relay"), connections=20, mails_per_connection=1000),
]  # fmt: skip


def speed_rules() -> list[SpeedRule]:
    """Own rules first, then the defaults with their stored changes. Reads the database at most every few seconds."""
    return _remembered.get()


async def current_speed_rules() -> list[SpeedRule]:
    """The same inside an asyncio loop; never raises."""
    return await _remembered.current()


def forget_speed_rules() -> None:
    """After rules were changed: the next reader of this process sees it at once."""
    _remembered.forget()


def rule_for(
    domain: str, mx_hosts: Sequence[str] = (), *, rules: Iterable[SpeedRule] | None = None
) -> SpeedRule:
    """The rule for a recipients' domain: own rules before defaults; among them its exact name, then the longest name
    above it, then its first MX host; else the general one."""
    known = speed_rules() if rules is None else list(rules)
    domain = domain.lower().rstrip(".")
    host = mx_hosts[0].lower().rstrip(".") if mx_hosts else ""
    for group in ([r for r in known if _own(r)], [r for r in known if not _own(r)]):
        exact = next((r for r in group if domain in r.domains), None)
        if found := exact or _longest_above(domain, group) or _by_host(host, group):
            return found
    return next((rule for rule in known if rule.key == GENERAL), _default(GENERAL))


def relay_rule(destination: SpeedRule, *, rules: Iterable[SpeedRule]) -> SpeedRule:
    """What holds towards a relay: its own speed and TLS, the destination's retries."""
    rule = next((rule for rule in rules if rule.key == RELAY), _default(RELAY))
    return replace(
        rule,
        tls=rule.tls if settings.RELAY_STARTTLS or rule.tls == Tls.REQUIRED else Tls.NEVER.value,
        retry_interval_minutes=destination.retry_interval_minutes,
        retry_period_hours=destination.retry_period_hours,
    )


def retry_times(rule: SpeedRule, plan: RetryPlan) -> RetryPlan:
    """ERR-3, in minutes: the rule's own figures, else those of `plan` (retries.retry_plan())."""
    return RetryPlan(
        rule.retry_interval_minutes or plan.interval_minutes,
        rule.retry_period_hours * 60 if rule.retry_period_hours else plan.period_minutes,
    )


def route_parts(route: str) -> tuple[str, int]:
    """Host (an IPv6 address without its brackets) and port of a relay. ValueError."""
    match = _HOST_AND_PORT.fullmatch(route)
    if not match or not 0 < int(match[1]) < 65536:
        raise ValueError(f"no host:port: {route!r}")
    return route.rpartition(":")[0].strip("[]"), int(match[1])


def is_host_of(rule: SpeedRule, host: str) -> bool:
    return any(host == suffix or _is_below(host, suffix) for suffix in rule.exchangers)


def _own(rule: SpeedRule) -> bool:
    return rule.key.startswith("own:")


def _default(key: str) -> SpeedRule:
    return next(rule for rule in DEFAULTS if rule.key == key)


def _is_below(name: str, above: str) -> bool:
    return name.endswith(f".{above}")


def _longest_above(domain: str, rules: Iterable[SpeedRule]) -> SpeedRule | None:
    found = [
        (len(pattern), rule)
        for rule in rules
        for pattern in rule.domains
        if pattern.startswith("*.") and _is_below(domain, pattern[2:])
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _by_host(host: str, rules: Iterable[SpeedRule]) -> SpeedRule | None:
    found = [
        (len(suffix), rule)
        for rule in rules
        for suffix in rule.exchangers
        if host == suffix or _is_below(host, suffix)
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


# ---- what is stored


def _load() -> list[SpeedRule]:
    stored: dict[str, SpeedRule] = {}
    own = []
    for row in DomainRule.objects.order_by("id"):
        try:
            rule = _from_row(row)
        except ValueError as error:
            logger.error("speed rule %s (%s) is left out: %s", row.pk, row.name, error)
            continue
        if row.key:
            stored[row.key] = rule
        else:
            own.append(rule)
    return own + [stored.get(rule.key, rule) for rule in DEFAULTS]


def _from_row(row: DomainRule) -> SpeedRule:
    """ValueError for a row that cannot be gone by."""
    if row.key and row.key not in {rule.key for rule in DEFAULTS}:
        raise ValueError(f"no such key: {row.key!r}")
    if not row.connections or not row.mails_per_connection or row.mails_per_minute == 0:
        raise ValueError("a limit of 0 would stop all mail")
    if row.tls not in Tls.values:
        raise ValueError(f"TLS {row.tls!r}")
    if row.route and row.route != "mx":
        route_parts(row.route)
    domains = tuple(_pattern(text) for text in row.domains)
    exchangers = tuple(_suffix(text) for text in row.exchangers)
    if not row.key and not domains and not exchangers:
        raise ValueError("it names no domain and no MX host")
    return SpeedRule(
        key=row.key or f"own:{row.pk}",
        name=row.name,
        domains=domains,
        exchangers=exchangers,
        connections=row.connections,
        mails_per_connection=row.mails_per_connection,
        mails_per_minute=row.mails_per_minute,
        tls=row.tls,
        retry_interval_minutes=row.retry_interval_minutes,
        retry_period_hours=row.retry_period_hours,
        route=row.route,
    )


def _pattern(text: str) -> str:
    return f"*.{_suffix(text)}" if text.strip().startswith(("*.", ".")) else _suffix(text)


def _suffix(text: str) -> str:
    name = text.strip().lower().removeprefix("*").strip(".")
    try:
        label = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008_UTS_46)
        name = label.canonicalize().to_text(omit_final_dot=True)
    except (dns.exception.DNSException, UnicodeError, ValueError):
        name = ""
    if not _DOMAIN.fullmatch(name):
        raise ValueError(f"no domain name: {text!r}")
    return name


_remembered = Remembered(_load, seconds=REMEMBERED_SECONDS, otherwise=list(DEFAULTS))

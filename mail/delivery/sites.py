"""RATE-1: where mail for a domain goes, and with which other domains it shares the speed limits there."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from django.conf import settings

from mail.delivery.speed_rules import (
    GENERAL,
    SpeedRule,
    current_speed_rules,
    is_host_of,
    relay_rule,
    route_parts,
    rule_for,
)
from mail.smtp.mx import NoRoute, Resolver

KEPT_SECONDS = 30.0
KEPT_ENTRIES = 20_000
KEY_MAX = 100


@dataclass(frozen=True)
class Site:
    """Two names, because a big provider is one site with many MX groups: limits hold per `key`, an open connection is
    good for every mail with the same `group` (one customer's exchanger need not take another one's mail)."""

    key: str  # of the rule that matched; of the MX group under the general one; "relay:host:port"
    label: str  # for people
    group: str
    hosts: tuple[str, ...]  # in the order to try them
    port: int
    rule: SpeedRule
    relay: bool  # hosts are our own relay's: its address may be private

    @property
    def everybodys(self) -> bool:
        """The relay that takes all mail without a route of its own: there is nobody else it could hold up."""
        return self.relay and self.label == settings.RELAY


class Sites:
    """One per asyncio loop."""

    def __init__(self, resolver: Resolver | None = None) -> None:
        self.resolver = resolver or Resolver()
        self._kept: OrderedDict[str, tuple[float, Site]] = OrderedDict()

    async def site_of(self, domain: str) -> Site:
        """Remembered for half a minute. Raises NoRoute."""
        domain = domain.lower().rstrip(".")
        until, site = self._kept.get(domain, (0.0, None))
        if site is None or until <= monotonic():
            site = await self._find(domain)
            self._kept[domain] = (monotonic() + KEPT_SECONDS, site)
            self._kept.move_to_end(domain)
            while len(self._kept) > KEPT_ENTRIES:
                self._kept.popitem(last=False)
        return site

    async def _find(self, domain: str) -> Site:
        rules = await current_speed_rules()
        rule = rule_for(domain, rules=rules)
        hosts: list[str] = []
        # Behind a relay DNS is asked only if a rule sends domains with certain MX hosts another way.
        if _route(rule) == "mx" or any(known.exchangers and known.route for known in rules):
            try:
                hosts = await self.resolver.mail_hosts(domain)
            except NoRoute:
                if _route(rule) == "mx":
                    raise
            rule = rule_for(domain, hosts, rules=rules)
        route = _route(rule)
        if route == "mx":
            await self._check_addresses(hosts)
            return _mx_site(hosts, rule)
        return _relay_site(route, relay_rule(rule, rules=rules))

    async def _check_addresses(self, hosts: Sequence[str]) -> None:
        """Raises NoRoute when no host has an address that mail may go to: 41605 rather than a day of attempts."""
        failures: list[NoRoute] = []
        for host in hosts:
            try:
                await self.resolver.addresses(host)
                return
            except NoRoute as no_route:
                failures.append(no_route)
        raise NoRoute(failures[0].text, permanent=all(failure.permanent for failure in failures))


def _route(rule: SpeedRule) -> str:
    """ "mx", or host:port of a relay."""
    return rule.route or settings.RELAY or "mx"


def _mx_site(hosts: Sequence[str], rule: SpeedRule) -> Site:
    general = rule.key == GENERAL
    if not general:
        # A stranger's host beside a provider's own would share, and could spoil, the provider's limits.
        hosts = [host for host in hosts if is_host_of(rule, host)] or hosts
    group = _short("mx:" + ",".join(sorted(hosts)))
    return Site(
        key=group if general else rule.key,
        label=hosts[0] if general else str(rule.name),
        group=group,
        hosts=tuple(hosts),
        port=settings.SMTP_PORT,
        rule=rule,
        relay=False,
    )


def _relay_site(route: str, rule: SpeedRule) -> Site:
    host, port = route_parts(route)
    key = _short(f"relay:{route}")
    return Site(key=key, label=route, group=key, hosts=(host,), port=port, rule=rule, relay=True)


def _short(name: str) -> str:
    """Names become keys in Redis: long ones end in a digest."""
    if len(name) <= KEY_MAX:
        return name
    return f"{name[: KEY_MAX - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"

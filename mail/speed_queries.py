"""What the page 「配信速度」 shows (RATE-1, RATE-3). Nothing here changes anything."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection
from django.urls import reverse
from django.utils.translation import gettext as _

from mail.brake_queries import readable
from mail.check_items import CheckItem
from mail.delivery.slowed import RedisAway, SlowedSite, slowed_sites
from mail.delivery.speed_rules import GENERAL, SpeedRule, forget_speed_rules, rule_for, speed_rules
from mail.models import SendingDomain
from mail.results import ResultGroup
from mail.sending_domains import kept_items
from mail.smtp.mx import NoRoute, Resolver
from settings.models import DomainRule

logger = logging.getLogger(__name__)

DNS_SECONDS = 6.0  # somebody waits for the page
LOOKED_AT = 200_000  # waiting mails that are looked at for one page


@dataclass(frozen=True)
class RuleLine:
    rule: SpeedRule
    row: DomainRule | None  # the stored one: a change of a default, or a rule of one's own

    @property
    def own(self) -> bool:
        return self.rule.key.startswith("own:")

    @property
    def changed(self) -> bool:
        return self.row is not None and not self.own


def rule_lines() -> list[RuleLine]:
    """Own rules first, as they are asked. Two queries at most. Read anew: another process may have deleted a rule that
    this one still remembers."""
    forget_speed_rules()
    rows = {row.key or f"own:{row.pk}": row for row in DomainRule.objects.select_related("updated_by")}
    return [RuleLine(rule, rows.get(rule.key)) for rule in speed_rules()]


@dataclass(frozen=True)
class Answer:
    """Which rule holds for a domain. `problem`: what DNS said, or did not."""

    domain: str
    rule: SpeedRule
    hosts: list[str]
    problem: str
    route: str  # "mx", or host:port of the relay


def rule_of_domain(domain: str) -> Answer:
    """`domain`: A-labels. Asks DNS for the MX, for a few seconds at most; without an answer the names alone decide."""
    hosts, problem = [], ""
    try:
        hosts = asyncio.run(asyncio.wait_for(Resolver().mail_hosts(domain), DNS_SECONDS))
    except NoRoute as error:
        problem = error.text
    except TimeoutError:
        problem = _("DNS did not answer in time.")
    rule = rule_for(domain, hosts, rules=speed_rules())
    return Answer(domain, rule, hosts, problem, rule.route or settings.RELAY or "mx")


_WAITING = """
SELECT domain, remote_host, count(*)
  FROM (SELECT lower(split_part(address, '@', -1)) AS domain, remote_host
          FROM mail_delivery WHERE state IN ('queued', 'deferred') LIMIT %s) waiting
 GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Waiting:
    domain: str
    number: int

    @property
    def shown(self) -> str:
        return readable(self.domain)

    @property
    def url(self) -> str:
        """They are waiting or waiting to be retried, whatever their mailing."""
        return f"{reverse('deliveries')}?{urlencode({'state': ResultGroup.WAITING, 'address': f'@{self.shown}'})}"


@dataclass(frozen=True)
class SlowedLine:
    site: SlowedSite
    percent: int  # of the full speed
    waiting: list[Waiting]


def slowed_lines() -> list[SlowedLine] | None:
    """What is slowed, with the mails behind it; None when Redis is away and nobody knows. One query, none when nothing is
    slowed."""
    try:
        sites = slowed_sites()
    except RedisAway as error:
        logger.warning("what is slowed is not known: %s", error)
        return None
    waiting = waiting_by_site(site.key for site in sites)
    return [SlowedLine(site, round(site.factor * 100), waiting[site.key]) for site in sites]


def waiting_by_site(site_keys: Iterable[str]) -> dict[str, list[Waiting]]:
    """{site key: domains with mails that wait, most first}. One query, none without sites.

    A site of the general rule is known by its MX hosts; which domains are behind it is read from the hosts that
    answered. Mails beyond LOOKED_AT are not counted."""
    wanted = set(site_keys)
    found: dict[str, dict[str, int]] = {key: {} for key in wanted}
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [LOOKED_AT])
        rows = cursor.fetchall()
    rules = speed_rules()
    by_host = {host: key for key in wanted if key.startswith("mx:") for host in key[3:].split(",")}
    for domain, host, number in rows:
        rule = rule_for(domain, [host] if host else [], rules=rules)
        key = by_host.get(host.lower()) if rule.key == GENERAL else rule.key
        if key is None or key not in wanted:
            continue
        found[key][domain] = found[key].get(domain, 0) + number
    return {
        key: [Waiting(*pair) for pair in sorted(domains.items(), key=lambda pair: (-pair[1], pair[0]))[:20]]
        for key, domains in found.items()
    }


def ptr_checks() -> dict[str, CheckItem]:
    """{source address: what DNS said of its PTR} at the newest live check of a sending domain; {} before the first. One
    query."""
    newest = SendingDomain.objects.filter(checked_at__isnull=False).order_by("-checked_at").first()
    items = kept_items(newest) if newest is not None else []
    return {item.key.removeprefix("ptr:"): item for item in items if item.key.startswith("ptr:")}

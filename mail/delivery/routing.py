"""The engine's questions to those who know the ways: which site, which source, how fast, signed by whom (RATE-1..4)."""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from time import monotonic
from typing import cast

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django.utils.translation import gettext as _

from mail.delivery.brake import Tally, braked_domains, count_results, receiving_domain
from mail.delivery.outgoing import OutgoingMail
from mail.delivery.record import Result
from mail.delivery.retries import RetryPlan, retry_plan
from mail.delivery.sites import Site, Sites
from mail.delivery.speed_rules import current_speed_rules, retry_times, rule_for
from mail.delivery.throttle import Admission, Permit, Throttle
from mail.models.delivery import DeliveryState
from mail.sending_domains import pool_for, signer_for
from mail.smtp.client import Tls
from mail.smtp.mx import NoRoute
from mail.smtp.outcomes import NoSession
from mail.smtp.replies import Reply

__all__ = ["Admission", "NoRoute", "OtherFamily", "Routing", "Site"]

logger = logging.getLogger(__name__)

KNOWN_SECONDS = 20.0
KNOWN_ENTRIES = 20_000
REFRESHED_EVERY = 5.0
BRAKES_KEPT = 1.0
COUNTED_EVERY = 1.0


class OtherFamily(NoSession):
    """The site has no address that this source of ours can reach; another source of the pool may."""


class Routing:
    """One per engine. Everything async runs on its loop."""

    def __init__(self) -> None:
        self.sites = Sites()
        self.throttle = Throttle()
        self._known: OrderedDict[str, tuple[float, Site]] = OrderedDict()
        self._plan = RetryPlan(30, 24 * 60)
        self._fresh_until = 0.0
        self._brakes: dict[int, set[str]] = {}
        self._brakes_until = 0.0
        self._tallies: dict[int, dict[str, Tally]] = {}
        self._count_at = 0.0

    # ---- where to

    def known_site(self, domain: str) -> Site | None:
        """What `site_of` found a moment ago, without waiting."""
        until, site = self._known.get(domain, (0.0, None))
        return site if until > monotonic() else None

    async def site_of(self, domain: str) -> Site:
        """Raises NoRoute."""
        site = await self.sites.site_of(domain)
        self._known[domain] = (monotonic() + KNOWN_SECONDS, site)
        self._known.move_to_end(domain)
        while len(self._known) > KNOWN_ENTRIES:
            self._known.popitem(last=False)
        return site

    async def nowhere(self, domain: str) -> Site:
        """For a domain that DNS says nothing of: its own retries hold all the same (ERR-3). No mail goes there."""
        rule = rule_for(domain, rules=await current_speed_rules())
        return Site(key="", label=domain, group="", hosts=(), port=0, rule=rule, relay=False)

    async def addresses(self, site: Site, source: str) -> AsyncIterator[tuple[str, str, int]]:
        """(host, address, port) in the order to try them: of the source's family, if one is set. Raises NoSession when
        no host has an address, OtherFamily when none is of that family: the source is not used there for a while."""
        told, other_family = "", ""
        family = ip_address(source).version if source else 0
        found = False
        for host in site.hosts:
            if site.relay:
                found = True
                yield host, host, site.port
                continue
            try:
                addresses = await self.sites.resolver.addresses(host)
            except NoRoute as error:
                told = error.text
                continue
            for address in addresses:
                if family and ip_address(address).version != family:
                    other_family = _("%(source)s has no way to %(address)s.") % {
                        "source": source,
                        "address": address,
                    }
                    continue
                found = True
                yield host, address, site.port
        if not found:
            if other_family:
                await self.no_way(site, source, other_family)
                raise OtherFamily(other_family)
            raise NoSession(told or f"{site.label}: no address")

    def tls(self, site: Site) -> Tls:
        if site.relay and not settings.RELAY_STARTTLS:
            return "never"
        return cast(Tls, site.rule.tls)

    # ---- how fast

    async def admit(self, site: Site, pool: str, count: int) -> Admission:
        return await self.throttle.admit(site, pool, count)

    async def connect(self, site: Site, source: str) -> Permit | None:
        return await self.throttle.connect(site, source)

    async def disconnect(self, permit: Permit) -> None:
        await self.throttle.disconnect(permit)

    async def complained(self, site: Site, source: str, reply: Reply) -> None:
        await self.throttle.complained(site, source, reply)

    async def no_way(self, site: Site, source: str, why: str) -> None:
        await self.throttle.no_way(site, source, why)

    async def went_well(self, site: Site, source: str, count: int) -> None:
        await self.throttle.went_well(site, source, count)

    async def close(self) -> None:
        await self.throttle.close()

    # ---- how often

    def refresh(self) -> None:
        """From a thread with a database connection, every few seconds: what the loop must know without asking. A
        database that is away changes nothing: results in hand must not be lost by it."""
        if monotonic() >= self._fresh_until:
            try:
                self._plan = retry_plan()
                self._fresh_until = monotonic() + REFRESHED_EVERY
            except (OperationalError, InterfaceError):
                logger.warning("the retry settings could not be read", exc_info=True)
                connection.close()
                self._fresh_until = monotonic() + 1.0

    def retry_plan(self, site: Site | None) -> RetryPlan:
        """ERR-3, minutes: the destination's own, or the system's."""
        return self._plan if site is None else retry_times(site.rule, self._plan)

    def with_retries(self, result: Result, site: Site | None) -> Result:
        if result.state != DeliveryState.DEFERRED:
            return result
        plan = self.retry_plan(site)
        return replace(result, interval=plan.interval_minutes, period=plan.period_minutes)

    # ---- in whose name

    def sign(self, outgoing: OutgoingMail) -> bytes:
        """The DKIM-Signature to put in front, empty without a key. From the signer's thread; finds the pool too."""
        outgoing.pool = pool_for(outgoing.from_address, outgoing.purpose)
        signer = signer_for(outgoing.from_address)
        return b"" if signer is None else signer.sign(outgoing.data, at=timezone.now())

    # ---- the brake (RATE-2)

    def braked(self, mails: Sequence[OutgoingMail]) -> list[OutgoingMail]:
        """Those that must not be sent until somebody lets their job go on at the domain. From the feeder's thread."""
        self._learn_brakes({outgoing.row.job_id for outgoing in mails if outgoing.row.job_id is not None})
        if not any(self._brakes.values()):
            return []
        return [
            outgoing
            for outgoing in mails
            if outgoing.row.job_id is not None
            and receiving_domain(outgoing.row.address) in self._brakes.get(outgoing.row.job_id, ())
        ]

    def is_braked(self, outgoing: OutgoingMail) -> bool:
        """For a finished mail, before a connection takes it: as known a moment ago, without asking."""
        brakes = self._brakes.get(outgoing.row.job_id) if outgoing.row.job_id is not None else None
        return brakes is not None and outgoing.domain in brakes

    def _learn_brakes(self, jobs: set[int]) -> None:
        if monotonic() >= self._brakes_until or not jobs <= self._brakes.keys():
            self._brakes = braked_domains(jobs | self._brakes.keys() if len(self._brakes) < 500 else jobs)
            self._brakes_until = monotonic() + BRAKES_KEPT

    def recorded(self, results: Sequence[tuple[OutgoingMail, Result]]) -> None:
        """From the records' batch thread, after the commit."""
        urgent = False
        for outgoing, result in results:
            if outgoing.row.job_id is None:
                continue
            of_job = self._tallies.setdefault(outgoing.row.job_id, {})
            domain = outgoing.domain
            of_job[domain] = of_job.get(domain, Tally()).plus(result.state, result.cause)
            urgent = urgent or result.state == DeliveryState.ERROR
        if urgent or monotonic() >= self._count_at:
            self.count()

    def count(self) -> None:
        """Successes are counted every second, failures at once. From a thread's thread."""
        tallies, self._tallies = self._tallies, {}
        self._count_at = monotonic() + COUNTED_EVERY
        for job_id, of_domains in tallies.items():
            if count_results(job_id, of_domains, now=timezone.now()):
                self._brakes_until = 0.0
        if tallies:
            self._learn_brakes(set(tallies))

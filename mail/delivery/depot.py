"""From finished mails to the ways they take: which sites, in which parts. Runs on the engine's loop."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mail.delivery import verdicts
from mail.delivery.parcel import Parcel, domain_of
from mail.delivery.routing import NoRoute, Site
from mail.delivery.yards import Way
from mail.smtp.replies import NO_ROUTE

if TYPE_CHECKING:
    from mail.delivery.engine import Engine

KEPT_WAYS = 2000


class Depot:
    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.ways: dict[tuple[str, str], Way] = {}
        self._by_group: dict[str, Way] = {}
        self._resolving: dict[str, list[Parcel]] = {}
        # Mails that wait for servers and name servers which have not answered yet; counted now and then for the feeder.
        self.stalled = 0

    def receive(self, parcels: Iterable[Parcel]) -> None:
        """Finished mails: those whose sites are known go on at once, DNS is asked about the others."""
        by_way: dict[Way, list[Parcel]] = {}
        for parcel in parcels:
            way = self._way_of(parcel)
            if way is not None:
                by_way.setdefault(way, []).append(parcel)
        for way, some in by_way.items():
            way.put(some)

    def _way_of(self, parcel: Parcel) -> Way | None:
        """The way of the mail's next part; None when a domain must be looked up first."""
        domain = domain_of(parcel.recipients[0])
        if len(parcel.recipients) > 1:
            return self._way_of_parts(parcel)
        site = self.engine.routing.known_site(domain)
        if site is None:
            self._look_up(domain, parcel)
            return None
        return self._way(parcel, site)

    def _way_of_parts(self, parcel: Parcel) -> Way | None:
        """The lead's own address first, and with it all that live at the same site."""
        recipients = sorted(parcel.recipients, key=lambda address: address != parcel.own)
        first: Site | None = None
        part: list[str] = []
        others: list[str] = []
        for address in recipients:
            site = self.engine.routing.known_site(domain_of(address))
            if site is None:
                self._look_up(domain_of(address), parcel)
                return None
            if first is None:
                first = site
            (part if site.group == first.group else others).append(address)
        assert first is not None
        parcel.part, parcel.others = part, others
        return self._way(parcel, first)

    def _way(self, parcel: Parcel, site: Site) -> Way:
        parcel.last_attempt = self.engine.is_last_attempt(parcel, site)
        pool = "" if site.relay else parcel.pool
        way = self.ways.get((site.group, pool))
        if way is None:
            if len(self.ways) > KEPT_WAYS:
                self._forget()
            way = self.ways[site.group, pool] = Way(self.engine, site, pool)
            self._by_group[site.group] = way
        way.site = site
        return way

    def _forget(self) -> None:
        for key, way in list(self.ways.items()):
            if not way.in_use:
                del self.ways[key]
                self._by_group.pop(key[0], None)

    def _look_up(self, domain: str, parcel: Parcel) -> None:
        if domain in self._resolving:
            self._resolving[domain].append(parcel)
            return
        self._resolving[domain] = [parcel]
        self.engine.start(self._resolve(domain))

    async def _resolve(self, domain: str) -> None:
        nowhere: Site | None = None
        try:
            try:
                await self.engine.routing.site_of(domain)
            except NoRoute as error:
                problem, nowhere = error, await self.engine.routing.nowhere(domain)
        except BaseException:
            self.engine.abandon(self._resolving.pop(domain))
            raise
        if nowhere is None:
            # Closed meanwhile: given back like everything else that waits.
            self.engine.arrived(self._resolving.pop(domain))
            return
        for parcel in self._resolving.pop(domain):
            self._no_route(parcel, domain, problem, nowhere)

    def _no_route(self, parcel: Parcel, domain: str, error: NoRoute, nowhere: Site) -> None:
        at_domain = [address for address in parcel.recipients if domain_of(address) == domain]
        if parcel.own in at_domain:
            at_domain = [parcel.own]
        parcel.part = at_domain
        parcel.others = [address for address in parcel.recipients if address not in at_domain]
        parcel.last_attempt = self.engine.is_last_attempt(parcel, nowhere)
        result = verdicts.no_route(
            parcel, error.text, permanent=error.permanent, code=NO_ROUTE, address=at_domain[0]
        )
        self.engine.settle(parcel, result, nowhere)

    def too_many(self, parcels: Iterable[Parcel]) -> list[tuple[Parcel, float]]:
        """From the feeder's thread, before anything is made: mails to sites that have more waiting here than they take
        soon, with the seconds they are put off."""
        crowded: dict[Way, list[Parcel]] = {}
        for parcel in parcels:
            if parcel.row.job_id is None:
                continue  # these go first
            site = self.engine.routing.known_site(parcel.domain)
            # Its pool is known when it is made; the usual one tells enough.
            way = None if site is None or site.everybodys else self._by_group.get(site.group)
            if way is not None and way.crowded():
                crowded.setdefault(way, []).append(parcel)
        return [turn for way, some in crowded.items() for turn in way.turns(some)]

    # ---- housekeeping

    def empty(self) -> list[Parcel]:
        """Everything that no lane has begun and DNS is not being asked about."""
        return [parcel for way in self.ways.values() for parcel in way.empty()]

    @property
    def queued(self) -> int:
        return sum(way.queued for way in self.ways.values()) + sum(map(len, self._resolving.values()))

    def look(self) -> None:
        self.stalled = sum(way.queued for way in self.ways.values() if not way.works)
        self.stalled += sum(map(len, self._resolving.values()))
        for way in list(self.ways.values()):
            if way.in_use:
                way.look()
                way.trim()
            else:
                way.look()

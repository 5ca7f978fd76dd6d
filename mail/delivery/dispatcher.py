"""From finished mails to the site queues they take: which sites, in which parts. Runs on the engine's loop."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mail.delivery import verdicts
from mail.delivery.outgoing import OutgoingMail, domain_of
from mail.delivery.routing import NoRoute, Site
from mail.delivery.site_queues import SiteQueue
from mail.smtp.replies import NO_ROUTE

if TYPE_CHECKING:
    from mail.delivery.engine import Engine

KEPT_QUEUES = 2000


class Dispatcher:
    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.site_queues: dict[tuple[str, str], SiteQueue] = {}
        self._by_group: dict[str, SiteQueue] = {}
        self._resolving: dict[str, list[OutgoingMail]] = {}
        # Mails that wait for servers and name servers which have not answered yet; counted now and then for the feeder.
        self.stalled = 0

    def receive(self, mails: Iterable[OutgoingMail]) -> None:
        """Finished mails: those whose sites are known go on at once, DNS is asked about the others."""
        by_queue: dict[SiteQueue, list[OutgoingMail]] = {}
        for outgoing in mails:
            site_queue = self._queue_of(outgoing)
            if site_queue is not None:
                by_queue.setdefault(site_queue, []).append(outgoing)
        for site_queue, some in by_queue.items():
            site_queue.put(some)

    def _queue_of(self, outgoing: OutgoingMail) -> SiteQueue | None:
        """The site queue of the mail's next part; None when a domain must be looked up first."""
        domain = domain_of(outgoing.recipients[0])
        if len(outgoing.recipients) > 1:
            return self._queue_of_parts(outgoing)
        site = self.engine.routing.known_site(domain)
        if site is None:
            self._look_up(domain, outgoing)
            return None
        return self._queue(outgoing, site)

    def _queue_of_parts(self, outgoing: OutgoingMail) -> SiteQueue | None:
        """The lead's own address first, and with it all that live at the same site."""
        recipients = sorted(outgoing.recipients, key=lambda address: address != outgoing.own)
        first: Site | None = None
        part: list[str] = []
        others: list[str] = []
        for address in recipients:
            site = self.engine.routing.known_site(domain_of(address))
            if site is None:
                self._look_up(domain_of(address), outgoing)
                return None
            if first is None:
                first = site
            (part if site.group == first.group else others).append(address)
        assert first is not None
        outgoing.part, outgoing.others = part, others
        return self._queue(outgoing, first)

    def _queue(self, outgoing: OutgoingMail, site: Site) -> SiteQueue:
        outgoing.last_attempt = self.engine.is_last_attempt(outgoing, site)
        pool = "" if site.relay else outgoing.pool
        site_queue = self.site_queues.get((site.group, pool))
        if site_queue is None:
            if len(self.site_queues) > KEPT_QUEUES:
                self._forget()
            site_queue = self.site_queues[site.group, pool] = SiteQueue(self.engine, site, pool)
            self._by_group[site.group] = site_queue
        site_queue.site = site
        return site_queue

    def _forget(self) -> None:
        for key, site_queue in list(self.site_queues.items()):
            if not site_queue.in_use:
                del self.site_queues[key]
                self._by_group.pop(key[0], None)

    def _look_up(self, domain: str, outgoing: OutgoingMail) -> None:
        if domain in self._resolving:
            self._resolving[domain].append(outgoing)
            return
        self._resolving[domain] = [outgoing]
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
        for outgoing in self._resolving.pop(domain):
            self._no_route(outgoing, domain, problem, nowhere)

    def _no_route(self, outgoing: OutgoingMail, domain: str, error: NoRoute, nowhere: Site) -> None:
        at_domain = [address for address in outgoing.recipients if domain_of(address) == domain]
        if outgoing.own in at_domain:
            at_domain = [outgoing.own]
        outgoing.part = at_domain
        outgoing.others = [address for address in outgoing.recipients if address not in at_domain]
        outgoing.last_attempt = self.engine.is_last_attempt(outgoing, nowhere)
        result = verdicts.no_route(
            outgoing, error.text, permanent=error.permanent, code=NO_ROUTE, address=at_domain[0]
        )
        self.engine.settle(outgoing, result, nowhere)

    def too_many(self, mails: Iterable[OutgoingMail]) -> list[tuple[OutgoingMail, float]]:
        """From the feeder's thread, before anything is made: mails to sites that have more waiting here than they take
        soon, with the seconds they are put off."""
        crowded: dict[SiteQueue, list[OutgoingMail]] = {}
        for outgoing in mails:
            if outgoing.row.job_id is None:
                continue  # these go first
            site = self.engine.routing.known_site(outgoing.domain)
            # Its pool is known when it is made; the usual one tells enough.
            site_queue = None if site is None or site.everybodys else self._by_group.get(site.group)
            if site_queue is not None and site_queue.crowded():
                crowded.setdefault(site_queue, []).append(outgoing)
        return [turn for site_queue, some in crowded.items() for turn in site_queue.turns(some)]

    # ---- housekeeping

    def empty(self) -> list[OutgoingMail]:
        """Everything that no agent has begun and DNS is not being asked about."""
        return [outgoing for site_queue in self.site_queues.values() for outgoing in site_queue.empty()]

    @property
    def queued(self) -> int:
        return sum(site_queue.queued for site_queue in self.site_queues.values()) + sum(
            map(len, self._resolving.values())
        )

    def look(self) -> None:
        self.stalled = sum(
            site_queue.queued for site_queue in self.site_queues.values() if not site_queue.works
        )
        self.stalled += sum(map(len, self._resolving.values()))
        for site_queue in list(self.site_queues.values()):
            if site_queue.in_use:
                site_queue.look()
                site_queue.trim()
            else:
                site_queue.look()

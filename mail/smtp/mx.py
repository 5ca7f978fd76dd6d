"""Where a domain's mail goes (RFC 5321 5.1, RFC 7505): MX hosts, and their addresses. Lives in one asyncio loop.

What cannot be delivered raises NoRoute; `permanent` tells 41605 at once (no such domain, null MX, no usable host) from
what may pass (DNS that fails or stays silent). DNS answers are hostile: nothing they say leads to a private address.
"""

import asyncio
import ipaddress
import logging
import random
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from django.conf import settings
from django.utils.translation import gettext as _

logger = logging.getLogger(__name__)

TRY_SECONDS = 5.0  # until one DNS server is asked again
LOOKUP_SECONDS = 20.0  # for one question, over all servers and tries
LOOKUPS_AT_ONCE = 50
KEPT_SECONDS = (30, 3600)  # bounds of the TTL
FAILURE_KEPT_SECONDS = (30, 60)
KEPT_ENTRIES = 20_000
HOSTS_MAX = 20
ADDRESSES_MAX = 8  # of one host

_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = [
    ipaddress.ip_network(net)
    for net in ("192.88.99.0/24", "64:ff9b:1::/48", "2001::/32", "3fff::/20", "5f00::/16", "fec0::/10")
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NoRoute(Exception):
    """No mail can go to the domain or host; `text` says why, in the system's language."""

    def __init__(self, text: str, *, permanent: bool) -> None:
        super().__init__(text)
        self.text = text
        self.permanent = permanent


@dataclass(frozen=True)
class _Found:
    """What DNS said to one question. `exists`: the name does, with or without records of that type."""

    records: tuple[Any, ...]
    exists: bool
    seconds: float  # it may be kept


class Resolver:
    """`nameserver` "host:port" or "" for the system's; `lookup_seconds` for one question."""

    def __init__(
        self,
        nameserver: str | None = None,
        *,
        allow_private: bool | None = None,
        lookup_seconds: float | None = None,
    ) -> None:
        self.nameserver = settings.DNS_SERVER if nameserver is None else nameserver
        self.allow_private = settings.ALLOW_PRIVATE_MX if allow_private is None else allow_private
        self.lookup_seconds = LOOKUP_SECONDS if lookup_seconds is None else lookup_seconds
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._hosts = _Memory()
        self._addresses = _Memory()
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    async def mail_hosts(self, domain: str) -> list[str]:
        """MX hosts in the order to try them, lower-case A-labels; equal preferences in a new order each time. A domain
        without MX is its own host. Raises NoRoute."""
        name = _ascii_name(domain)
        kept: list[tuple[int, str]] = await self._hosts.get(name, lambda: self._find_hosts(name))
        ranked = [(preference, random.random(), host) for preference, host in kept]
        return [host for _preference, _chance, host in sorted(ranked)]

    async def addresses(self, host: str) -> list[str]:
        """Addresses of a mail host in the order to try them: both families in turn, IPv4 first, because there a sender
        is known. None that mail must not go to; a family this machine has no way for only if there is nothing else.
        Raises NoRoute."""
        name = _ascii_name(host)
        kept: list[Address] = await self._addresses.get(name, lambda: self._find_addresses(name))
        reachable = [address for address in kept if _has_way(address)] or kept
        v4, v6 = ([a for a in reachable if a.version == version] for version in (4, 6))
        random.shuffle(v4)
        random.shuffle(v6)
        in_turn = chain.from_iterable(zip_longest(v4, v6))
        return [str(address) for address in in_turn if address is not None][:ADDRESSES_MAX]

    # ---- look-ups

    async def _find_hosts(self, name: str) -> tuple[float, list[tuple[int, str]]]:
        found = await self._ask(name, dns.rdatatype.MX)
        if not found.exists:
            raise _Kept(_no(_("The domain %(name)s does not exist."), name=name), found.seconds)
        if not found.records:
            try:
                await self.addresses(name)
            except NoRoute as no_route:
                if not no_route.permanent:
                    raise
                text = _("The domain %(name)s has no mail server: no MX, and %(reason)s")
                raise _Kept(_no(text, name=name, reason=no_route.text), found.seconds) from no_route
            return found.seconds, [(0, name)]
        if all(record.exchange == dns.name.root for record in found.records):
            raise _Kept(_no(_("The domain %(name)s takes no mail (null MX)."), name=name), found.seconds)
        hosts = {}
        for record in sorted(found.records, key=lambda r: -r.preference):
            host = record.exchange.canonicalize().to_text(omit_final_dot=True)
            if _HOST.fullmatch(host):
                hosts[host] = record.preference
        if not hosts:
            said = ", ".join(str(record.exchange) for record in found.records)[:200]
            text = _("The MX records of %(name)s name no usable host: %(said)s")
            raise _Kept(_no(text, name=name, said=said), found.seconds)
        if {settings.MAIL_DOMAIN, settings.BOUNCE_DOMAIN} & hosts.keys():
            logger.warning("%s: this system's own name is among its MX hosts", name)
        return found.seconds, sorted((preference, host) for host, preference in hosts.items())[:HOSTS_MAX]

    async def _find_addresses(self, name: str) -> tuple[float, list[Address]]:
        answers = await asyncio.gather(
            self._ask(name, dns.rdatatype.A), self._ask(name, dns.rdatatype.AAAA), return_exceptions=True
        )
        found = [answer for answer in answers if isinstance(answer, _Found)]
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        stated = {ipaddress.ip_address(record.address) for answer in found for record in answer.records}
        usable = sorted((a for a in stated if self._allowed(a)), key=lambda a: (a.version, int(a)))
        seconds = min((answer.seconds for answer in found), default=0.0)
        if usable:
            return seconds, usable
        if failures:  # the other family may have addresses
            raise failures[0]
        if stated:
            said = ", ".join(sorted(map(str, stated)))[:200]
            text = _("%(name)s has only addresses that mail is never sent to: %(said)s")
            raise _Kept(_no(text, name=name, said=said), seconds)
        raise _Kept(_no(_("%(name)s has no IP address."), name=name), seconds)

    async def _ask(self, name: str, rdtype: dns.rdatatype.RdataType) -> _Found:
        """Raises NoRoute (passing) when DNS gives no answer."""
        try:
            async with self._turns:
                answer = await self._asker().resolve(
                    dns.name.from_text(name), rdtype, search=False, raise_on_no_answer=False
                )
        except dns.resolver.NXDOMAIN as error:
            return _Found((), False, _negative_ttl(error))
        except (dns.exception.DNSException, OSError) as error:
            logger.info("DNS gave no answer for %s: %s", name, error)
            raise NoRoute(_("DNS gave no answer for %(name)s.") % {"name": name}, permanent=False) from error
        records = tuple(answer.rrset) if answer.rrset is not None else ()
        return _Found(records, True, answer.expiration - time.time())

    def _asker(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            resolver = dns.asyncresolver.Resolver(configure=not self.nameserver)
            if self.nameserver:
                host, _colon, port = self.nameserver.rpartition(":")
                resolver.nameservers = [host.strip("[]")]
                resolver.port = int(port)
            resolver.timeout = TRY_SECONDS
            resolver.lifetime = self.lookup_seconds
            resolver.use_edns(0, 0, 1232)
            self._resolver = resolver
        return self._resolver

    def _allowed(self, address: Address) -> bool:
        if address.is_multicast or address.is_unspecified:
            return False
        return self.allow_private or is_public(address)


def is_public(address: Address) -> bool:
    """Whether mail may go there: never to loopback, private, link-local, reserved or documentation addresses, nor to
    IPv6 forms that carry such an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:  # RFC 6052: what IPv6-only networks see of an IPv4 host
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.sixtofour is not None and not is_public(address.sixtofour):
            return False
        if address.ipv4_mapped is not None:
            return False
    if any(address.version == net.version and address in net for net in _NEVER):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _has_way(address: Address) -> bool:
    """Whether this machine has a route there: connecting a UDP socket asks the kernel and sends nothing."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 25))
            source = ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])
    except OSError:
        return False
    # A private IPv6 source (fd00::/8) with a default route is what containers have that lead nowhere.
    return address.version == 4 or source.is_global or not address.is_global


def _ascii_name(name: str) -> str:
    """Lower-case A-labels (CHR-5). Raises NoRoute for what is no host name: IP literals, empty or over-long labels."""
    try:
        ascii_name = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008_UTS_46).canonicalize()
        text = ascii_name.to_text(omit_final_dot=True)
    except (dns.exception.DNSException, UnicodeError, ValueError):
        text = ""
    if not _HOST.fullmatch(text):
        raise _no(_("“%(name)s” is no domain name."), name=name[:100])
    return text


def _no(text: str, **said: str) -> NoRoute:
    return NoRoute(text % said, permanent=True)


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> float:
    """RFC 2308: the SOA says how long a name does not exist."""
    for response in error.responses().values():  # type: ignore[no-untyped-call]
        for rrset in response.authority:
            if rrset.rdtype == dns.rdatatype.SOA:
                return float(min(rrset.ttl, rrset[0].minimum))
    return 0.0


# ---- remembering


class _Kept(Exception):
    """A permanent NoRoute that may be remembered for `seconds`."""

    def __init__(self, no_route: NoRoute, seconds: float) -> None:
        self.no_route = no_route
        self.seconds = seconds


class _Memory:
    """Answers by name, bounded in time and number; one look-up in the air per name."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Any]] = {}

    async def get(self, name: str, find: Callable[[], Awaitable[tuple[float, Any]]]) -> Any:
        """What `find` returned, now or before; raises the NoRoute it raised."""
        until, value = self._kept.get(name, (0.0, None))
        if until <= time.monotonic():
            task = self._asked.get(name)
            if task is None:
                task = self._asked[name] = asyncio.ensure_future(self._find(name, find))
                task.add_done_callback(lambda _task: self._asked.pop(name, None))
            value = await asyncio.shield(task)  # whoever gives up does not stop it for the others
        if isinstance(value, NoRoute):
            raise NoRoute(value.text, permanent=value.permanent)
        return value

    async def _find(self, name: str, find: Callable[[], Awaitable[tuple[float, Any]]]) -> Any:
        value: Any
        try:
            seconds, value = await find()
            seconds = _within(seconds, KEPT_SECONDS)
        except _Kept as kept:
            seconds, value = _within(kept.seconds, KEPT_SECONDS), kept.no_route
        except NoRoute as no_route:
            seconds, value = random.uniform(*FAILURE_KEPT_SECONDS), no_route
        self._kept[name] = (time.monotonic() + seconds, value)
        self._kept.move_to_end(name)
        while len(self._kept) > KEPT_ENTRIES:
            self._kept.popitem(last=False)
        return value


def _within(seconds: float, bounds: Iterable[int]) -> float:
    least, most = bounds
    return max(float(least), min(seconds, float(most)))

"""Reading an SPF policy (RFC 7208) as a receiver does: what it includes, what that costs, whom it lets send.

The whole tree is walked, not only the way to the first match, because mail that matches late pays for all of it.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mail.dns_lookup import Lookups

LOOKUPS_MAX = 10  # RFC 7208 4.6.4: terms that ask DNS
VOID_MAX = 2  # of them, those that find nothing
MX_MAX = 10  # names of one "mx"
WALK_MAX = 40  # terms after which we stop counting

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_VERSION = re.compile(r"v=spf1(?= |$)", re.IGNORECASE)
_MECHANISM = re.compile(
    r"(?P<sign>[+\-~?]?)(?P<name>all|include|a|mx|ptr|ip4|ip6|exists)(?P<rest>[:/].*)?", re.IGNORECASE
)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=(?P<value>.*)", re.IGNORECASE)
_CIDR = re.compile(r"(?P<domain>[^/]*)(?:/(?P<four>\d{1,2}))?(?://(?P<six>\d{1,3}))?")
_DOMAIN = re.compile(r"(?:%\{[a-z]\d*r?[.\-+,/_=]*\}|%%|%_|%-|[!-$&-~])+", re.IGNORECASE)
_NEEDS_DNS = {"include", "a", "mx", "ptr", "exists"}


class SpfSyntax(ValueError):
    """A term no receiver understands; str() is the term."""


@dataclass(frozen=True)
class Term:
    """One mechanism; `domain` "" = the policy's own; `four`, `six`: prefix lengths of a and mx."""

    sign: str
    name: str
    domain: str = ""
    four: int = 32
    six: int = 128
    network: Network | None = None


@dataclass
class Policy:
    """One domain's record. `fault` (none, several, syntax, loop, dns, mx) makes the evaluation fail; `at` says where."""

    domain: str
    record: str = ""
    terms: list[Term] = field(default_factory=list)
    redirect: str = ""
    fault: str = ""
    at: str = ""
    networks: dict[int, list[Network]] = field(default_factory=dict)  # of the term at this place
    children: dict[int, "Policy"] = field(default_factory=dict)  # of the "include" at this place
    redirected: "Policy | None" = None


@dataclass
class Walk:
    """The policy with everything it leads to, and what that costs. `unclear`: macros, which depend on the mail."""

    top: Policy
    lookups: int = 0
    void: int = 0
    unclear: bool = False
    uses_ptr: bool = False

    @property
    def fault(self) -> Policy | None:
        """The first policy of the tree that breaks the whole."""
        return next((policy for policy in _all(self.top) if policy.fault), None)

    def lets(self, address: str) -> bool:
        """Whether mail from this address passes. False too where a receiver would give up."""
        return self.fault is None and _result(self.top, ipaddress.ip_address(address)) == "+"

    @property
    def lets_everybody(self) -> bool:
        return any(
            term.name == "all" and term.sign == "+" for policy in _all(self.top) for term in policy.terms
        )


def read_policy(domain: str, dns: Lookups) -> Walk:
    """Asks DNS for the policy of `domain` and of all it includes; never more than `WALK_MAX` terms."""
    walk = Walk(Policy(domain))
    walk.top = _read(domain, dns, walk, ())
    return walk


def spf_records(texts: tuple[str, ...]) -> list[str]:
    return [text for text in texts if _VERSION.match(text)]


def parse(record: str) -> tuple[list[Term], str]:
    """The mechanisms and the redirect of one record. SpfSyntax names the term that is wrong."""
    if not record.isascii():
        raise SpfSyntax(record[:80])
    terms: list[Term] = []
    redirect = ""
    for text in record.split(" ")[1:]:
        if not text:
            continue
        if modifier := _MODIFIER.fullmatch(text):
            if modifier["name"].lower() in {"redirect", "exp"}:
                if not _DOMAIN.fullmatch(modifier["value"]):
                    raise SpfSyntax(text[:80])
                if modifier["name"].lower() == "redirect":
                    if redirect:
                        raise SpfSyntax(text[:80])
                    redirect = modifier["value"]
            continue
        mechanism = _MECHANISM.fullmatch(text)
        if mechanism is None:
            raise SpfSyntax(text[:80])
        terms.append(_term(mechanism, text))
    return terms, redirect


def _term(found: re.Match[str], text: str) -> Term:
    sign, name, rest = found["sign"] or "+", found["name"].lower(), found["rest"] or ""
    if name == "all":
        if rest:
            raise SpfSyntax(text[:80])
        return Term(sign, name)
    if name in {"ip4", "ip6"}:
        try:
            network = ipaddress.ip_network(rest[1:], strict=False)
        except ValueError as error:
            raise SpfSyntax(text[:80]) from error
        if not rest.startswith(":") or network.version != int(name[2]):
            raise SpfSyntax(text[:80])
        return Term(sign, name, network=network)
    if name in {"include", "exists"} or (name == "ptr" and rest):
        if not rest.startswith(":") or not _DOMAIN.fullmatch(rest[1:]):
            raise SpfSyntax(text[:80])
        return Term(sign, name, rest[1:])
    if name == "ptr":
        return Term(sign, name)
    cidr = _CIDR.fullmatch(rest.removeprefix(":"))
    if cidr is None or rest == ":" or (cidr["domain"] and not _DOMAIN.fullmatch(cidr["domain"])):
        raise SpfSyntax(text[:80])
    four, six = int(cidr["four"] or 32), int(cidr["six"] or 128)
    if four > 32 or six > 128 or (rest.startswith(":") and not cidr["domain"]):
        raise SpfSyntax(text[:80])
    return Term(sign, name, cidr["domain"], four, six)


def _read(domain: str, dns: Lookups, walk: Walk, above: tuple[str, ...]) -> Policy:
    policy = Policy(domain)
    if domain in above:
        policy.fault, policy.at = "loop", domain
        return policy
    answer = dns.txt(domain)
    if answer.failed:
        policy.fault, policy.at = "dns", answer.failed
        return policy
    records = spf_records(answer.values)
    if len(records) != 1:
        policy.fault, policy.at = "several" if records else "none", domain
        if above and not answer:
            walk.void += 1
        return policy
    policy.record = records[0]
    try:
        policy.terms, policy.redirect = parse(policy.record)
    except SpfSyntax as error:
        policy.fault, policy.at = "syntax", str(error)
        return policy
    for place, term in enumerate(policy.terms):
        if walk.lookups >= WALK_MAX:
            return policy
        _follow(policy, place, term, dns, walk, (*above, domain))
    if policy.redirect and walk.lookups < WALK_MAX and not any(term.name == "all" for term in policy.terms):
        walk.lookups += 1
        if "%" in policy.redirect:
            walk.unclear = True
        else:
            policy.redirected = _read(_plain(policy.redirect), dns, walk, (*above, domain))
    return policy


def _follow(policy: Policy, place: int, term: Term, dns: Lookups, walk: Walk, above: tuple[str, ...]) -> None:
    """Asks for what one term names."""
    if term.network is not None:
        policy.networks[place] = [term.network]
    if term.name not in _NEEDS_DNS:
        return
    walk.lookups += 1
    if term.name == "ptr":
        walk.uses_ptr = True
        return
    if "%" in term.domain or term.name == "exists":
        walk.unclear = True
        return
    name = _plain(term.domain) or policy.domain
    if term.name == "include":
        policy.children[place] = _read(name, dns, walk, above)
        return
    hosts: tuple[str, ...] = (name,)
    if term.name == "mx":
        answer = dns.mx(name)
        if answer.failed:
            policy.fault, policy.at = "dns", answer.failed
        hosts = tuple(host for host in answer.values if host)
        if len(hosts) > MX_MAX:
            policy.fault, policy.at = "mx", name
            return
        if not answer.failed and not hosts:
            walk.void += 1
            return
    networks: list[Network] = []
    for host in hosts:
        found = dns.addresses(host)
        if found.failed:
            policy.fault, policy.at = "dns", found.failed
        if not found.failed and not found and term.name == "a":
            walk.void += 1
        for address in found.values:
            prefix = term.four if "." in address else term.six
            networks.append(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
    policy.networks[place] = networks


def _plain(domain: str) -> str:
    return domain.rstrip(".").lower()


def _all(policy: Policy) -> Iterator[Policy]:
    yield policy
    for child in policy.children.values():
        yield from _all(child)
    if policy.redirected:
        yield from _all(policy.redirected)


def _result(policy: Policy, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The sign of the first term that matches; "?" when none does (RFC 7208 4.7)."""
    for place, term in enumerate(policy.terms):
        if (
            term.name == "all"
            or any(address in network for network in policy.networks.get(place, ()))
            or (place in policy.children and _result(policy.children[place], address) == "+")
        ):
            return term.sign
    return _result(policy.redirected, address) if policy.redirected else "?"

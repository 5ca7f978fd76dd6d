"""Asking DNS for the live checks: bounded in number and time, and never surprised by what comes back.

Nothing is connected to: what an answer says is only read. The way of mails has its own resolver (mail/smtp/mx.py).
"""

import ipaddress
import time
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.resolver
import dns.reversename
from django.conf import settings

QUERIES_MAX = 150  # of one check of a domain
SECONDS_MAX = 20.0  # of one check
ANSWER_SECONDS = 4.0  # of one question, over all servers
CNAMES_MAX = 8
RECORDS_MAX = 100  # looked at of one answer
TEXT_MAX = 8_000  # characters of one TXT record; RFC 7208 3.4 advises against more than 450 bytes


@dataclass(frozen=True)
class Answer:
    """What DNS said. `failed`: it did not answer (so nothing is known); otherwise `values` may be empty: there is none.

    TXT values are their strings joined (RFC 7208 3.3, RFC 6376 3.6.2.2); MX values are hosts, best first ("" = null MX).
    """

    values: tuple[str, ...] = ()
    failed: str = ""

    def __bool__(self) -> bool:
        return bool(self.values)


class Lookups:
    """One check's questions. Each is asked once; after `QUERIES_MAX` questions or `SECONDS_MAX` all others fail."""

    def __init__(self, *, seconds: float = SECONDS_MAX) -> None:
        self._answers: dict[tuple[str, str], Answer] = {}
        self._until = time.monotonic() + seconds
        self._resolver = system_resolver()

    def txt(self, name: str) -> Answer:
        return self.ask(name, "TXT")

    def mx(self, name: str) -> Answer:
        return self.ask(name, "MX")

    def addresses(self, name: str) -> Answer:
        """A and AAAA; failed only when neither answered."""
        four, six = self.ask(name, "A"), self.ask(name, "AAAA")
        values = four.values + six.values
        return Answer(values, "" if values else four.failed or six.failed)

    def ptr(self, address: str) -> Answer:
        return self.ask(str(dns.reversename.from_address(address)), "PTR")

    def ask(self, name: str, kind: str) -> Answer:
        name = name.rstrip(".").lower()
        key = (name, kind)
        if key not in self._answers:
            self._answers[key] = self._ask(name, kind)
        return self._answers[key]

    def _ask(self, name: str, kind: str) -> Answer:
        left = self._until - time.monotonic()
        if len(self._answers) >= QUERIES_MAX or left <= 0:
            return Answer(failed="too many questions" if left > 0 else "no time left")
        if self._resolver is None:
            return Answer(failed="no resolver is configured")
        try:
            wanted = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008)
        except (dns.exception.DNSException, ValueError):
            return Answer()  # no name, so there is nothing there
        try:
            for _hop in range(CNAMES_MAX):
                found = self._resolver.resolve(
                    wanted,
                    kind,
                    search=False,
                    raise_on_no_answer=False,
                    lifetime=max(0.1, min(ANSWER_SECONDS, self._until - time.monotonic())),
                )
                if found.rrset is not None:
                    return Answer(tuple(_values(kind, found.rrset)))
                if found.canonical_name == wanted:
                    return Answer()
                wanted = found.canonical_name
            return Answer()
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN):
            return Answer()
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Answer(failed=_short(error))


def is_public(address: str) -> bool:
    """Whether receivers can reach it, or see us come from it (SMP_ALLOW_PRIVATE_MX: tests count loopback too)."""
    try:
        return settings.ALLOW_PRIVATE_MX or ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def system_resolver() -> dns.resolver.Resolver | None:
    """SMP_DNS, or what the system names; None when it names none."""
    try:
        resolver = dns.resolver.Resolver(configure=not settings.DNS_SERVER)
    except dns.resolver.NoResolverConfiguration:
        return None
    if settings.DNS_SERVER:
        host, _colon, port = settings.DNS_SERVER.rpartition(":")
        resolver.nameservers = [host.strip("[]")]
        resolver.port = int(port)
    resolver.timeout = ANSWER_SECONDS / 2
    return resolver


def _values(kind: str, rrset: dns.rrset.RRset) -> list[str]:
    records = list(rrset)[:RECORDS_MAX]
    if kind == "TXT":
        return [
            b"".join(record.strings)[:TEXT_MAX].decode("utf-8", "replace").replace("\0", "\ufffd")
            for record in records
        ]
    if kind == "MX":
        best_first = sorted(records, key=lambda record: (record.preference, str(record.exchange)))
        return [str(record.exchange).rstrip(".").lower() for record in best_first]
    if kind == "PTR":
        return [str(record.target).rstrip(".").lower() for record in records]
    return [str(record.address) for record in records]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

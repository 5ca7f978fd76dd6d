"""A small authoritative DNS server on loopback (UDP and TCP), for the tests and the demo: it knows the names it was
given, and every other name does not exist.

    with DnsServer({"example.jp": {"MX": [(10, "mx1.example.jp")], "TXT": ["v=spf1 -all"]}}) as server:
        SMP_DNS=server.address …

Values by type: A, AAAA, CNAME, PTR, NS: text · MX: (preference, host), "." or "" as host is the null MX · TXT: text,
split into strings of 255 bytes, or a list of strings as they are · SOA: its whole text. An IP address as name means its
reverse name. International names may be written as people write them. Names can be changed and made to misbehave while
the server runs.
"""

import asyncio
import contextlib
import ipaddress
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

from smp.demo.in_thread import InThread

Value = str | tuple[int, str] | Sequence[str]
Records = Mapping[str, Iterable[Value]]

CNAMES_MAX = 8
STRING_MAX = 255  # bytes of one string of a TXT record
_PORT_TRIES = 20


class Fault(Enum):
    """What can go wrong with a name, whatever its type."""

    SERVFAIL = "servfail"
    SILENT = "silent"  # no answer at all
    TRUNCATE = "truncate"  # over UDP only "ask by TCP"


class DnsServer(InThread):
    """`ttl` (seconds) of every answer; may be changed while it runs. `queries` counts (name, type) as asked."""

    def __init__(
        self,
        names: Mapping[str, Records] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ttl: int = 60,
    ) -> None:
        self.host, self.port, self.ttl = host, port, ttl
        self.queries: Counter[tuple[str, str]] = Counter()
        self.tcp_queries = 0
        self._lock = threading.Lock()
        self._names: dict[dns.name.Name, dict[dns.rdatatype.RdataType, list[dns.rdata.Rdata]]] = {}
        self._faults: dict[dns.name.Name, Fault] = {}
        for name, records in (names or {}).items():
            self.set(name, records)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    # ---- what it knows

    def set(self, name: str, records: Records) -> None:
        """All records of a name, by type; those it had are replaced. `{}`: it exists and has none."""
        made = {}
        for kind, values in records.items():
            rdtype = dns.rdatatype.from_text(kind)
            made[rdtype] = [_rdata(rdtype, value) for value in values]
        with self._lock:
            self._names[_name(name)] = made

    def remove(self, name: str) -> None:
        with self._lock:
            self._names.pop(_name(name), None)

    def fail(self, name: str, fault: Fault) -> None:
        with self._lock:
            self._faults[_name(name)] = fault

    def mend(self, name: str) -> None:
        with self._lock:
            self._faults.pop(_name(name), None)

    def asked(self, name: str, kind: str = "") -> int:
        """How often it was asked for a name: of one type, or of any."""
        wanted = _text(_name(name))
        with self._lock:
            return sum(n for (at, type_), n in self.queries.items() if at == wanted and kind in {"", type_})

    # ---- answers

    def answer(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """The answer to one question; None: stay silent."""
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, ValueError, IndexError):
            return None
        response = dns.message.make_response(query)
        if query.opcode() != dns.opcode.QUERY or question.rdclass != dns.rdataclass.IN:
            response.set_rcode(dns.rcode.NOTIMP)
            return response.to_wire()
        name = question.name.canonicalize()
        with self._lock:
            self.queries[_text(name), dns.rdatatype.to_text(question.rdtype)] += 1
            self.tcp_queries += tcp
            fault = self._faults.get(name)
            if fault is Fault.SILENT:
                return None
            if fault is Fault.SERVFAIL:
                response.set_rcode(dns.rcode.SERVFAIL)
            else:
                self._fill(response, name, question.rdtype)
        return _wire(response, tcp=tcp, truncate=fault is Fault.TRUNCATE and not tcp)

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> None:
        response.flags |= dns.flags.AA | dns.flags.RA
        for _hop in range(CNAMES_MAX):
            records = self._names.get(name)
            if records is None:
                if not any(known.is_subdomain(name) for known in self._names):
                    response.set_rcode(dns.rcode.NXDOMAIN)
                break
            alias = records.get(dns.rdatatype.CNAME)
            if alias and rdtype != dns.rdatatype.CNAME:
                response.answer.append(dns.rrset.from_rdata(name, self.ttl, *alias))
                name = alias[0].target.canonicalize()  # type: ignore[attr-defined]
                continue
            if found := records.get(rdtype):
                response.answer.append(dns.rrset.from_rdata(name, self.ttl, *found))
                return
            break
        for at in _and_parents(name):
            if soa := self._names.get(at, {}).get(dns.rdatatype.SOA):
                response.authority.append(dns.rrset.from_rdata(at, self.ttl, *soa))
                return

    # ---- the server

    async def listen(self) -> None:
        """UDP and TCP on the same port. OSError when it is taken."""
        loop = asyncio.get_running_loop()
        for left in reversed(range(_PORT_TRIES)):
            udp, _ = await loop.create_datagram_endpoint(
                lambda: _Udp(self), local_addr=(self.host, self.port)
            )
            port = udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await asyncio.start_server(self._serve_tcp, self.host, port)
            except OSError:  # somebody else's TCP port: with a free choice, another number
                udp.close()
                if self.port or not left:
                    raise
                continue
            self._udp, self.port = udp, port
            return

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                answer = self.answer(await reader.readexactly(length), tcp=True)
                if answer is not None:
                    writer.write(struct.pack("!H", len(answer)) + answer)
                    await writer.drain()
        writer.close()

    async def begin(self) -> None:
        await self.listen()

    def end(self) -> None:
        self._udp.close()
        self._tcp.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if (answer := self.server.answer(data, tcp=False)) is not None:
            self.transport.sendto(answer, addr)


def _name(text: str) -> dns.name.Name:
    with contextlib.suppress(ValueError):
        return dns.reversename.from_address(str(ipaddress.ip_address(text))).canonicalize()
    return _host(text)


def _host(text: str) -> dns.name.Name:
    return dns.name.from_text(text, idna_codec=dns.name.IDNA_2008).canonicalize()


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _and_parents(name: dns.name.Name) -> Iterable[dns.name.Name]:
    while name != dns.name.root:
        yield name
        name = name.parent()


def _rdata(rdtype: dns.rdatatype.RdataType, value: Value) -> dns.rdata.Rdata:
    if rdtype == dns.rdatatype.TXT:
        if isinstance(value, str):
            raw = value.encode()
            strings = [raw[at : at + STRING_MAX] for at in range(0, len(raw), STRING_MAX)] or [b""]
        else:
            strings = [str(part).encode() for part in value]
        return TXT(dns.rdataclass.IN, rdtype, strings)
    if rdtype == dns.rdatatype.MX:
        preference, host = value
        return _parsed(rdtype, f"{preference} {_host(str(host) or '.')}")
    if rdtype in {dns.rdatatype.CNAME, dns.rdatatype.PTR, dns.rdatatype.NS}:
        return _parsed(rdtype, str(_host(str(value))))
    return _parsed(rdtype, str(value))


def _parsed(rdtype: dns.rdatatype.RdataType, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, rdtype, text, origin=dns.name.root, relativize=False)


def _wire(response: dns.message.Message, *, tcp: bool, truncate: bool) -> bytes:
    room = 65535 if tcp else max(response.request_payload or 0, 512)
    if not truncate:
        with contextlib.suppress(dns.exception.TooBig):
            return response.to_wire(max_size=room)
    response.answer, response.authority = [], []
    response.flags |= dns.flags.TC
    return response.to_wire()

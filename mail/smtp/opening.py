"""Connecting: from a given source IP, and with encryption that is better than none."""

import asyncio
import socket
import ssl
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Literal

CONNECT_TIMEOUT = 30.0

Tls = Literal["opportunistic", "required", "never"]


async def connect(address: str, port: int, *, source: str = "") -> socket.socket:
    """A non-blocking socket. `address` is an IP, or the name of a relay: then its addresses in turn, of the family of
    `source` if one is given. Raises OSError."""
    family = 0 if not source else socket.AF_INET6 if ":" in source else socket.AF_INET
    loop = asyncio.get_running_loop()
    problem: OSError | None = None
    for kind, target in await _targets(address, port, family):
        sock = socket.socket(kind, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source:
                sock.bind((source, 0))
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.sock_connect(sock, target)
            return sock
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
    raise problem or OSError(f"no address for {address}")


async def _targets(address: str, port: int, family: int) -> list[tuple[int, Any]]:
    try:
        kind = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        if family in (0, kind):
            return [(kind, (address, port))]
    except ValueError:  # a name
        pass
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address, port, family=family, type=socket.SOCK_STREAM)
    return [(one[0], one[4]) for one in found]


@lru_cache(1)
def unchecked_tls() -> ssl.SSLContext:
    """Encrypts without asking for a certificate: a name from unsigned DNS would prove nothing (RFC 7435)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

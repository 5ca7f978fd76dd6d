"""Whose request is it: for the protection against guessing passwords, the audit log and consent evidence."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str | None:
    """The client's address. Without a proxy it is the peer's. With SMP_BEHIND_PROXY=1 it is the last entry of
    X-Forwarded-For: the one our own proxy appended; everything before it was written by the client and proves nothing."""
    candidate = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_PROXY and (forwarded := request.META.get("HTTP_X_FORWARDED_FOR", "")):
        candidate = forwarded.rsplit(",", 1)[-1].strip()
    try:
        return str(ipaddress.ip_address(candidate))
    except ValueError:
        return None


def neighbourhood(ip: str | None) -> str:
    """What floods are counted by: an IPv4 address, or the /64 that one customer has of IPv6, with more addresses than could
    ever be counted one by one. "" when it is unknown."""
    if ip is None:
        return ""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv4Address):
        return ip
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))

"""What a request says of the program that made it (TRK-4). The lists of words that pages share with mails (crawlers, link
scanners, image proxies, fetching ahead) stand in smp/lib/machines.py; here is what only hits of mails need.

Everything here reads hostile text and never raises.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from smp.lib.machines import LONGEST_AGENT, image_proxy, purpose, scans

# Libraries by which programs fetch pages: the first word of their agent, as their documentation gives it.
LIBRARIES = (
    "curl", "wget", "python", "aiohttp", "httpx", "go-http-client", "java", "apache-httpclient", "libwww-perl", "ruby",
    "node", "node-fetch", "axios", "undici", "php", "guzzlehttp", "powershell", "postmanruntime", "scrapy", "faraday",
)  # fmt: skip
# Apps for phones and Macs fetch a mail's images by these: a person's open, but never a page that a person looks at.
APP_LIBRARIES = ("okhttp", "dalvik", "cfnetwork")
# Browsers without a window: a program drives them.
HEADLESS = ("headlesschrome", "phantomjs", "slimerjs", "puppeteer", "playwright", "selenium")

# Gmail fetches some images ahead, when it tells a phone or a browser of a new mail, under the name of a browser of 2015
# with one word too many behind it (seen by many: github.com/ankane/ahoy_email, issue 139).
_GMAIL_AHEAD = re.compile(r"Chrome/42\.0\.2311\.135 Safari/537\.36 Edge/12\.246 Mozilla/5\.0\s*$")
_BARE = re.compile(r"Mozilla/[45]\.0")  # the whole agent
_LIBRARY = re.compile(rf"\s*(?:{'|'.join(map(re.escape, LIBRARIES))})(?:[/\s._-]|$)", re.IGNORECASE)

APPLE = ip_network("17.0.0.0/8")  # IANA's registry of IPv4: assigned to Apple, the whole of it
GOOGLEBOT = ip_network("66.249.64.0/20")  # Google's published list of its crawler's addresses
HINT_LENGTH = 100


@dataclass(frozen=True)
class Agent:
    """What a user agent says of itself."""

    empty: bool
    bare: bool  # nothing but "Mozilla/5.0"
    scanner: bool
    library: bool
    app_library: bool
    headless: bool
    gmail_ahead: bool
    proxy: str  # of smp.lib.machines.IMAGE_PROXIES, or ""


@lru_cache(maxsize=4096)
def read_agent(text: str) -> Agent:
    text = text[:LONGEST_AGENT].strip()
    lower = text.lower()
    return Agent(
        empty=not text,
        bare=_BARE.fullmatch(text) is not None,
        scanner=scans(text),
        library=_LIBRARY.match(text) is not None,
        app_library=any(word in lower for word in APP_LIBRARIES),
        headless=any(word in lower for word in HEADLESS),
        gmail_ahead=_GMAIL_AHEAD.search(text) is not None,
        proxy=image_proxy(text),
    )


def read_address(text: str | None) -> IPv4Address | IPv6Address | None:
    """None: nothing, or nothing that is an address. An IPv4 address written as IPv6 is the IPv4 address."""
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def hints_of(method: str, header: Callable[[str], str | None]) -> dict[str, str]:
    """How it was asked, as MailHit.hints and PageView.hints keep it; empty ones left out. `header` answers a header by
    its name. Fetch metadata (dest, mode) is sent by all browsers of today; what is left out says nothing."""
    said = {
        "method": "" if method == "GET" else method,
        "purpose": purpose(header),
        "dest": header("Sec-Fetch-Dest") or "",
        "mode": header("Sec-Fetch-Mode") or "",
        "accept": header("Accept") or "",
    }
    return {key: value.replace("\0", "")[:HINT_LENGTH] for key, value in said.items() if value}


def hint(hints: Mapping[str, object], key: str) -> str:
    """A stored hint in small letters, "" if there is none."""
    value = hints.get(key) if isinstance(hints, Mapping) else None
    return value.lower() if isinstance(value, str) else ""

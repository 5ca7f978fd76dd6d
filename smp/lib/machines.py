"""Whether a page is opened by a person or by a machine: crawlers, link scanners of mail systems, previews of chats, and
browsers that fetch ahead. For what happens by itself when a person opens a link (TKT-3): a machine taken for a person costs
a mail, a person taken for a machine presses a button. Who wants to be taken for a person is: nothing here protects anything.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from django.http import HttpRequest
from ua_parser import parse

# Header → what it says when a browser fetches ahead, or draws a page that nobody looks at yet.
FETCHED_AHEAD = {
    "Sec-Purpose": ("prefetch", "prerender", "preview"),  # Chromium, Firefox, Safari (Fetch standard)
    "Purpose": ("prefetch", "prerender", "preview"),  # older Chromium
    "X-Purpose": ("prefetch", "preview", "instant"),  # Safari's top sites
    "X-Moz": ("prefetch",),  # older Firefox
}

# Fetch a mail's images for the person who reads it (tracking/judge.py). They never open a page for anybody.
IMAGE_PROXIES = ("googleimageproxy", "yahoomailproxy")

# Beside the crawlers that ua-parser knows ("Spider"): what opens links of mails and chats. Words of the user agent.
SCANNERS = (
    "bot", "crawl", "spider", "scanner", "preview", "prefetch", "slurp", "fetcher", "urlcheck", "linkcheck", "validator",
    "barracuda", "proofpoint", "mimecast", "ironport", "cloudmark", "messagelabs", "symantec", "trendmicro", "trend micro",
    "sophos", "fortiguard", "fortimail", "bitdefender", "kaspersky", "mcafee", "fireeye", "trellix", "zscaler", "forcepoint",
    "safelinks", "safebrowsing", "virustotal", "urlscan", "phish", "google-safety",
    "feedfetcher", "hatena", "line-poker", "snapchat", "skypeuripreview", "microsoft office existence", "bingpreview",
    "archiver", "wayback",
)  # fmt: skip
# "Cubot" builds phones.
_SCANNER = re.compile("|".join("(?<!cu)bot" if word == "bot" else re.escape(word) for word in SCANNERS))
LONGEST_AGENT = 1000


def opened_by_person(request: HttpRequest) -> bool:
    """A GET of a browser for a page that somebody will look at now."""
    return request.method == "GET" and not fetched_ahead(request) and not is_machine(request)


def fetched_ahead(request: HttpRequest) -> bool:
    if purpose(request.headers.get):
        return True
    # Fetch metadata: a page that a person opens is the document of a navigation, not an image, a frame or a script's fetch.
    return (
        request.headers.get("Sec-Fetch-Dest", "document") != "document"
        or request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    )


def purpose(header: Callable[[str], str | None]) -> str:
    """The word by which the headers say that nobody looks at this yet ("prefetch", "prerender" …), or "". `header`
    answers a request's header by its name."""
    for name, words in FETCHED_AHEAD.items():
        said = (header(name) or "").lower()
        for word in words:
            if word in said:
                return word
    return ""


def is_machine(request: HttpRequest) -> bool:
    agent = request.headers.get("User-Agent", "")
    return not agent.strip() or scans(agent) or image_proxy(agent) != ""


@lru_cache(maxsize=4096)
def scans(agent: str) -> bool:
    """Whether a user agent names itself a crawler, a link scanner or a preview."""
    agent = agent[:LONGEST_AGENT]
    if image_proxy(agent):
        return False
    if _SCANNER.search(agent.lower()):
        return True
    device = parse(agent.encode("utf-8", "replace").decode()).device  # the parser cannot read half characters
    return device is not None and device.family == "Spider"


def image_proxy(agent: str) -> str:
    """The image proxy of a mail service that a user agent names, as in IMAGE_PROXIES, or ""."""
    agent = agent[:LONGEST_AGENT].lower()
    return next((word for word in IMAGE_PROXIES if word in agent), "")

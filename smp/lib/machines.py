"""Whether a page is opened by a person or by a machine: crawlers, link scanners of mail systems, previews of chats, and
browsers that fetch ahead. For what happens by itself when a person opens a link (TKT-3): a machine taken for a person costs
a mail, a person taken for a machine presses a button. Who wants to be taken for a person is: nothing here protects anything.
"""

import re

from django.http import HttpRequest
from ua_parser import parse

# Header → what it says when a browser fetches ahead, or draws a page that nobody looks at yet.
FETCHED_AHEAD = {
    "Sec-Purpose": ("prefetch", "prerender", "preview"),  # Chromium, Firefox, Safari (Fetch standard)
    "Purpose": ("prefetch", "prerender", "preview"),  # older Chromium
    "X-Purpose": ("prefetch", "preview", "instant"),  # Safari's top sites
    "X-Moz": ("prefetch",),  # older Firefox
}

# Beside the crawlers that ua-parser knows ("Spider"): what opens links of mails and chats. Words of the user agent.
SCANNERS = (
    "bot", "crawl", "spider", "scanner", "preview", "prefetch", "slurp", "fetcher", "urlcheck", "linkcheck", "validator",
    "barracuda", "proofpoint", "mimecast", "ironport", "cloudmark", "messagelabs", "symantec", "trendmicro", "trend micro",
    "sophos", "fortiguard", "fortimail", "bitdefender", "kaspersky", "mcafee", "fireeye", "trellix", "zscaler", "forcepoint",
    "safelinks", "safebrowsing", "virustotal", "urlscan", "phish", "googleimageproxy", "yahoomailproxy", "google-safety",
    "feedfetcher", "hatena", "line-poker", "snapchat", "skypeuripreview", "microsoft office existence", "bingpreview",
    "archiver", "wayback",
)  # fmt: skip
_SCANNER = re.compile("|".join(map(re.escape, SCANNERS)))
LONGEST_AGENT = 1000


def opened_by_person(request: HttpRequest) -> bool:
    """A GET of a browser for a page that somebody will look at now."""
    return request.method == "GET" and not fetched_ahead(request) and not is_machine(request)


def fetched_ahead(request: HttpRequest) -> bool:
    for header, words in FETCHED_AHEAD.items():
        said = request.headers.get(header, "").lower()
        if any(word in said for word in words):
            return True
    # Fetch metadata: a page that a person opens is the document of a navigation, not an image, a frame or a script's fetch.
    return (
        request.headers.get("Sec-Fetch-Dest", "document") != "document"
        or request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    )


def is_machine(request: HttpRequest) -> bool:
    agent = request.headers.get("User-Agent", "")[:LONGEST_AGENT]
    if not agent.strip() or _SCANNER.search(agent.lower()):
        return True
    device = parse(agent).device
    return device is not None and device.family == "Spider"

"""Person or machine: every rule in one place (TRK-4). Pure: facts in, judgement out, the same every time.

Facts are kept, judgements are made: a change of a rule here (with RULES_VERSION one up) and `manage.py judge_hits` judge
everything stored anew. A hit is a person's unless a rule says otherwise: what is asked for in the name of a browser, some
seconds after the mail, looks like a person, and may still be a scanner that hides. Rates say so.

**Gmail and Yahoo.** Their image proxies hide who reads, not whether: the image is asked for when the mail is opened (leaving
them out lost every open of Gmail elsewhere: github.com/mautic/mautic, issue 16069). So a proxied open is a person's, with the
proxy as evidence. Where Gmail does fetch ahead it gives itself another name (`gmail_ahead`) or is too soon.
**Apple.** Mail Privacy Protection fetches every image of every mail, whether it is read or not, and the reading itself is
never seen. So its opens say nothing, and are left out.
**Networks.** Only two blocks whose owner and use are published. The makers of scanners themselves say that lists of their
addresses do not hold (Barracuda: "no longer the case"), and people sit behind the same addresses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tracking.agents import APPLE, GOOGLEBOT, Agent, hint, read_address, read_agent

RULES_VERSION = 1

PERSON, MACHINE = "person", "machine"  # tracking.models.Verdict
OPEN, CLICK, VIEW = "open", "click", "view"

# Nobody reads and clicks within these seconds after the sending, which is the moment just before the final dot: a server
# that looks into the mail while it takes it comes then. A few seconds before it are clocks of hosts that differ; what lies
# further back belongs to an earlier attempt of the same mail, and says nothing.
SOONEST = {OPEN: 1, CLICK: 3}
CLOCKS_APART = 30

# So many different links of one mail, each within so many seconds of this click: a scanner trying them all. From whatever
# addresses, because scanners use several. The first and last click of a hasty person still count.
BURST_LINKS = 3
BURST_SECONDS = 2


@dataclass(frozen=True)
class Facts:
    """What is known of a hit; hostile text, as it came."""

    kind: str  # open, click, view
    at: datetime
    seconds: int | None  # from Delivery.sent_at to `at`, rounded down; None: unknown, or no mail
    ip: str | None
    agent: str
    hints: Mapping[str, object] = field(default_factory=dict)  # tracking.agents.hints_of
    burst: int = 1  # clicks: tracking.bursts.counts


@dataclass(frozen=True)
class Judgement:
    verdict: str  # PERSON or MACHINE
    evidence: list[str]  # codes of EVIDENCE, in the order of RULES


@dataclass(frozen=True)
class Rule:
    code: str
    text: str | Promise
    applies: Callable[[Facts, Agent], bool]
    kinds: tuple[str, ...] = (OPEN, CLICK, VIEW)
    verdict: str = MACHINE  # PERSON: only a remark


def _in(network: IPv4Network | IPv6Network) -> Callable[[Facts, Agent], bool]:
    def applies(facts: Facts, agent: Agent) -> bool:
        address = read_address(facts.ip)
        return address is not None and address in network

    return applies


def _too_soon(facts: Facts, agent: Agent) -> bool:
    return facts.seconds is not None and -CLOCKS_APART <= facts.seconds < SOONEST[facts.kind]


def _not_a_page(facts: Facts, agent: Agent) -> bool:
    """Every browser asks for the page of a link as a document, and takes HTML (Fetch standard; Sec-Fetch-Dest, Accept)."""
    accept = hint(facts.hints, "accept")
    return (
        hint(facts.hints, "dest") not in ("", "document")
        or hint(facts.hints, "mode") not in ("", "navigate")
        or (accept != "" and "html" not in accept)
    )


RULES = (
    # RFC 9110 9.3.2: asks for the headers only. No browser does it to show something.
    Rule("head", _("Only the headers were asked for (HEAD), not the content."), lambda f, a: hint(f.hints, "method") == "head"),
    # Fetch standard, Sec-Purpose; older: Purpose, X-Purpose, X-Moz.
    Rule("prefetch", _("The browser said that it fetches ahead; nobody was looking at it."), lambda f, a: hint(f.hints, "purpose") != ""),
    # RFC 9110 10.1.5: every program should name itself, and every browser does. SafeLinks is known to leave it out.
    Rule("no_agent", _("The program did not say what it is. Every browser and mail program does."), lambda f, a: a.empty),
    # smp/lib/machines.py: crawlers (ua-parser) and the names that scanners and previews give themselves.
    Rule("scanner", _("The program names itself as a link scanner, preview or crawler."), lambda f, a: a.scanner),
    Rule("library", _("The program is a library for programs (curl, Python …), not a browser or mail program."), lambda f, a: a.library),
    Rule("app_library", _("The page was fetched by an app itself, without a browser."), lambda f, a: a.app_library, (CLICK, VIEW)),
    Rule("headless", _("A browser without a window, driven by a program."), lambda f, a: a.headless),
    # help.socketlabs.com, wordtothewise.com 2021/09: the agent is exactly this, the addresses are those of relays.
    Rule("apple_privacy", _("Apple Mail's privacy protection fetches every image of every mail, read or not."), lambda f, a: a.bare, (OPEN,)),
    Rule("apple_network", _("The image was fetched by Apple's own network, as its privacy protection does."), _in(APPLE), (OPEN,)),
    Rule("bare_agent", _("The program calls itself “Mozilla/5.0” and nothing else, as no browser does."), lambda f, a: a.bare, (CLICK, VIEW)),
    Rule("gmail_ahead", _("Gmail fetched the image ahead, to announce the mail."), lambda f, a: a.gmail_ahead, (OPEN,)),
    # The proxy fetches images. A link that it asks for stood somewhere as an image.
    Rule("proxy_page", _("An image proxy asked for the link; it opens no page for anybody."), lambda f, a: a.proxy != "", (CLICK, VIEW)),
    # developers.google.com, googlebot.json: only crawlers live there.
    Rule("crawler_network", _("The address belongs to Google's crawlers."), _in(GOOGLEBOT), (CLICK, VIEW)),
    Rule("not_a_page", _("The link was fetched in the background, not opened as a page."), _not_a_page, (CLICK,)),
    Rule("too_soon", _("It came sooner after the sending than a person can."), _too_soon, (OPEN, CLICK)),
    Rule("burst", _("Several links of the same mail were opened at the same time."), lambda f, a: f.burst >= BURST_LINKS, (CLICK,)),
    Rule("via_google", _("Opened by way of Gmail's image proxy, which fetches the image when the mail is opened."),
         lambda f, a: a.proxy == "googleimageproxy", (OPEN,), PERSON),
    Rule("via_yahoo", _("Opened by way of Yahoo's image proxy, which fetches the image when the mail is opened."),
         lambda f, a: a.proxy == "yahoomailproxy", (OPEN,), PERSON),
)  # fmt: skip

EVIDENCE: dict[str, str | Promise] = {rule.code: rule.text for rule in RULES}


def judge(facts: Facts) -> Judgement:
    """A machine as soon as one rule says so; the evidence names every rule that applies."""
    agent = read_agent(facts.agent)
    found = [rule for rule in RULES if facts.kind in rule.kinds and rule.applies(facts, agent)]
    machine = any(rule.verdict == MACHINE for rule in found)
    return Judgement(MACHINE if machine else PERSON, [rule.code for rule in found])

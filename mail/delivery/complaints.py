"""What a server's answer says about our speed or our address, as opposed to the mail or the mailbox (RATE-1).

A complaint slows the site × source; everything else (no such mailbox, mailbox full, greylisting, a receiver's own
limit of mails per connection) does not.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from mail.smtp.replies import Reply

WAIT_MAX = 6 * 3600
_MINUTE, _HOUR = 60, 3600


class Kind(StrEnum):
    RATE = "rate"
    CONNECTIONS = "connections"
    STOP = "stop"  # our address is blocked there


@dataclass(frozen=True)
class Complaint:
    kind: Kind
    seconds: int  # nothing is sent for so long; 0: only slower
    why: str


# Of the mail or its reader, whatever else the words are.
_OF_THE_MAIL = re.compile(
    r"gr[ae]y-?\s?list|postgrey|receiving mail (?:at a rate|too)|over ?quota|mailbox (?:is )?full|insufficient storage"
    r"|messages? per connection|per session|\bidle\b|time(?:d)?[ -]?out|\bDBL\b|\bURIBL\b|\bSURBL\b|\burls?\b|\blinks? (?:in|within)",
    re.IGNORECASE,
)

# Words that mean that the sending address itself is blocked, and for how long nothing more is tried from it.
_BLOCKS = [
    (re.compile(pattern, re.IGNORECASE), seconds)
    for pattern, seconds in (
        (r"\[(?:IP)?TSS04\]|\bTSS04\b|\[IPTS04\]", 2 * _HOUR),  # Yahoo
        (r"\bTSS05\b", 4 * _HOUR),
        (r"\bTS0[123]\b", 4 * _HOUR),
        (r"\[BL2\d\]", 12 * _HOUR),
        (r"\bVS98-IP\d*", _HOUR),  # Yahoo! JAPAN
        (r"\[?(?:HCM1|BS02|HM08|CS01)\b", 15 * _MINUTE),  # iCloud
        (r"\bS31[45]0\b|banned sending IP|\b5\.7\.(?:60[6-9]|6[1-4]\d)\b", 4 * _HOUR),  # Microsoft
        (r"originating from your IP address.{0,120}temporarily\s+blocked", 30 * _MINUTE),  # Google
        (r"\bspamhaus\b|\bspamcop\b|\bbarracudacentral\b|\bsorbs\b|\bDNSBL\b|\bRBL\b|\bblock ?list|\bblack ?list", 2 * _HOUR),
        (r"(?:your|this) (?:ip|server|host)[^.]{0,40}(?:blocked|blacklisted|banned)", _HOUR),
    )
]  # fmt: skip

_CONNECTIONS = re.compile(
    r"too many (?:\w+ ){0,2}(?:connections?|sessions?)|(?:connections?|concurrency|session) (?:rate )?limit|concurrent \w* ?connections"
    r"|maximum number of (?:concurrent )?\w* ?connections|simultaneous connections|同時接続",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"rate[ -]?limit|too many (?:\w+ ){0,2}(?:messages?|mails?|emails?|recipients?|requests?|deliveries)|too (?:fast|quickly|frequent)"
    r"|throttl|temporarily deferred|server (?:is )?(?:too )?busy|system (?:is )?busy|resources? temporarily unavailable"
    r"|unusual (?:rate|volume|amount|traffic)|unexpected volume|sending rate|traffic limit|流量|送信(?:通数|数)制限",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"(?:again|retry|back|wait)\W+(?:\w+\W+){0,2}?(\d{1,5})\s*(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)\b"
    r"|(\d{1,5})\s*(秒|分|時間)(?:後|以上|ほど)",
    re.IGNORECASE,
)  # fmt: skip


def complaint_of(reply: Reply) -> Complaint | None:
    """None: no complaint about us. A 5xx is one only if it says that our address is blocked."""
    if not 400 <= reply.code < 600:
        return None
    text = " ".join(reply.text.split())
    if _OF_THE_MAIL.search(text):
        return None
    for pattern, seconds in _BLOCKS:
        if pattern.search(text):
            return Complaint(Kind.STOP, max(seconds, _wait(text)), reply.words)
    subject = reply.enhanced.split(".")[1] if reply.enhanced else ""
    if reply.code >= 500 or subject in {"1", "2"}:  # X.1.X addresses, X.2.X mailboxes
        return None
    if _CONNECTIONS.search(text):
        return Complaint(Kind.CONNECTIONS, _wait(text), reply.words)
    if _RATE.search(text):
        return Complaint(Kind.RATE, _wait(text), reply.words)
    if reply.closing:  # 421 for whatever reason: fewer connections
        return Complaint(Kind.CONNECTIONS, _wait(text), reply.words)
    return None


def _wait(text: str) -> int:
    """ "try again in 5 minutes": 300."""
    match = _WAIT.search(text)
    if not match:
        return 0
    number, unit = int(match[1] or match[3]), (match[2] or match[4]).lower()
    size = 1 if unit[0] in "s秒" else _MINUTE if unit[0] in "m分" else _HOUR
    return min(number * size, WAIT_MAX)

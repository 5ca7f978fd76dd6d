"""ERR-5: why a mail failed. One place for answers of a session and for reports that come later.

Asked in this order: the server's own words (mail/bounces/words.py), the enhanced status (RFC 3463), the reply code.
Hard are only: no such mailbox, no such host, moved, the host accepts no mail. And only when the server says so for good:
a 4xx is never hard, whatever its words.

Decisions worth knowing:
- Sender, HELO, PTR, relaying, SPF/DKIM/DMARC, blocklists, reputation and rate limits are `ours`, 4xx or 5xx: they say
  nothing about the lead, and never count against it. So is everything refused for good before RCPT (stage connect or
  mail): at that point the server knows nothing of the address. Spam and policy verdicts about one mail are `refused`.
- A *disabled, suspended or inactive* mailbox (5.2.1) is `other`, soft: RFC 3463 X.2.1 says that the mailbox exists, and
  unpaid bills, long absences and locked accounts end. A really dead one falls to FLAG-1 after three mails.
- docomo and au answer "unknown user" at RCPT when there is none, and the same words after DATA when the user's own filter
  refuses: there it is `refused`, never hard. Other providers (Yahoo) do say it after DATA and mean it.
- `size` is about the mail: it does not count against the lead either.
"""

import re
import unicodedata

from mail.bounces.words import GROUPS
from mail.models.delivery import Cause

TEXT_MAX = 1500

HARD = frozenset({Cause.NO_MAILBOX, Cause.NO_HOST, Cause.MOVED, Cause.NOT_ACCEPTED})
_NOT_THE_LEADS = frozenset({Cause.OURS, Cause.SIZE})


def is_hard(cause: Cause | str) -> bool:
    """The address will never work: no such mailbox, no such host, moved, the host accepts no mail."""
    return cause in HARD


def counts_against_lead(cause: Cause | str) -> bool:
    """Whether a failure may count in FLAG-1's row: what is our own fault, or the mail's size, never does."""
    return cause not in _NOT_THE_LEADS


def cause_of(code: int, enhanced: str, text: str, *, stage: str, domain: str = "") -> Cause:
    """`code`: the SMTP reply, 0 if there is none (then one inside the text counts). `enhanced`: "5.1.1" or "".
    `stage`: connect, mail, rcpt, data, or report (a mail that came later; then words like "in reply to end of DATA"
    tell the real stage). `domain`: the receiver's, if known: for carriers that mean another thing after DATA."""
    words = _fold(text)
    code = code if 400 <= code <= 599 else _code_in(words)
    enhanced = enhanced or _enhanced_in(words)
    if stage == "report":
        stage = _stage_in(words)
    passing = 400 <= code < 500 or (not code and enhanced.startswith("4."))
    cause = _by_words(code, enhanced, words, stage) or _by_enhanced(enhanced) or _by_code(code, stage)
    if stage in {"connect", "mail"}:
        return _before_rcpt(cause, code, passing=passing)
    if cause == Cause.NO_MAILBOX and stage == "data" and _is_carrier(domain, text):
        return Cause.REFUSED
    if passing and cause in HARD:
        return Cause.TEMPORARY
    if passing and cause == Cause.OTHER:
        return Cause.TEMPORARY
    return cause


# ---- the server's words

# Said by one provider only; looked at before everything else.
_SAYINGS: tuple[tuple[Cause, str], ...] = (
    (Cause.TEMPORARY, r"receiving mail (?:at a rate|too quickly)|receivingrate"),
    (Cause.TEMPORARY, r"not found, try again"),
    # Exchange Online's way to say that there is no such recipient (directory-based edge blocking)
    (Cause.NO_MAILBOX, r"5\.4\.1 .{0,40}recipient address rejected: access denied|p=nosuchuser|answer=6596"),
    (Cause.FULL, r"p=overquota|p=over ?quota|answer=6558"),
    (Cause.OTHER, r"p=disableduser|mailbox is disabled|account has been (?:disabled|suspended)"),
    (Cause.SIZE, r"message size limits|exceeds size limit|size limit exceeded"),
    (
        Cause.OURS,
        r"unsolicitedratelimit|unsolicitedip|sendermustauthenticate|mail/answer/81126|p=unauthenticated",
    ),
    (Cause.REFUSED, r"content and/or the links|p=unsolicitedmessageerror|policy restrictions"),
)
_SAID = tuple((cause, re.compile(pattern)) for cause, pattern in _SAYINGS)
# Words of these kinds are about this mail or this address, so a status of another kind does not contradict them.
_STRONG_STATUS = {"5.2.2": Cause.FULL, "4.2.2": Cause.FULL, "5.3.4": Cause.SIZE, "5.2.3": Cause.SIZE}


def _by_words(code: int, enhanced: str, words: str, stage: str) -> Cause | None:
    for cause, said in _SAID:
        if said.search(f"{enhanced} {words}"):
            return cause
    for name, cause, pattern in GROUPS:
        if name in {"spam", "weak"} and enhanced in _STRONG_STATUS:
            return _STRONG_STATUS[enhanced]
        if pattern.search(words) and not (name == "sender" and enhanced in _ABOUT_THE_ADDRESS):
            return cause
    return None


def _fold(text: str) -> str:
    """One lower-case line, compatibility forms folded, addresses as `@`, the marks of continued replies taken out."""
    text = unicodedata.normalize("NFKC", text[: TEXT_MAX * 2]).lower()
    text = re.sub(r"[a-z0-9_.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z0-9_.\[\]-]{1,255}", "@", text)
    text = re.sub(r"\\r\\n|[\r\n]+ ?([245]\d\d)[- ]", " ", text).replace("`", "'").replace("’", "'")
    return " ".join(text.split())[:TEXT_MAX]


_CODE = re.compile(r"(?<![\d.#:/-])([45]\d\d)(?=[ \-]|$)(?! ?(?:bytes|kb|mb|hours|days|sec|min))")
_STATUS = re.compile(r"(?<![\d.])([45])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


def _code_in(words: str) -> int:
    match = re.search(
        r"(?:said|reply|replied|responded|response|smtp|reason|error|<<<|was|status)\W{0,6}([45]\d\d)\b",
        words,
    )
    match = match or _CODE.search(words)
    return int(match[1]) if match else 0


def _enhanced_in(words: str) -> str:
    match = _STATUS.search(words)
    return match[0] if match else ""


def _stage_in(words: str) -> str:
    if re.search(
        r"reply to (?:end of )?data|after (?:end of |pipelined )?data|>>> (?:data|\.)|following data|\[(?:data|eod|dot)\]|end of data",
        words,
    ):
        return "data"
    if re.search(r"reply to mail from|after (?:pipelined )?mail from|>>> mail from|following mail", words):
        return "mail"
    if re.search(
        r"reply to (?:helo|ehlo)|after initial connection|>>> (?:helo|ehlo)|reply to initial server greeting",
        words,
    ):
        return "connect"
    return "report"


_CARRIERS = re.compile(
    r"(?:^|[@.])(?:docomo\.ne\.jp|docomo-mail\.ne\.jp|ezweb\.ne\.jp|au\.com|auone-net\.jp)\b"
)


def _is_carrier(domain: str, text: str) -> bool:
    return bool(_CARRIERS.search(domain.lower()) or _CARRIERS.search(text[:TEXT_MAX].lower()))


# ---- the enhanced status

_ABOUT_THE_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.2.2", "4.2.2"})
_BY_STATUS = {
    "1.0": Cause.NO_MAILBOX,
    "1.1": Cause.NO_MAILBOX,
    "1.2": Cause.NO_HOST,
    "1.3": Cause.NO_MAILBOX,
    "1.6": Cause.MOVED,
    "1.7": Cause.OURS,
    "1.8": Cause.OURS,
    "1.10": Cause.NOT_ACCEPTED,
    "2.2": Cause.FULL,
    "2.3": Cause.SIZE,
    "3.1": Cause.TEMPORARY,
    "3.2": Cause.NOT_ACCEPTED,
    "3.4": Cause.SIZE,
    "3.5": Cause.TEMPORARY,
    "4.4": Cause.NO_HOST,
    "4.310": Cause.NO_HOST,
    "5.1": Cause.OURS,
    "5.2": Cause.OURS,
    "5.3": Cause.OURS,
    "5.4": Cause.OURS,
}
# RFC 7372, RFC 7505 and what Google and Microsoft registered or use: authentication, PTR, banned or slowed senders
_OURS_7 = frozenset(
    {8, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 57, 64, 505, 506, 508, 509, 510, 511, 512, 515}
)


def _by_enhanced(enhanced: str) -> Cause | None:
    match = _STATUS.fullmatch(enhanced)
    if not match:
        return None
    kind, subject, detail = match[1], int(match[2]), int(match[3])
    cause = _BY_STATUS.get(f"{subject}.{detail}")
    if cause is not None:
        return cause
    if subject == 7:
        ours = detail in _OURS_7 or 600 <= detail <= 799
        return Cause.OURS if ours else Cause.REFUSED if kind == "5" else Cause.TEMPORARY
    if subject == 6:
        return Cause.REFUSED
    if subject == 4 or kind == "4":
        return Cause.TEMPORARY
    return None


# ---- the code


def _by_code(code: int, stage: str) -> Cause:
    if 400 <= code < 500:
        return Cause.FULL if code == 452 and stage == "data" else Cause.TEMPORARY
    return {
        500: Cause.OURS,
        502: Cause.OURS,
        503: Cause.OURS,
        504: Cause.OURS,
        521: Cause.NOT_ACCEPTED,
        523: Cause.SIZE,
        530: Cause.OURS,
        535: Cause.OURS,
        551: Cause.MOVED,
        552: Cause.SIZE if stage == "mail" else Cause.FULL,
        553: Cause.NO_MAILBOX,
        555: Cause.OURS,
        556: Cause.NOT_ACCEPTED,
    }.get(code, Cause.OTHER)


def _before_rcpt(cause: Cause, code: int, *, passing: bool) -> Cause:
    """No recipient was named yet, so nothing said there is about a mailbox."""
    if cause == Cause.OURS:
        return cause
    if passing:
        return Cause.TEMPORARY
    if cause in {Cause.NO_HOST, Cause.NOT_ACCEPTED, Cause.SIZE, Cause.TEMPORARY}:
        return cause
    return Cause.OURS if code else Cause.TEMPORARY

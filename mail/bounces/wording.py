"""Reports that follow no standard: the failed addresses and their reasons in what servers write for people.

The forms of qmail, Exim, Postfix, Sendmail, Exchange, Notes, GroupWise, Courier, carriers and many others share a few
shapes: an address at the head of a line, or after a label, and the reason on the lines below. So the shapes are read,
and not each product.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mail.bounces.notification import ADDRESS, Notification, tidy, unique
from mail.bounces.status_fields import is_shortened

RECIPIENTS_MAX = 100
REASON_MAX = 1500
LINES_MAX = 1200

_QUOTED = r"\"[^\"\n]{1,64}\"@[A-Za-z0-9][\w.-]{0,250}\w"
_ANY = rf"(?:{_QUOTED}|{ADDRESS})"

# An address at the head of its line, perhaps in marks.
_HEAD = re.compile(
    rf"^[ \t>]*(?:[-*+•・■◆●○]+[ \t]*|\d{{1,3}}[.):][ \t]+|>>>[ \t]*|\[)?[<\"'(「]{{0,2}}(?:mailto:|smtp:|rfc822;[ \t]*)?({_ANY})[>\"')」]{{0,2}}(?=$|[\s:;,.\])>(]|…)",
    re.IGNORECASE,
)
# After a label, or inside a sentence that says what is wrong with the address.
_LABEL = re.compile(
    r"(?<![\w@.-])(?:(?:(?:final|failed|original|intended|undelivered|rejected|bad|invalid)[- ]?)?(?:recipients?|rcpt)(?:[- ](?:to|address(?:es)?|name))?[ \t]*(?:\([^)\n]{0,40}\))?[ \t]*[:=]|rcpt to[ \t]*:?|addressed to[ \t]*:|(?:failed|invalid|unknown|bad|wrong) (?:address(?:es)?|user|recipient|mailbox|account)[ \t]*[:=]?|original address[ \t]*:|forwarded to[ \t]*:|"
    r"(?:deliver(?:ed|y|ing)?|send|sent|return(?:ed)?)(?: (?:your|the|this|a|e-?mail|mail|message|messages|of|failed|failure|it))*(?: (?:to|for))(?: (?:the )?(?:following|address|user|recipient|mailbox)(?:es|s)?\b)*[ \t]*:?|undeliverable (?:to|address|mail to|message to)[ \t]*:?|(?:message|mail|e-?mail) (?:for|to)(?: (?:user|recipient|address)\b)?[ \t]*:?|was not delivered to[ \t]*:?|(?:user|mailbox|account|recipient|address|mail ?drop|addressee|destinatario|destinataire|empf(?:ä|ae)nger|adresse)(?: (?:of|for|name|address))?[ \t]*[:=]?|"
    r"(?:宛先|宛て先|あて先|送信先|受信者|宛)(?:メール)?(?:アドレス)?[ \t]*(?:は|[:：=])|メールアドレス[ \t]*[:：]|no such user[ \t]*:?|unknown user[ \t]*:?|user unknown[ \t]*:?|quota (?:violation|exceeded) for|gotten this email to|dda:smtp=|\((?:expanded|generated) from[ \t]*:?)",
    re.IGNORECASE,
)
_AFTER_LABEL = re.compile(
    rf"(?:(?<=[:=：\s])|(?=[\s\"'<「\[]))[ \t\"'<「\[]*(?:mailto:|smtp:|rfc822;[ \t]*)?({_ANY})",
    re.IGNORECASE,
)
# Weaker: a summary of the returned mail's own fields
_SUMMARY = re.compile(
    rf"^[ \t>*|-]*(?:to|cc|an|à|para|a|送信先|宛先|to email)[ \t]*[:：][ \t]*[^\n]{{0,200}}?({_ANY})",
    re.IGNORECASE,
)
_ANYWHERE = re.compile(rf"(?<![\w.@+-])({_ANY})")
# What stands before an address that is nobody's recipient
_BYSTANDER = re.compile(
    r"(?:\bfrom|sender|return-path|reply-to|mail from|envelope-from|contact|mail to|e-?mail us|write to|questions? to|help|assistance|send mail to|mailto|message-id|msgid|\bid|administrator|support|report (?:this )?to|forward(?:ed)? (?:this|it) to|please (?:e-?mail|notify|contact|use|try|resend to)|(?:new|changed) (?:e-?mail )?address(?: is)?|replaced by|送信者|差出人|問い?合わ?せ(?:先)?|by|via|on behalf of|authenticated as|owner)[\s:：=<\"'(\[]*(?:the |an? |smtp:)?[<\"'(\[]*$",
    re.IGNORECASE,
)
_NOBODY = re.compile(
    r"^(?:post-?master|mailer-daemon|abuse|mail-?admin|mailadm|double-bounce|root|hostmaster|helpdesk|noc)@|@(?:localhost|.*\.(?:gif|jpg|png|dll|exe))$",
    re.IGNORECASE,
)
_MESSAGE_ID = re.compile(
    r"^(?:[0-9a-f]{16,}|[0-9a-z]{6,}\.[0-9a-z.$-]{12,}|\d{12,}\.[\w.]+|[\w-]*\.javamail\.[\w.-]*|e?1[\w]{5}-[\w]{6,11}-[\w]{2,4})@",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """An address that a text says something about, and what it says (the lines at the address and below)."""

    address: str
    reason: str


def named_recipients(
    notification: Notification, *, strangers: Iterable[str], lone: bool = False
) -> list[Named]:
    """`strangers`: lower-case addresses that are no recipients: the report's own sender and receiver. `lone`: take the
    only address of the text, wherever it stands, when none stands where failed ones do."""
    lines = notification.notice.split("\n")[:LINES_MAX]
    known = {address.lower() for address in notification.original_recipients()}
    not_them = ({address.lower() for address in strangers} | set(notification.original_senders())) - known
    tiers: list[list[tuple[int, str]]] = [[], [], []]
    for number, line in enumerate(lines):
        for tier, address in _candidates(line, lines[number - 1] if number else ""):
            dotted = "." in address.rpartition("@")[2] or address.lower() in known
            if dotted and address.lower() not in not_them and not _is_nobody(address):
                tiers[tier].append((number, address))
    chosen = tiers[0] or tiers[1]
    if not chosen and len(unique(address for _number, address in tiers[2])) == 1 and lone:
        chosen = tiers[2]
    meant = [found for found in chosen if found[1].lower() in known]
    chosen = meant or chosen
    return _with_reasons(lines, chosen)[:RECIPIENTS_MAX]


def _is_nobody(address: str) -> bool:
    """A role, a Message-ID, or an address that somebody shortened."""
    return bool(_NOBODY.search(address) or _MESSAGE_ID.match(address)) or is_shortened(address)


def _candidates(line: str, before: str) -> list[tuple[int, str]]:
    """(0 named as failed · 1 in a summary of fields · 2 somewhere, address) in one line."""
    found: list[tuple[int, str]] = []
    if "@" not in line:
        return found
    head = _HEAD.match(line)
    if head and not _BYSTANDER.search(before.strip()[-80:]):
        found.append((0, tidy(head[1])))
    summary = _SUMMARY.match(line)
    if summary and not head:
        return [(1, tidy(address)) for address in _ANYWHERE.findall(line)]
    for label in () if head else _LABEL.finditer(line):  # what follows the address is the reason
        match = _AFTER_LABEL.match(line, label.end())
        if match and not _BYSTANDER.search(line[max(0, label.start() - 40) : label.start()]):
            found.append((0, tidy(match[1])))
    for match in _ANYWHERE.finditer(line):
        if not _BYSTANDER.search(line[max(0, match.start() - 60) : match.start()]):
            found.append((2, tidy(match[1])))
    return found


def _with_reasons(lines: list[str], chosen: list[tuple[int, str]]) -> list[Named]:
    starts = sorted({number for number, _address in chosen})
    reasons: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for number, address in sorted(chosen, key=lambda found: found[0]):
        following = next((start for start in starts if start > number), number + 15)
        text = "\n".join(lines[number : min(following, number + 15)])
        names.setdefault(address.lower(), address)
        reasons.setdefault(address.lower(), []).append(text)
    return [Named(names[key], "\n".join(reasons[key])[:REASON_MAX]) for key in names]

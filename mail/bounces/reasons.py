"""Where a notification says why a recipient failed: at the address, in the transcript of the session, or anywhere."""

import re

from mail.bounces.cause import cause_of
from mail.models.delivery import Cause


def reported_cause(address: str, status: str, said: str, notice: str, subject: str) -> Cause:
    """The cause from the words at the address (`said`); where they say nothing, from the whole notice, then from the
    subject. `status`: RFC 3463 or ""."""
    about = _about(address, notice)
    known = f"{_replies_in(said) or said} {_stage_of(about, notice)}"
    domain = address.rpartition("@")[2]
    cause = cause_of(0, status, known, stage="report", domain=domain)
    for text in (said, _replies_in(about), about, notice, subject):
        if cause != Cause.OTHER:
            break
        cause = cause_of(0, status, text, stage="report", domain=domain)
    return cause


# What Sendmail adds of its own below any refusal
_SUMMED_UP = re.compile(r"^554 (?:[45]\.\d\.\d )?(?:[^\n]*\.\.\. )?service unavailable[ \t]*$", re.IGNORECASE)


def _replies_in(text: str) -> str:
    """The refusals in a transcript of a session, without what was asked and what went well."""
    lines = re.findall(
        r"^[ \t]*(?:<<<|received >>>|<-|s:|response:|reply:)?[ \t]*([45]\d\d[ :-][^\n]*)",
        text,
        re.MULTILINE | re.IGNORECASE,
    )
    return "\n".join(line for line in lines if not _SUMMED_UP.search(line))


# Sendmail's transcript, where DATA or what follows it was refused: not the server's complaint that it has no recipient
# left, and not the answer to a RCPT sent in the same flight, which such a complaint follows.
_AT_DATA = re.compile(
    r"(?:while talking to ([\w.-]{1,255}?)\.?:?[ \t]*\n)?(?:>>> (?!data)[^\n]*\n|<<< [23][^\n]*\n){0,20}"
    r">>> DATA[ \t]*\n(?:<<< 354[^\n]*\n)?<<< (?!503|5[^\n]{0,60}(?:rcpt|recipients))[45]\d\d"
    r"(?![^\0]{0,2000}<<< (?:503|5[^\n]{0,60}(?:rcpt|recipients)))",
    re.IGNORECASE,
)


def _stage_of(about: str, notice: str) -> str:
    """What was refused, in words that mail/bounces/cause.py knows: Postfix and Sendmail say it only in the notice."""
    stage = re.search(r"\(in\s+reply\s+to[^()]{1,40}\)", about)
    if stage:
        return stage[0]
    transcript = _AT_DATA.search(notice)
    return f"(in reply to end of DATA to {transcript[1] or ''})" if transcript else ""


def _about(address: str, notice: str) -> str:
    place = notice.lower().find(address.lower())
    return notice[place : place + 1000] if place >= 0 else ""

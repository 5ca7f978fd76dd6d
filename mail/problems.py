"""What stands between a mailing and its sending, in words: what wizard jobs, step mails and stories have in common."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from mail.alignment import Alignment, alignment
from mail.models.template import MailTemplate, Purpose


@dataclass(frozen=True)
class Problem:
    """Found before sending. An "error" must be mended first; a "warning" should be looked at."""

    code: str
    text: str
    severity: str = "error"


def alignment_of(from_address: str, *, now: datetime) -> Alignment:
    return alignment(from_address, now=now, live=settings.REQUIRE_ALIGNMENT or bool(settings.DNS_SERVER))


def alignment_problems(template: MailTemplate, aligned: Alignment | None, *, now: datetime) -> list[Problem]:
    """RATE-5: advertising is refused, a business notice only warned about."""
    if aligned is None:
        aligned = alignment_of(template.from_address, now=now)
    elif aligned.from_address != template.from_address:  # the template was changed this very moment
        aligned = alignment(template.from_address, now=now, live=False)
    if aligned.ok and not aligned.overridden:
        return []
    refused = settings.REQUIRE_ALIGNMENT and not aligned.ok and template.purpose == Purpose.ADVERTISING
    return [Problem("alignment", aligned.text, "error" if refused else "warning")]

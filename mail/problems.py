"""What stands between a mailing and its sending, in words: what wizard jobs, step mails and stories have in common."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

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


def unexpected_text() -> str:
    """Why a start halted, when that was our mistake."""
    return _(
        "The start failed unexpectedly; nothing was sent. Try again, or ask your operator to read the log."
    )


def is_unexpected(text: str) -> bool:
    """Whether a job's reason is that one, whatever language it was written in."""
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            if text == unexpected_text():
                return True
    return False

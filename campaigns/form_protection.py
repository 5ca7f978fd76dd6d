"""Against floods and robots, without third parties: a field that people leave empty, a signed time stamp, limits.

Nothing is refused for good: whoever is stopped keeps what they entered and reads what to do.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from django.core import signing
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns.models import Campaign
from leads.address import normalise_email
from smp.lib.client_ip import neighbourhood
from smp.lib.rate_limit import too_many

TRAP = "homepage"  # robots fill in what looks like a field of theirs; people do not see it
TOO_FAST = 2  # seconds
TOO_OLD = 12 * 3600  # seconds
BODY_MAX = 256 * 1024  # bytes; a hundred answers of 5,000 characters never come together
_SALT = "application form"
# A company behind one address applies on one morning: many from there. One address needs few.
CHECKS_BY_IP = (600, 600)  # times, seconds
SENDS_BY_IP = (200, 600)
SENDS_BY_ADDRESS = (10, 3600)


class Stamp(NamedTuple):
    """Stands in every drawn form. `token` names it, so that sent twice it is one application."""

    token: UUID
    drawn_at: datetime


def new_stamp(campaign: Campaign, *, now: datetime) -> str:
    return signing.dumps([campaign.pk, uuid4().hex, int(now.timestamp())], salt=_SALT)


def read_stamp(text: str, campaign: Campaign) -> Stamp | None:
    """None when it was not made here, for this campaign."""
    try:
        campaign_id, token, seconds = signing.loads(text, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    if campaign_id != campaign.pk:
        return None
    return Stamp(UUID(token), datetime.fromtimestamp(seconds, tz=UTC))


def is_too_old(stamp: Stamp, now: datetime) -> bool:
    return (now - stamp.drawn_at).total_seconds() > TOO_OLD


def is_too_fast(stamp: Stamp, now: datetime) -> bool:
    return (now - stamp.drawn_at).total_seconds() < TOO_FAST


def wait_to_check(ip: str | None) -> int:
    """Seconds to wait before entries are checked again from here; 0 = at once."""
    return too_many("apply-check", neighbourhood(ip), limit=CHECKS_BY_IP[0], seconds=CHECKS_BY_IP[1])


def wait_to_send(ip: str | None, address: str, campaign: Campaign) -> int:
    """Seconds to wait before one more application from here or with this address; known or not, it counts the same."""
    from_here = too_many("apply", neighbourhood(ip), limit=SENDS_BY_IP[0], seconds=SENDS_BY_IP[1])
    who = f"{campaign.pk}:{normalise_email(address)}"
    with_it = too_many("apply-address", who, limit=SENDS_BY_ADDRESS[0], seconds=SENDS_BY_ADDRESS[1])
    return max(from_here, with_it)


def wait_words(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return ngettext(
        "There were too many applications from here. Your entries are kept: send them again in %(minutes)s minute.",
        "There were too many applications from here. Your entries are kept: send them again in %(minutes)s minutes.",
        minutes,
    ) % {"minutes": minutes}


def too_fast_words() -> str:
    return _("Please look over your entries once more, and press the button again.")


def too_old_words() -> str:
    return _("The page was open for a long time. Your entries are kept: please send them again.")


def trap_words() -> str:
    return _(
        "A field that must stay empty was filled in, maybe by your browser. It is empty now: please send again."
    )

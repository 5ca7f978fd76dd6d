"""Against floods, robots and list bombing on the forms of magazines: campaigns/form_protection.py with a stamp and limits of
their own. No cookies: the forms stand on other sites too. The stamp is what tells our own page from another site's."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from django.core import signing
from django.utils.translation import ngettext

from campaigns.form_protection import Stamp
from leads.address import normalise_email
from mail.models import Magazine
from smp.lib.client_ip import neighbourhood
from smp.lib.rate_limit import too_many

_SALT = "magazine form"
REGISTER, LEAVE = "register", "leave"  # the forms
# A company behind one address reads many magazines. One address needs few tries.
SENDS_BY_IP = (60, 600)  # times, seconds
SENDS_BY_ADDRESS = (10, 3600)


def new_stamp(magazine: Magazine, form: str, *, now: datetime) -> str:
    return signing.dumps([magazine.pk, form, uuid4().hex, int(now.timestamp())], salt=_SALT)


def read_stamp(text: str, magazine: Magazine, form: str) -> Stamp | None:
    """None when it was not made here, for this form of this magazine."""
    try:
        magazine_id, of_form, token, seconds = signing.loads(text, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    if (magazine_id, of_form) != (magazine.pk, form):
        return None
    return Stamp(UUID(token), datetime.fromtimestamp(seconds, tz=UTC))


def wait_to_register(ip: str | None, address: str, magazine: Magazine) -> int:
    """Seconds to wait before one more request from here or for this address; known or not, it counts the same."""
    from_here = too_many("magazine-form", neighbourhood(ip), limit=SENDS_BY_IP[0], seconds=SENDS_BY_IP[1])
    who = f"{magazine.pk}:{normalise_email(address)}"
    for_it = too_many("magazine-address", who, limit=SENDS_BY_ADDRESS[0], seconds=SENDS_BY_ADDRESS[1])
    return max(from_here, for_it)


def wait_to_leave(ip: str | None) -> int:
    """Seconds to wait before one more request to leave from here. Addresses are not counted, nor are registrations: a
    stranger who enters somebody's address again and again must not keep them from leaving, and leaving sends no mail."""
    return too_many("magazine-leave", neighbourhood(ip), limit=SENDS_BY_IP[0], seconds=SENDS_BY_IP[1])


def wait_words(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return ngettext(
        "There were too many requests from here. Your entries are kept: send them again in %(minutes)s minute.",
        "There were too many requests from here. Your entries are kept: send them again in %(minutes)s minutes.",
        minutes,
    ) % {"minutes": minutes}

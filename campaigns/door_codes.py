"""What a phone at the door knows while it has no network: who may come in, as hashes of ticket codes. No name, no address."""

import hashlib
from typing import TypedDict

from django.db.models import Exists, OuterRef
from django.utils.crypto import salted_hmac

from campaigns.models import (
    Application,
    ApplicationSession,
    ApplicationState,
    Campaign,
    CheckIn,
    Session,
    SessionChoice,
)

HASH_DIGITS = 16
EXPECTED, ATTENDED, NO_SEAT = "a", "d", "n"


class DoorCodes(TypedDict):
    salt: str
    codes: dict[str, str]  # hash → EXPECTED, ATTENDED or NO_SEAT


def door_codes(campaign: Campaign, session: Session | None = None) -> DoorCodes:
    """Every application of the campaign; one query. A code that is not there is nobody's here."""
    salt = salted_hmac("campaigns.door_codes", str(campaign.pk), algorithm="sha256").hexdigest()[:HASH_DIGITS]
    made = CheckIn.objects.filter(application=OuterRef("pk"), session=session, undone_at=None)
    rows = Application.objects.filter(campaign=campaign).annotate(came=Exists(made))
    chosen = session is not None and campaign.session_choice != SessionChoice.NONE
    if chosen:
        rows = rows.annotate(
            chose=Exists(ApplicationSession.objects.filter(application=OuterRef("pk"), session=session))
        )
    codes = {}
    for row in rows.order_by().values("code", "state", "came", *(["chose"] if chosen else [])).iterator():
        if row["state"] != ApplicationState.APPLIED or (chosen and not row["chose"]):
            state = NO_SEAT
        else:
            state = ATTENDED if row["came"] else EXPECTED
        codes[hashed(salt, row["code"])] = state
    return {"salt": salt, "codes": codes}


def hashed(salt: str, code: str) -> str:
    """smp/static/smp/check_in.js makes the same."""
    return hashlib.sha256(f"{salt}{code}".encode()).hexdigest()[:HASH_DIGITS]

"""flufl.bounce behind our own readers: many old forms, each detector guarded. What it calls permanent decides nothing."""

import logging
import re
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from flufl.bounce import all_failures

logger = logging.getLogger(__name__)
# It catches what its detectors raise and logs a traceback each time: odd mails are no news here.
logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)

SIZE_MAX = 100_000
NESTED_MAX = 20
LINE_MAX = 400
RECIPIENTS_MAX = 100


def detected_recipients(raw: bytes) -> list[str]:
    """Addresses that the detectors find. [] for what is too odd to be given to them."""
    raw = re.sub(rb"\r\n?", b"\n", raw[:SIZE_MAX])
    if len(re.findall(rb"(?i)boundary\s*=|message/", raw)) > NESTED_MAX:
        return []  # their parser recurses, and costs depth × lines
    raw = re.sub(rb"([^\n]{%d})[^\n]+" % LINE_MAX, rb"\1", raw)
    try:
        message: Message = BytesParser(policy=compat32).parsebytes(raw)
        temporary, permanent = all_failures(message)
    except Exception as error:
        logger.info("a detector of bounces failed: %s", type(error).__name__)
        return []
    found = {_text(address) for address in [*permanent, *temporary]}
    return sorted(address for address in found if re.fullmatch(r"[^\s<>@]{1,64}@[^\s<>@]{1,255}", address))[
        :RECIPIENTS_MAX
    ]


def _text(address: object) -> str:
    return address.decode("utf-8", "replace") if isinstance(address, bytes) else str(address)

"""Complaints: feedback reports (ARF, RFC 5965), and Microsoft's older form of them."""

import re

from mail.bounces.mime import Part, split_headers

# Not every report about a mail is a person's complaint: these say that the mail was wanted, or are about signatures.
NO_COMPLAINT = frozenset({"not-spam", "auth-failure", "dmarc", "virus"})


def feedback_fields(root: Part) -> dict[str, str] | None:
    """The fields of a report that somebody complained, names in lower case; None if the mail is none."""
    if re.match(r"complaint about message from ", root.shown("subject"), re.IGNORECASE):  # Microsoft's JMRP
        copies = [part.parts[0] for part in root.walk() if part.is_message and part.parts]
        who = copies[0].get("x-hmxmroriginalrecipient") if copies else ""
        return {"feedback-type": "abuse", "original-rcpt-to": who, "user-agent": "JMRP"}
    for part in root.walk():
        if part.type == "message/feedback-report" or (
            part is not root
            and part.type.startswith("text/")
            and re.match(r"\s*feedback-type\s*:", part.text()[:200], re.IGNORECASE)
        ):
            fields = split_headers(part.decoded().lstrip())[0]
            return dict(reversed(fields))
    return None

"""A campaign as a file for calendars (RFC 5545), for one applicant. Times in UTC, so that no time zone need be described."""

import re
from datetime import UTC, datetime

from django.conf import settings

from campaigns.models import Application, Session
from campaigns.places import place_lines
from campaigns.texts import text_in

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
LINE = 75  # octets, without the line end (3.1)


def calendar_file(
    application: Application, sessions: list[Session], *, now: datetime, notes: list[str]
) -> bytes:
    """One event. `notes` are the lines of its description. ValueError when the campaign has no time yet."""
    campaign = application.campaign
    if campaign.starts_at is None:
        raise ValueError("the campaign has no time")
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//SMP//Admission tickets//JA",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        "BEGIN:VEVENT",
        f"UID:ticket-{application.pk}@{settings.MAIL_DOMAIN}",
        f"DTSTAMP:{_utc(now)}",
        f"DTSTART:{_utc(campaign.starts_at)}",
    ]
    if campaign.ends_at is not None and campaign.ends_at > campaign.starts_at:
        lines.append(f"DTEND:{_utc(campaign.ends_at)}")
    lines.append(f"SUMMARY:{_text(text_in(campaign, 'name'))}")
    if place := place_lines(campaign):
        lines.append(f"LOCATION:{_text(', '.join(place))}")
    description = notes + [text_in(session, "title") for session in sessions]
    lines.append(f"DESCRIPTION:{_text(chr(10).join(description))}")
    lines += ["STATUS:CONFIRMED", "TRANSP:OPAQUE", "END:VEVENT", "END:VCALENDAR"]
    return b"".join(_folded(line) for line in lines)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(value: str) -> str:
    """3.3.11: a value can neither end its line nor begin a property."""
    value = _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
    return value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> bytes:
    """3.1: at most 75 octets a line, and no character cut in two."""
    pieces, current = [], b""
    for character in line:
        encoded = character.encode()
        if len(current) + len(encoded) > LINE:
            pieces.append(current)
            current = b" "
        current += encoded
    pieces.append(current)
    return b"\r\n".join(pieces) + b"\r\n"

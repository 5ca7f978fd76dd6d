"""「デフォルト表示設定」, the design of a magazine's public pages: colour, width, heading. Every value is checked when it is stored
and again when the style sheet is written: nothing else ever gets into it."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from mail.magazines.locks import hold
from mail.mail_kinds import Text
from mail.models import Magazine
from settings import audit
from settings.models import User

ACCENT = "#1f5fbf"  # the look's own
HEADING_MAX = 100
READABLE = 4.5  # WCAG 2.2, 1.4.3: contrast of text on white
WIDTHS: dict[str, tuple[str, Text]] = {
    "narrow": ("32rem", pgettext_lazy("width", "Narrow")),
    "normal": ("44rem", pgettext_lazy("width", "Normal")),
    "wide": ("60rem", pgettext_lazy("width", "Wide")),
}
_HEX = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Design:
    """`heading` stands above every page; "" = the magazine's name."""

    accent: str = ACCENT
    width: str = "normal"
    heading: str = ""


def design_of(magazine: Magazine) -> Design:
    """As stored, with the standard in the place of whatever is not usable."""
    stored = magazine.design if isinstance(magazine.design, dict) else {}
    accent, width = str(stored.get("accent", "")), str(stored.get("width", ""))
    return Design(
        accent if _HEX.fullmatch(accent) else ACCENT,
        width if width in WIDTHS else "normal",
        str(stored.get("heading", ""))[:HEADING_MAX],
    )


def clean(values: dict[str, str]) -> Design:
    """ValidationError by name."""
    accent = values.get("accent", "").strip().lower() or ACCENT
    width = values.get("width", "") or "normal"
    heading = " ".join(values.get("heading", "").replace("\0", "").split())
    problems = {}
    if not _HEX.fullmatch(accent):
        problems["accent"] = _("Give a colour as #rrggbb, for example %(colour)s.") % {"colour": ACCENT}
    elif contrast(accent) < READABLE:
        problems["accent"] = _(
            "This colour can hardly be read on white. A darker one of the kind: %(colour)s"
        ) % {"colour": readable(accent)}
    if width not in WIDTHS:
        problems["width"] = _("Choose one of the choices offered.")
    if len(heading) > HEADING_MAX:
        problems["heading"] = _("At most %(most)s characters.") % {"most": HEADING_MAX}
    if problems:
        raise ValidationError(problems)
    return Design(accent, width, heading)


def save_design(
    magazine: Magazine, values: dict[str, str], *, user: User | None, now: datetime, ip: str | None = None
) -> Magazine:
    """ValidationError by name."""
    design = clean(values)
    with transaction.atomic():
        magazine = hold(magazine.pk, alone=True)
        before = asdict(design_of(magazine))
        changes = {
            name: [before[name], value] for name, value in asdict(design).items() if before[name] != value
        }
        if changes:
            standard = asdict(Design())
            magazine.design = {
                name: value for name, value in asdict(design).items() if value != standard[name]
            }
            magazine.updated_at = now
            magazine.save(update_fields=["design", "updated_at"])
            audit.record("magazine.design", user=user, target=magazine, detail={"changes": changes}, ip=ip)
    return magazine


def style_sheet(design: Design) -> str:
    """The look's tokens, in the magazine's colours."""
    accent = design.accent if _HEX.fullmatch(design.accent) else ACCENT
    width = WIDTHS.get(design.width, WIDTHS["normal"])[0]
    strong, soft = _mixed(accent, 0, 0.25), _mixed(accent, 255, 0.9)
    return (
        f":root{{--accent:{accent};--accent-strong:{strong};--accent-soft:{soft};--accent-ink:#fff}}\n"
        f".attendee main,.host>div,.host-contact{{max-width:{width}}}\n"
    )


def style_version(design: Design) -> str:
    """Changes with the style sheet, which browsers keep for long."""
    return hashlib.sha256(json.dumps(asdict(design), sort_keys=True).encode()).hexdigest()[:10]


def contrast(colour: str) -> float:
    """With white, 1 to 21 (WCAG)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in _parts(colour))
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05)


def readable(colour: str) -> str:
    """The same colour, as dark as it must be to be read on white."""
    for step in range(1, 21):
        darker = _mixed(colour, 0, step / 20)
        if contrast(darker) >= READABLE:
            return darker
    return "#000000"


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _mixed(colour: str, other: int, share: float) -> str:
    """With `share` of a grey (0 black, 255 white)."""
    return "#" + "".join(f"{round(value * (1 - share) + other * share):02x}" for value in _parts(colour))

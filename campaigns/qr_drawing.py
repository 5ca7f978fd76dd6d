"""QR codes as SVG in the page."""

from typing import Literal

import segno
from django.utils.safestring import SafeString, mark_safe


def qr_svg(text: str, *, level: Literal["m", "q"] = "m") -> SafeString:
    """`level`: of error correction. segno writes the SVG out of numbers alone: no character of the text stands in it."""
    code = segno.make_qr(text, error=level)
    return mark_safe(code.svg_inline(border=4, omitsize=True, svgclass="qr", lineclass=None))

"""Charts as SVG, made here: no script, no inline style (strict CSP), colours by the classes of look.css. The numbers always
stand in a table beside them, so a chart is one image with a title for who cannot see it."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

STEP, HEIGHT = 10, 100  # of one column; the sheet stretches the drawing to the room there is
FEW = 12  # with fewer columns the bars are no wider than with so many


@dataclass(frozen=True)
class Series:
    """`fill` is a class of look.css without its beginning: run, ok, wait …"""

    label: str
    fill: str


@dataclass(frozen=True)
class Column:
    """`values`: one number a series, in their order."""

    label: str
    values: Sequence[int]


def columns(
    title: str, description: str, found: Sequence[Column], series: Sequence[Series], *, classes: str = "chart"
) -> SafeString:
    """Bars side by side for each column. A number that is not 0 is always seen, one that is 0 leaves a grey trace."""
    most = max((value for column in found for value in column.values), default=0) or 1
    room = (STEP - 1.6) * min(1.0, len(found) / FEW)
    width = room / max(1, len(series))
    bars = []
    for place, column in enumerate(found):
        for number, (one, value) in enumerate(zip(series, column.values, strict=True)):
            height = max((HEIGHT - 2) * value / most, 1.5) if value else 1.0
            left = place * STEP + (STEP - room) / 2 + number * width
            words = f"{column.label} {one.label} {value:,}"
            fill = one.fill if value else "wait"
            bars.append(
                (fill, f"{left:.2f}", f"{HEIGHT - height:.2f}", f"{width:.2f}", f"{height:.2f}", words)
            )
    return format_html(
        '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        "<desc>{}</desc>{}</svg>",
        classes, max(1, len(found)) * STEP, HEIGHT, title, description,
        format_html_join(
            "", '<rect class="fill-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>', bars
        ),
    )  # fmt: skip

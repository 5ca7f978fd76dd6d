"""Small pieces of the look that every template may use (a template builtin); docs/screens.md shows them in use."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from django import template
from django.core.paginator import Page
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from smp.lib.days import day_in
from smp.lib.mode import url_in

register = template.Library()


# ---- addresses in another mode (smp.lib.mode); {% url %} stays in the present one
@register.simple_tag
def blue_url(name: str, *args: Any, **kwargs: Any) -> str:
    """A page of the all-campaign mode, or a public one."""
    return url_in(None, name, *args, **kwargs)


@register.simple_tag
def campaign_url(campaign_id: int, name: str, *args: Any, **kwargs: Any) -> str:
    """A page inside one campaign."""
    return url_in(campaign_id, name, *args, **kwargs)


# ---- addresses of the same page
@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The current query string with these parameters changed; None removes one: `?{% query page=2 %}`."""
    return _changed(context["request"], changes).urlencode()


def _changed(request: HttpRequest, changes: dict[str, Any]) -> QueryDict:
    parameters = request.GET.copy()
    for name, value in changes.items():
        if value is None or value == "":
            parameters.pop(name, None)
        else:
            parameters[name] = str(value)
    return parameters


# ---- numbers and times
@register.filter
def number(value: Any) -> str:
    """12480 → 12,480 in every language; nothing for None, other things as they are."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


@register.filter
def when(value: datetime | date | None, form: str = "minutes") -> str:
    """2026-11-24 10:00, in Japan's time. Forms: minutes, seconds, day (2026-11-24), clock (10:00),
    long (11月24日(火) 10:00, the year added when it is not this one), longday (11月24日(火))."""
    if not value:
        return ""
    if isinstance(value, datetime):
        value = timezone.localtime(value)
    if form in {"long", "longday"}:
        return _long(value, clock=form == "long")
    patterns = {
        "minutes": "%Y-%m-%d %H:%M",
        "seconds": "%Y-%m-%d %H:%M:%S",
        "day": "%Y-%m-%d",
        "clock": "%H:%M",
    }
    if not isinstance(value, datetime):
        return value.strftime("%Y-%m-%d")
    return value.strftime(patterns[form])


def _long(value: datetime | date, *, clock: bool) -> str:
    day = day_in(value, get_language() or "ja", year=value.year != timezone.localdate().year)
    return f"{day} {value:%H:%M}" if clock and isinstance(value, datetime) else day


@register.filter
def minutes(value: timedelta | None) -> str:
    """A span of time in whole minutes, rounded up."""
    return str(-(-int(value.total_seconds()) // 60)) if value else ""


@register.filter
def percent(part: int | float | None, whole: int | float | None) -> str:
    """`{{ sent|percent:total }}` → 65.1%; a dash when there is no whole."""
    return f"{100 * (part or 0) / whole:.1f}%" if whole else "–"


# ---- lists
@register.simple_tag(takes_context=True)
def sort_header(context: dict[str, Any], field: str, label: str, classes: str = "") -> SafeString:
    """A `<th>` whose link sorts by `field` (parameter `sort`, `-field` = descending); the page starts again at 1."""
    request: HttpRequest = context["request"]
    current = request.GET.get("sort") or str(context.get("sort") or "")
    direction = {field: "ascending", f"-{field}": "descending"}.get(current)
    href = _changed(
        request, {"sort": f"-{field}" if direction == "ascending" else field, "page": None}
    ).urlencode()
    return format_html(
        '<th scope="col"{}{}><a href="?{}">{}</a></th>',
        format_html(' class="{}"', classes) if classes else "",
        format_html(' aria-sort="{}"', direction) if direction else "",
        href,
        label,
    )


@register.simple_tag
def count_line(page: Page) -> SafeString:
    """「12,480件中 51–100件」 for a page of a paginator."""
    total = page.paginator.count
    words = ngettext("%(total)s entry", "%(total)s entries", total) % {"total": "\0"}
    before, _mark, after = words.partition("\0")
    counted = format_html('<span class="count">{}<b>{}</b>{}', before, number(total), after)
    if page.paginator.num_pages > 1:
        shown = _("(%(first)s–%(last)s shown)") % {
            "first": number(page.start_index()),
            "last": number(page.end_index()),
        }
        return format_html('{} <span class="quiet num">{}</span></span>', counted, shown)
    return format_html("{}</span>", counted)


@register.simple_tag
def page_numbers(page: Page) -> Iterator[int | str]:
    """The page numbers worth a link, with an ellipsis between."""
    return page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)


# ---- bars: SVG widths, because the Content-Security-Policy allows no style attributes
FILLS = ("ok", "bad", "unknown", "warn", "run", "wait")


@register.simple_tag
def progress_bar(total: int | None = None, label: str = "", **parts: int | None) -> SafeString:
    """`{% progress_bar total=9405 ok=6120 bad=41 unknown=1 label="…" %}`: segments in the order ok, bad, unknown, warn,
    run, wait. What the total has beyond the parts stays grey. A part that exists is always visible."""
    if unknown := set(parts) - set(FILLS):
        raise template.TemplateSyntaxError(f"progress_bar: unknown part {sorted(unknown)}")
    amounts = [(fill, parts.get(fill) or 0) for fill in FILLS]
    done = sum(amount for fill, amount in amounts if fill != "wait")
    whole = max(total or 0, sum(amount for _fill, amount in amounts)) or 1
    rects, x = [], 0.0
    for fill, amount in amounts:
        if amount:
            width = min(max(100 * amount / whole, 0.4), 100 - x)
            rects.append((fill, f"{x:.2f}", f"{width:.2f}"))
            x += width
    return format_html(
        '<svg class="bar" role="progressbar" aria-label="{}" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{}">{}</svg>',
        label or _("Progress"),
        int(100 * done / whole),
        format_html_join("", '<rect class="fill-{}" x="{}%" y="0" width="{}%" height="100%"/>', rects),
    )


@register.simple_tag
def funnel_bar(value: int, total: int, fill: str = "out") -> SafeString:
    """The bar of one line of a funnel; `fill` is run (a total) or out (who drops out). The number stands beside it."""
    width = min(max(100 * value / total, 0.6), 100) if total and value else 0
    return format_html(
        '<svg class="b" aria-hidden="true"><rect class="fill-{}" rx="3" width="{}%" height="100%"/></svg>',
        fill,
        f"{width:.2f}",
    )


@register.simple_tag
def legend_mark(fill: str) -> SafeString:
    return format_html(
        '<svg aria-hidden="true"><rect class="fill-{}" width="100%" height="100%"/></svg>', fill
    )

from typing import Any

from django import template

from tracking.sites import OWN, SCRIPT_PATH, counts_own_pages
from tracking.visitor_cookie import COOKIE

register = template.Library()


@register.inclusion_tag("tracking/own_pages.html", takes_context=True)
def own_page_tracking(context: dict[str, Any]) -> dict[str, Any]:
    """The script on our own pages for attendees: where they are counted, and where a site handed its visitor's id over. It
    reports the path as far as it is the same for everybody: what follows may be somebody's own link."""
    request = context.get("request")
    match = getattr(request, "resolver_match", None)
    if request is None or match is None or getattr(request, "user", None) is None:
        return {}
    counted = counts_own_pages()
    if request.user.is_authenticated or not (counted or COOKIE in request.GET):
        return {}
    return {
        "src": f"{SCRIPT_PATH}?site={OWN}",
        "page": page_path(request.path, match.route),
        "counted": counted,
    }


def page_path(path: str, route: str) -> str:
    """`/t/<token>` is `/t/`: without anything but slugs and fixed words."""
    kept = route.partition("<")[0] if "<str:" in route or "<int:" in route else None
    return path if kept is None else f"/{kept}"

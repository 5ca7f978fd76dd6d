"""GET /t.js?site=KEY: the script with what it knows of the site; the same for everybody, and nothing is noted (WEB-1)."""

import hashlib
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from tracking.sites import script_settings

FILE = Path(settings.BASE_DIR) / "smp/static/smp/track.js"
PLACE = '"SMP_SITE"'
SECONDS = 3600  # a changed setting is everywhere after an hour


def script(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    body = _text().replace(PLACE, script_settings(request.GET.get("site", "")[:20]))
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    if request.headers.get("If-None-Match", "").removeprefix("W/") == etag:
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(body, content_type="text/javascript; charset=utf-8")
        response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = f"public, max-age={SECONDS}, stale-while-revalidate=86400"
    response.headers["ETag"] = etag
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@lru_cache(maxsize=1)
def _text() -> str:
    return FILE.read_text(encoding="utf-8")

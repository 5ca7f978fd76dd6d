"""A tracked site, and browsers that view its pages."""

import json
import secrets

from django.utils import timezone

from tracking import flush
from tracking.models import TrackedSite
from tracking.sites import forget_sites

AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
SITE = "https://www.yamate.example.jp"


def make_site(domain: str = "yamate.example.jp", **values) -> TrackedSite:
    values.setdefault("name", "山手製作所")
    values.setdefault("key", secrets.token_hex(8))
    site = TrackedSite.objects.create(domain=domain, **values)
    forget_sites()
    return site


def new_visitor() -> str:
    return secrets.token_hex(16)


def send_view(client, site_key, visitor, url=f"{SITE}/seminar", *, origin=SITE, agent=AGENT, **more):
    """As smp/static/smp/track.js does."""
    body = {"k": site_key, "v": visitor, "u": url, "t": "セミナー", "r": "", **more}
    return client.post(
        "/w/", json.dumps(body), content_type="text/plain;charset=UTF-8", headers={"origin": origin, "user-agent": agent}
    )  # fmt: skip


def store() -> int:
    return flush.flush(timezone.now())

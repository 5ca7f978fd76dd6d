"""A hit: somebody or something opened, clicked, viewed, or told who they are. One format for all, from the answer to the table.

Everything in it but the ids was written by a stranger.
"""

import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest

from smp.lib.client_ip import client_ip
from tracking.agents import HINT_LENGTH, hints_of

OPEN, CLICK, VIEW, IDENTIFY = "open", "click", "view", "identify"
AGENT_LENGTH = 400  # as tracking.models.Seen
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """`ids`: of open and click `delivery_id`, `url_id`; of view and identify what tracking/page_views.py and
    tracking/identify.py put there (JSON values). `hints`: tracking.agents.hints_of."""

    uid: UUID
    kind: str
    at: datetime
    ip: str | None = None
    agent: str = ""
    hints: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, Any] = field(default_factory=dict)


def hit_of(request: HttpRequest, kind: str, *, now: datetime, **ids: Any) -> Hit:
    """What is kept of this request."""
    meta = request.META
    hints = hints_of(request.method or "", lambda name: meta.get("HTTP_" + name.upper().replace("-", "_")))
    return Hit(
        uid=new_uid(now),
        kind=kind,
        at=now,
        ip=client_ip(request),
        agent=clean(meta.get("HTTP_USER_AGENT", ""), AGENT_LENGTH),
        hints={name: clean(value, HINT_LENGTH) for name, value in hints.items()},
        ids=ids,
    )


def new_uid(now: datetime) -> UUID:
    """Random, but milliseconds first (RFC 9562, version 7): new rows lie side by side in the unique index."""
    stamp = int(now.timestamp() * 1000) & (1 << 48) - 1
    dice = secrets.randbits(74)
    return UUID(int=stamp << 80 | 7 << 76 | (dice >> 62) << 64 | 2 << 62 | dice & (1 << 62) - 1)


def clean(text: str, length: int) -> str:
    """One line without control characters and half characters, as PostgreSQL can keep it."""
    text = text[: 4 * length]
    if not text.isascii():
        with suppress(UnicodeError):  # WSGI hands bytes over as Latin-1; what was UTF-8 becomes readable
            text = text.encode("latin-1").decode("utf-8")
    return _CONTROL.sub(" ", text).strip()[:length]


def to_bytes(hit: Hit) -> bytes:
    """One line without its end: JSON has no raw line feeds."""
    return json.dumps(
        [
            hit.uid.hex, hit.kind, hit.at.timestamp(), hit.ip, hit.agent, dict(hit.hints), dict(hit.ids),
        ],
        ensure_ascii=True, separators=(",", ":"),
    ).encode()  # fmt: skip


def from_bytes(data: bytes) -> Hit:
    """ValueError for anything that `to_bytes` did not make."""
    try:
        uid, kind, at, ip, agent, hints, ids = json.loads(data)
        hit = Hit(UUID(hex=uid), kind, datetime.fromtimestamp(at, UTC), ip, agent, hints, ids)
    except (ValueError, TypeError, AttributeError, OverflowError, OSError, RecursionError) as error:
        raise ValueError(f"not a hit: {error}") from error
    texts = (hit.kind, hit.agent, *(() if hit.ip is None else (hit.ip,)))
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(group, dict) for group in (hit.hints, hit.ids)
    ):
        raise ValueError("not a hit: wrong types")
    return hit

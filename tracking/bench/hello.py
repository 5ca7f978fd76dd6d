"""The least that gunicorn can do: a WSGI function with an answer of the same size. The bare cost beside `bench track`."""

from collections.abc import Callable, Iterable
from typing import Any

_HEADERS = [
    ("Location", "https://www.example.jp/seminar/2026/program.html"), ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store, private"), ("X-Robots-Tag", "noindex, nofollow"), ("Content-Length", "0"),
    ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:"),
]  # fmt: skip


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("302 Found", _HEADERS)
    return [b""]

"""Texts of campaigns as attendees read them: in their language, and plain text as paragraphs with links."""

import re

from django.db.models import Model
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

_URL = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_AFTER_URL = ".,;:!?'*"


def text_in(thing: Model, field: str, language: str | None = None) -> str:
    """The value of `field`, or of `<field>_en` where English is wanted and there is one."""
    if (language or get_language() or "").startswith("en"):
        english = str(getattr(thing, f"{field}_en", "") or "").strip()
        if english:
            return english
    return str(getattr(thing, field) or "")


def paragraphs(text: str) -> SafeString:
    """Plain text as HTML: blank lines part paragraphs, http and https addresses become links, the rest is escaped."""
    blocks = re.split(r"\n[ \t]*\n\s*", text.replace("\r\n", "\n").replace("\r", "\n").strip())
    return mark_safe("".join(f"<p>{_linked(block)}</p>" for block in blocks if block))


def _linked(block: str) -> str:
    pieces, end = [], 0
    for match in _URL.finditer(block):
        url = match.group().rstrip(_AFTER_URL)
        if url.endswith(")") and "(" not in url:  # (see https://example.jp/)
            url = url.rstrip(").,")
        pieces += [
            escape(block[end : match.start()]),
            format_html('<a href="{}" rel="noopener nofollow">{}</a>', url, url),
        ]
        end = match.start() + len(url)
    pieces.append(escape(block[end:]))
    return "".join(pieces).replace("\n", "<br>")

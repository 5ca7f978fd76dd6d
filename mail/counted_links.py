"""The URLs of a mail that can be counted (TRK-1, TRK-5): found in a template, exchanged for our links, and resolved again.
Pure: no database; mail/click_count.py does the rest.

A URL is kept as it is written in the template: of HTML with its entities decoded, with its merge fields as they stand.
So one URL is one thing in both parts, wherever it stands and whatever changed around it. In doubt about where a URL ends, or what
it leads to, it is not counted: a counted link never leads anywhere but to the URL as written.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from mail import links
from mail.html_links import HIDDEN, attribute_text, find_links, words_of
from mail.merging import Span, TemplateError, normalise_newlines, render_url, spans
from mail.models.template import MailForm

MAX_URL = 2_000  # characters, as written
MAX_TARGET = 30_000  # characters, merged: beyond it no server reads it
_LABEL = 60  # characters

# Why a URL cannot be counted; "" = it can.
MERGED, CONTROL, UNCLEAR, SCHEME, LOGIN, OWN, MALFORMED, LONG = (
    "merged", "control", "unclear", "scheme", "login", "own", "malformed", "long",
)  # fmt: skip


@dataclass(frozen=True)
class FoundUrl:
    """One URL of a mail, with how often it stands in each part. `reason` says why it cannot be counted."""

    url: str
    text_count: int
    html_count: int
    reason: str
    label: str  # what the mail calls it: a name to begin with

    @property
    def countable(self) -> bool:
        return not self.reason

    @property
    def why_not(self) -> str:
        """For people, in the active language; "" when it can be counted."""
        return why_not_text(self.reason)


class _Link(NamedTuple):
    """One place of a URL in a source."""

    start: int
    end: int
    url: str
    reason: str
    label: str


def find_urls(content: Mapping[str, Any]) -> list[FoundUrl]:
    """The URLs of a template's content (`mail.message.snapshot_content`), in the order of the mail, each once."""
    found: dict[tuple[str, str], list[int]] = {}
    labels: dict[tuple[str, str], str] = {}
    for column, part in enumerate(parts_of(content)):
        if part is None:
            continue
        for link in _links_of(normalise_newlines(str(content[part])), part):
            found.setdefault((link.url, link.reason), [0, 0])[column] += 1
            if link.label:
                labels.setdefault((link.url, part), link.label)
    return [
        FoundUrl(
            url,
            in_text,
            in_html,
            reason,
            labels.get((url, "html_body")) or labels.get((url, "text_body"), ""),
        )
        for (url, reason), (in_text, in_html) in found.items()
    ]


def parts_of(content: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(text part, HTML part) of this form: their fields, None for what it does not send."""
    form = content["form"]
    return (
        None if form == MailForm.HTML else "text_body",
        None if form == MailForm.TEXT else "html_body",
    )


def rewrite(source: str, part: str, counted: Mapping[str, int]) -> str:
    """The source with `{{ _click_<id> }}` in the place of each counted URL; everything else as it is. In HTML only the
    link is exchanged, never what people read."""
    pieces, position = [], 0
    for link in _links_of(source, part):
        if not link.reason and link.url in counted:
            pieces += [source[position : link.start], "{{ ", mark(counted[link.url]), " }}"]
            position = link.end
    return "".join([*pieces, source[position:]])


def mark(url_id: int) -> str:
    """The merge field of the product's own that stands for a counted URL. No template can be saved with it."""
    return f"_click_{url_id}"


def add_at_end(source: str, markup: str) -> str:
    """HTML with something invisible before its </body>, or at its end."""
    place = find_links(_mask(source)).body_end
    return source + markup if place is None else source[:place] + markup + source[place:]


def target_of(url: str, values: Mapping[str, str]) -> str:
    """Where a click leads: the URL as written, its merge fields filled with percent-encoded values. ValueError for one
    that cannot be counted, or that would lead to another host than the one written."""
    if reason := why_not(url):
        raise ValueError(f"{url[:200]!r} cannot be counted: {reason}")
    target = render_url(url, values)
    if _authority(target) != _authority(url) or len(target) > MAX_TARGET:
        raise ValueError(f"{url[:200]!r} cannot be filled with these values")
    return target


def has_fields(url: str) -> bool:
    """Whether the target differs from lead to lead."""
    return "{{" in url


def why_not(url: str) -> str:
    """Why a URL as written cannot be counted, "" when it can."""
    try:
        masked = _mask(url)
    except TemplateError:
        return MALFORMED
    if url.startswith("{{"):
        return MERGED
    if HIDDEN in masked:
        return CONTROL
    if not _WEB.match(masked):
        return SCHEME
    authority = _authority(masked)
    if "{{" in _authority(url):
        return MERGED
    if "@" in authority:
        return LOGIN
    if not _HOST.fullmatch(authority) or _NOT_IN_URLS.search(masked):
        return MALFORMED
    try:
        urlsplit(masked)
    except ValueError:
        return MALFORMED
    if links.is_personal(url):
        return OWN
    return LONG if len(url) > MAX_URL else ""


def why_not_text(reason: str) -> str:
    texts = {
        "": "",
        MERGED: _("It comes from a merge field, so every recipient has another one (an opt-out URL, for example)."),
        CONTROL: _("{% if %} or a comment stands inside or directly beside it. Put a line break or a space between."),
        UNCLEAR: _("Where it ends is not clear. Put a line break or a space behind it."),
        SCHEME: _("Only links that begin with http:// or https:// can be counted."),
        LOGIN: _("It contains a user name (…@)."),
        OWN: _("It is a link of this system that belongs to one person."),
        MALFORMED: _("It is no URL that can be used."),
        LONG: _("It is longer than %(limit)s characters.") % {"limit": MAX_URL},
    }  # fmt: skip
    return texts[reason]


# ---- URLs -----------------------------------------------------------------------------------------------------------

_FIELD = "~"  # in the place of a merge field's characters: it may stand in a URL and is no letter
_WEB = re.compile(r"https?://", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^/?#]*")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:@%'~]*[^\[\]:@%'~.]\.?)(?::[0-9]{1,5})?")
# Braces could be taken for merge fields, \ for a slash; the rest cannot be seen.
_NOT_IN_URLS = re.compile(
    r"[\s\x00-\x20\x7f-\xa0\xad\\<>\"{}\u115f\u1160\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffd]"
    "|[\ud800-\udfff]"
)


def _authority(url: str) -> str:
    """The host with its port, as written: what stands between // and the next / ? or #."""
    begin = _WEB.match(url)
    found = _AUTHORITY.match(url, begin.end()) if begin else None
    return found[0] if found else ""


# ---- places ---------------------------------------------------------------------------------------------------------


def _links_of(source: str, part: str) -> list[_Link]:
    return list(_in_html(source) if part == "html_body" else _in_text(source))


_SPACES = re.compile(r"\s*+")


def _mask(source: str, *, field: str = _FIELD, control: str = HIDDEN) -> str:
    """The source with every merge field as `field` and every {% %} and {# #} as `control`, as long as before. A block
    that takes the white space beside it away ({{- -}}) counts as control, with that white space."""
    pieces, position = [], 0
    for opening, start, end in spans(source):
        before = source[position:start]
        trims_before, trims_behind = source[start + 2] == "-", source[end - 3] == "-"
        kept = before.rstrip() if trims_before else before
        filler = field if opening == "{{" and not (trims_before or trims_behind) else control
        space = _SPACES.match(source, end) if trims_behind else None
        position = space.end() if space else end
        pieces += [kept, filler * (position - start + len(before) - len(kept))]
    return "".join([*pieces, source[position:]])


def _in_html(source: str) -> Iterator[_Link]:
    masked, plain = _mask(source), _mask(source, field=" ", control=" ")
    for start, end, inside in find_links(masked).hrefs:
        raw = source[start:end]
        if HIDDEN in masked[start:end]:
            yield _Link(start, end, raw, CONTROL, "")
            continue
        url, reason = _as_read(raw)
        if _NO_ADDRESS.match(url) or not url:
            continue
        yield _Link(start, end, url, reason or why_not(url), "" if inside is None else _words(plain, inside))


def _words(plain: str, inside: int) -> str:
    end = _LINK_END.search(plain, inside, inside + 5_000)
    return words_of(plain[inside : end.start()])[:_LABEL] if end else ""


_NO_ADDRESS = re.compile(r"\s*(?:#|(?:mailto|tel|sms|javascript|data|cid|about):)", re.IGNORECASE)
_LINK_END = re.compile(r"</a\b", re.IGNORECASE)


def _as_read(raw: str) -> tuple[str, str]:
    """(URL, reason): an attribute's value with its entities decoded, its merge fields as they stand."""
    pieces, position, reason = [], 0, ""
    for _opening, start, end in [*spans(raw), Span("", len(raw), len(raw))]:
        text = attribute_text(raw[position:start])
        if "{" in text or "}" in text:
            reason = MALFORMED
        pieces += [text, raw[start:end]]
        position = end
    return "".join(pieces), reason


_START = re.compile(r"(?<![0-9A-Za-z])https?://", re.IGNORECASE)
_RUN = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]*+")
_WORD = re.compile(r"[^\s<>\"、。]{0,30}")
_URL_FIELD = re.compile(r"\{\{[-+]?\s*\w*(?:URL|url)\b")


def _in_text(source: str) -> Iterator[_Link]:
    masked = _mask(source)
    found: list[_Link] = []
    fields: list[_Link] = []
    position = 0
    while start := _START.search(masked, position):
        run = _RUN.match(masked, start.start())
        assert run is not None
        length = _without_punctuation(run[0])
        position = max(run.end(), start.end())
        end = start.start() + length
        reason = _follows(masked, end, run.end())
        if length <= len(start[0]) and reason != UNCLEAR:
            continue  # "https://" alone
        if reason == UNCLEAR:
            word = _WORD.match(source, run.end())
            end = word.end() if word else run.end()
        url = source[start.start() : end]
        found.append(
            _Link(start.start(), end, url, reason or why_not(url), _label_before(masked, start.start()))
        )
    starts = [link.start for link in found]
    for opening, first, last in spans(source):
        before = bisect_right(starts, first) - 1
        if opening == "{{" and _URL_FIELD.match(source, first) and (before < 0 or found[before].end <= first):
            fields.append(_Link(first, last, source[first:last], MERGED, ""))
    return iter(sorted(found + fields))


def _without_punctuation(run: str) -> int:
    """How much of a run of URL characters is the URL: the rest closes the sentence or a bracket around it."""
    round_, square = run.count(")") - run.count("("), run.count("]") - run.count("[")
    length = len(run)
    while length:
        last = run[length - 1]
        if last == ")" and round_ > 0:
            round_ -= 1
        elif last == "]" and square > 0:
            square -= 1
        elif last not in ".,;:!?'":
            break
        length -= 1
    return length


def _follows(masked: str, end: int, run_end: int) -> str:
    """Why a URL in a text is not countable where it stands, by what follows it; "" where it clearly ends."""
    behind = masked[run_end : run_end + 1]
    if behind == HIDDEN:
        return CONTROL
    if behind and behind in "\\^`{|}":
        return UNCLEAR
    if not behind or unicodedata.category(behind)[0] not in "LMN":
        return ""
    if run_end > end:  # a bracket or full stop before Japanese text
        return "" if masked[run_end - 1] in ")]'" else UNCLEAR
    # 「…/seminarをご覧ください」: no URL goes on like that; 「…/wiki/日本語」 may.
    before = masked[end - 1]
    if behind == "を" or ("ぁ" <= behind <= "ゖ" and before.isascii() and before.isalnum()):
        return ""
    return UNCLEAR


def _label_before(masked: str, start: int) -> str:
    """The words in front of a URL in a text, or else those of the line above."""
    here = masked.rfind("\n", 0, start) + 1
    above = masked.rfind("\n", 0, max(here - 1, 0)) + 1
    for text in (masked[here:start], masked[above : max(here - 1, 0)]):
        words = " ".join(text.replace(_FIELD, " ").replace(HIDDEN, " ").split()).strip(_ORNAMENTS)
        if words and "://" not in words:
            return words[-_LABEL:]
    return ""


_ORNAMENTS = " 　▼▽▲△■□◆◇●○◎★☆・*＊-–—―─━=＝_#＃:：;；→⇒⇨>＞<＜|｜【】[]「」『』()（）〔〕〈〉《》、。,."

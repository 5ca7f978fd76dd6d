"""Where the links of an HTML source stand, as browsers and mail programs read it. Pure; positions are of the source.

One pass from left to right: nothing is looked at twice, whatever the source is like. Not html.parser: it does not say where
an attribute's value stands. HIDDEN stands in the place of what the merge language will take away ({% if %}).
"""

import html
import re
from collections.abc import Iterator
from html.entities import html5
from typing import NamedTuple

HIDDEN = "\x01"
_LINKS = {"a", "area"}
_RAW_TEXT = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"}
_NAME = re.compile(r"[A-Za-z][^\s/>\x01]*+")
_ATTRIBUTE = re.compile(
    r"""[\s/\x01]*+(?P<name>[^\s/>=\x01]++)"""
    r"""(?:\s*+=\s*+(?:"(?P<double>[^"]*+)"|'(?P<single>[^']*+)'|(?P<bare>[^\s>"'][^\s>]*+)|(?=>)))?+"""
)
_TAG_END = re.compile(r"[\s/\x01]*+>")
# Only Outlook reads these, and follows the links in them: <!--[if mso]> … <![endif]-->
_FOR_OUTLOOK = re.compile(r"<!--\[if[^\]>]*+\]>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]++;?|#[xX][0-9a-fA-F]++;?|[A-Za-z][A-Za-z0-9]*+;?)=?")
_SPACE = " \t\n\f\r"


class Href(NamedTuple):
    """The value of an href, without white space around it; `inside` is where the content of an <a> begins."""

    start: int
    end: int
    inside: int | None


class Links(NamedTuple):
    hrefs: list[Href]
    body_end: int | None  # where the last </body> begins


def find_links(source: str) -> Links:
    """Every href of <a>, <area> and Outlook's own elements (<v:…>), in order."""
    hrefs: list[Href] = []
    body_end = None
    for start, name in _tags(source, hrefs):
        if name == "/body":
            body_end = start
    return Links(hrefs, body_end)


def _tags(source: str, hrefs: list[Href]) -> Iterator[tuple[int, str]]:
    """(start, name in lower case) of every tag; hrefs are added to the list."""
    position = 0
    while (start := source.find("<", position)) >= 0:
        if source.startswith("<!--", start):
            if outlook := _FOR_OUTLOOK.match(source, start):
                position = outlook.end()
                continue
            end = source.find("-->", start + 2)
            if end < 0:
                return
            position = end + 3
        elif source.startswith(("<!", "<?", "</"), start):
            end = source.find(">", start)
            if end < 0:
                return
            position = end + 1
            if source[start + 1] == "/":
                yield start, source[start + 1 : end].strip().lower()
        elif name := _NAME.match(source, start + 1):
            tag = name[0].lower()
            attributes = _attributes(source, name.end())
            if attributes is None:
                return
            places, position = attributes
            if tag in _LINKS or tag.startswith("v:"):
                hrefs += [Href(first, last, position if tag == "a" else None) for first, last in places]
            yield start, tag
            if tag in _RAW_TEXT:
                closing = re.compile(f"</{tag}", re.IGNORECASE).search(source, position)
                if closing is None:
                    return
                position = closing.start()
        else:
            position = start + 1


def _attributes(source: str, position: int) -> tuple[list[tuple[int, int]], int] | None:
    """(places of href values, position behind the tag); None when the tag does not end."""
    found = []
    while attribute := _ATTRIBUTE.match(source, position):
        position = attribute.end()
        if attribute["name"].lower() != "href":
            continue
        if group := next((group for group in ("double", "single", "bare") if attribute[group]), ""):
            first, value = attribute.start(group), attribute[group]
            first += len(value) - len(value.lstrip(_SPACE))
            found.append((first, first + len(value.strip(_SPACE))))
    end = _TAG_END.match(source, position)
    return None if end is None else (found, end.end())


def attribute_text(value: str) -> str:
    """What an attribute's value says (HTML, 13.2.5.73): `&amp;` is decoded, `&copy=1` is not an entity there."""
    return _ENTITY.sub(_decoded, value) if "&" in value else value


def _decoded(found: re.Match[str]) -> str:
    text = found[0]
    name, equals = (text[1:-1], "=") if text.endswith("=") else (text[1:], "")
    if name.startswith("#"):
        return html.unescape(f"&{name}") + equals
    if name not in html5 or (equals and not name.endswith(";")):
        return text
    return html5[name] + equals


_MARKUP = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
_ALT = re.compile(r"""<img\b[^>]*?\salt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)


def words_of(inside: str) -> str:
    """What people read of a piece of HTML: its text, or the words of its picture."""
    text = " ".join(html.unescape(_MARKUP.sub(" ", inside)).split())
    if not text and (picture := _ALT.search(inside)):
        text = " ".join(html.unescape(picture[1] or picture[2] or "").split())
    return text

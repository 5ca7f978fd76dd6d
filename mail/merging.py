"""The merge language of mails: `{{ 姓 }}`, `{{ 会社名|default("御社") }}`, `{% if 会社名 %}…{% else %}…{% endif %}`.

Deliberately small. minijinja renders it, but only after a check that admits names, strings, comparisons and a few
filters: no loops, calls, attributes, arithmetic, includes or macros, so a template can neither reach out of its
values nor grow without bound. This module knows nothing about which names exist: mail/merge_fields.py does.
"""

import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

import minijinja
from django.utils.translation import gettext as _

MAX_SOURCE = 500_000  # characters of one body
MAX_REFERENCES = 1_000  # merge fields in one body
MAX_OUTPUT = 5_000_000  # characters of one merged body
FUEL = (
    300_000  # minijinja's instructions for one mail, counted links included: a second fence behind the check
)


class TemplateError(ValueError):
    """A text cannot be merged. `line` counts from 1; str() is the sentence for the user, in the active language."""

    def __init__(self, line: int, text: str, name: str = "") -> None:
        super().__init__(_("Line %(line)s: %(text)s") % {"line": line, "text": text})
        self.line = line
        self.text = text
        self.name = name  # the unknown name, if that is what is wrong


def _or_else(value: Any, fallback: Any = "") -> Any:
    """`default` and 空なら: an empty value counts as missing, because a lead's empty column is an empty string."""
    return fallback if value is None or str(value).strip() == "" else value


def _upper(value: Any) -> str:
    return "" if value is None else str(value).upper()


def _lower(value: Any) -> str:
    return "" if value is None else str(value).lower()


def _trim(value: Any) -> str:
    return "" if value is None else str(value).strip()


FILTERS = {
    "default": _or_else, "空なら": _or_else, "upper": _upper, "大文字": _upper, "lower": _lower, "小文字": _lower,
    "trim": _trim, "空白除去": _trim,
}  # fmt: skip
WORDS = frozenset(
    {
        "and",
        "or",
        "not",
        "if",
        "else",
        "in",
        "is",
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
        "loop",
        "self",
    }
)
_OPERATORS = frozenset({"and", "or", "not"})
_TAGS = frozenset({"if", "elif", "else", "endif"})

_OPENING = re.compile(r"\{\{|\{%|\{#")
_TOKEN = re.compile(
    r"""\s+ | (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*') | (?P<number>\d+(?![\w])) | (?P<name>[^\W\d]\w*) | (?P<symbol>==|!=|[|(),])""",
    re.VERBOSE | re.DOTALL,
)


class Span(NamedTuple):
    """A piece of a source that is no text: `opening` is {{, {% or {#."""

    opening: str
    start: int
    end: int


@dataclass(frozen=True)
class Reference:
    """One use of a name in a source."""

    name: str
    line: int


_LITERAL = re.compile(r"\{[{%#]")
_LITERAL_BACK = re.compile(r"\{\{ '(\{[{%#])' \}\}")


def literal(text: str) -> str:
    """The source that renders as exactly this text: nothing in it is a merge field."""
    return _LITERAL.sub(lambda opening: "{{ '" + opening[0] + "' }}", text)


def unliteral(source: str) -> str:
    """The text `literal` was given."""
    return _LITERAL_BACK.sub(r"\1", source)


def normalise_newlines(text: str) -> str:
    """Every line end as LF, so that lines count the same in the browser, here and in minijinja."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_merge_name(name: str) -> bool:
    """Whether `{{ name }}` can be written: a letter first, then letters, digits and underscores."""
    match = _TOKEN.fullmatch(name)
    if not match or not match["name"] or name in WORDS:
        return False
    try:
        return bool(minijinja.Environment().undeclared_variables_in_str("{{ " + name + " }}") == {name})
    except minijinja.TemplateError:
        return False


def check_source(source: str) -> list[Reference]:
    """Every name the source uses, in order. Raises TemplateError for what the merge language does not have."""
    source = normalise_newlines(source)
    if len(source) > MAX_SOURCE:
        raise TemplateError(
            1, _("The text is too long: at most %(limit)s characters.") % {"limit": MAX_SOURCE}
        )
    references: list[Reference] = []
    for count, (kind, inside, offset) in enumerate(_blocks(source), start=1):
        references += _check_block(kind, inside, offset, source)
        if count > MAX_REFERENCES or len(references) > MAX_REFERENCES:
            line = _line_of(source, offset)
            raise TemplateError(
                line, _("There are more than %(limit)s merge fields.") % {"limit": MAX_REFERENCES}
            )
    try:
        _environment().add_template("source", source)
    except minijinja.TemplateError as error:
        raise TemplateError(error.line or 1, _explain(error)) from error
    return references


def used_names(source: str) -> list[str]:
    """The names a source merges, each once, in the order of their first use."""
    return list(dict.fromkeys(reference.name for reference in check_source(source)))


class Merger:
    """The sources of one mail, compiled once and rendered for each lead. Names without a value become empty."""

    def __init__(
        self,
        texts: Mapping[str, str],
        *,
        html_parts: frozenset[str] = frozenset(),
        add_marks: Callable[[str, str], str] | None = None,
    ) -> None:
        """`texts`: {"subject": source, …}. Values are HTML-escaped in `html_parts` only. Raises TemplateError.

        `add_marks(part, source)`: the source with merge fields of the product's own in it, which are not in `names`.
        """
        self._plain = _environment()
        self._escaped = _environment(_escape)
        self._fixed: dict[str, str] = {}
        self._html_parts = html_parts
        names: set[str] = set()
        for part, source in texts.items():
            source = normalise_newlines(source)
            names |= {reference.name for reference in check_source(source)}
            source = add_marks(part, source) if add_marks else source
            if _OPENING.search(source):
                self._environment(part).add_template(part, source)
            else:
                self._fixed[part] = source
        self.names = frozenset(names)

    def is_fixed(self, part: str) -> bool:
        """Whether the part merges nothing, so that it is the same for everybody."""
        return part in self._fixed

    def render(self, part: str, values: Mapping[str, str]) -> str:
        """The merged text. TemplateError when it grows past MAX_OUTPUT."""
        if part in self._fixed:
            return self._fixed[part]
        try:
            text = str(self._environment(part).render_template(part, **values))
        except minijinja.TemplateError as error:
            raise TemplateError(error.line or 1, _explain(error)) from error
        if len(text) > MAX_OUTPUT:
            raise TemplateError(1, _("The merged text is too long."))
        return text

    def _environment(self, part: str) -> minijinja.Environment:
        return self._escaped if part in self._html_parts else self._plain


def render_url(source: str, values: Mapping[str, str]) -> str:
    """A URL with its merge fields filled, every value percent-encoded (RFC 3986 2.1). Raises TemplateError."""
    if not _OPENING.search(source):
        return source
    try:
        return str(_url_environment(source).render_template("url", **values))
    except minijinja.TemplateError as error:
        raise TemplateError(error.line or 1, _explain(error)) from error


@lru_cache(maxsize=1000)
def _url_environment(source: str) -> minijinja.Environment:
    check_source(source)
    environment = _environment(_percent_encoded)
    environment.add_template("url", source)
    return environment


def _percent_encoded(value: Any) -> str:
    return "" if value is None else quote(str(value), safe="", errors="replace")


def _environment(finalizer: Callable[[Any], str] | None = None) -> minijinja.Environment:
    return minijinja.Environment(
        filters=FILTERS,
        undefined_behavior="lenient",
        keep_trailing_newline=True,
        pycompat=False,
        fuel=FUEL,
        auto_escape_callback=lambda name: False,
        finalizer=finalizer,
    )


def _escape(value: Any) -> str:
    # Not minijinja's own escaping: it also turns "/" into an entity, which link checkers do not read.
    return "" if value is None else html.escape(str(value))


def _line_of(source: str, offset: int) -> int:
    return source.count("\n", 0, offset) + 1


def spans(source: str) -> Iterator[Span]:
    """Every {{ }}, {% %} and {# #}, in order. TemplateError for one that is not closed."""
    position = 0
    while opening := _OPENING.search(source, position):
        kind = opening.group()
        closing = {"{{": "}}", "{%": "%}", "{#": "#}"}[kind]
        end = (
            source.find(closing, opening.end()) if kind == "{#" else _closing(source, opening.end(), closing)
        )
        if end < 0:
            raise TemplateError(
                _line_of(source, opening.start()),
                _('"%(opening)s" is not closed with "%(closing)s".') % {"opening": kind, "closing": closing},
            )
        position = end + 2
        yield Span(kind, opening.start(), position)


def _blocks(source: str) -> Iterator[tuple[str, str, int]]:
    """(opening, inside, offset of the inside) for every {{ }} and {% %}; comments are passed over."""
    for opening, start, end in spans(source):
        if opening != "{#":
            yield opening, source[start + 2 : end - 2], start + 2


def _closing(source: str, position: int, closing: str) -> int:
    """Where the block ends; a closing mark inside a string does not count. -1 when it does not end."""
    quote = ""
    while position < len(source):
        character = source[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif source.startswith(closing, position):
            return position
        elif source.startswith(("{{", "{%"), position):
            return -1
        position += 1
    return -1


def _check_block(kind: str, inside: str, offset: int, source: str) -> list[Reference]:
    if inside[:1] in {"-", "+"}:  # {{- … -}}: takes the white space beside it away
        inside, offset = inside[1:], offset + 1
    if inside[-1:] in {"-", "+"}:
        inside = inside[:-1]
    tokens = list(_tokens(inside, offset, source))
    if kind == "{%":
        line = _line_of(source, offset)
        if not tokens or tokens[0][1] not in _TAGS:
            used = tokens[0][1] if tokens else ""
            raise TemplateError(
                line,
                _(
                    '"{%% %(tag)s %%}" is not available. Use {%% if %%}, {%% elif %%}, {%% else %%} and {%% endif %%}.'
                )
                % {"tag": used},
            )
        tokens = tokens[1:]
    elif not tokens:
        raise TemplateError(_line_of(source, offset), _("A merge field without a name: {{ }}."))
    return _check_expression(tokens)


def _tokens(inside: str, offset: int, source: str) -> Iterator[tuple[str, str, int]]:
    """(kind, text, line) of every token; TemplateError for any other character."""
    position = 0
    while position < len(inside):
        match = _TOKEN.match(inside, position)
        line = _line_of(source, offset + position)
        if not match:
            raise TemplateError(
                line, _('"%(mark)s" cannot be used in a merge field.') % {"mark": inside[position]}
            )
        if match.lastgroup:
            yield match.lastgroup, match.group(), line
        position = match.end()


def _check_expression(tokens: list[tuple[str, str, int]]) -> list[Reference]:
    references = []
    for index, (kind, text, line) in enumerate(tokens):
        before = tokens[index - 1][1] if index else ""
        after = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        if (
            text == "("
            and not (index >= 2 and tokens[index - 2][1] == "|")
            and before not in {"", "(", ",", "==", "!="} | _OPERATORS
        ):
            raise TemplateError(line, _('"%(name)s(…)" cannot be called.') % {"name": before})
        if kind != "name":
            continue
        if before == "|":
            if text not in FILTERS:
                known = ", ".join(FILTERS)
                raise TemplateError(
                    line,
                    _('There is no filter "%(name)s". Available: %(known)s.')
                    % {"name": text, "known": known},
                )
        elif text in _OPERATORS:
            continue
        elif text in WORDS:
            raise TemplateError(line, _('"%(mark)s" cannot be used in a merge field.') % {"mark": text})
        elif after and tokens[index + 1][0] == "name" and after not in _OPERATORS:
            raise TemplateError(
                line,
                _('"%(first)s %(second)s": a merge field is one word without spaces.')
                % {"first": text, "second": after},
            )
        else:
            references.append(Reference(text, line))
    return references


def _explain(error: minijinja.TemplateError) -> str:
    """minijinja's own words for what the check let through (brackets, a missing endif)."""
    if "end of block" in (error.message or "") or "end of input" in (error.message or ""):
        return _("An {% if %} is not closed with {% endif %}.")
    return _("This merge field cannot be read: %(reason)s") % {
        "reason": (error.message or "").split(" (in ")[0]
    }

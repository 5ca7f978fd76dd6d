"""「式」 of 複合検索: `1 AND (2 OR NOT 3)` → a tree of numbers. Knows nothing of items or SQL.

Also read: かつ / または / でない (でない after what it denies, or before it), && || !, and full-width letters, digits and brackets.
NOT binds closest, then AND, then OR.
"""

import re
import unicodedata
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MAX_LENGTH = 500
MAX_DEPTH = 20


@dataclass(frozen=True)
class Block:
    """The block with this number, counted from 1."""

    number: int


@dataclass(frozen=True)
class Not:
    inner: "Node"


@dataclass(frozen=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    parts: tuple["Node", ...]


Node = Block | Not | And | Or

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+)|(?P<word>AND|OR|NOT|かつ|または|でない|&&|\|\||!|\(|\)))", re.IGNORECASE
)
_MEANING = {"かつ": "AND", "&&": "AND", "または": "OR", "||": "OR", "でない": "でない", "!": "NOT"}


@dataclass(frozen=True)
class _Token:
    kind: str  # number, AND, OR, NOT, でない, (, ), end
    text: str
    position: int  # from 1, in the text as typed


def parse_expression(text: str, blocks: int) -> Node:
    """The tree of an expression over `blocks` blocks; ValidationError says what is wrong and at which character."""
    if len(text) > MAX_LENGTH:
        raise ValidationError(
            _("The expression is longer than %(limit)s characters.") % {"limit": MAX_LENGTH},
            code="expression_too_long",
        )
    parser = _Parser(_tokens(text), blocks)
    tree = parser.read()
    missing = [str(number) for number in range(1, blocks + 1) if number not in parser.used]
    if missing:
        raise ValidationError(
            _("Expression: block %(numbers)s is not used. Use it or remove the block.")
            % {"numbers": ", ".join(missing)},
            code="expression_unused",
        )
    return tree


def _wrong(position: int, what: str) -> ValidationError:
    return ValidationError(
        _("Expression, character %(position)s: %(what)s") % {"position": position, "what": what},
        code="expression",
    )


def _tokens(typed: str) -> list[_Token]:
    # Character by character, so that positions stay those of the text as typed.
    text, origin = "", []
    for position, character in enumerate(typed, start=1):
        plain = unicodedata.normalize("NFKC", character)
        text += plain
        origin += [position] * len(plain)
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        start = at + len(text[at:]) - len(text[at:].lstrip())
        if match is None:
            raise _wrong(
                origin[start],
                _("“%(text)s” is not understood. Use block numbers, AND, OR, NOT and brackets.")
                % {"text": text[start]},
            )
        found = match.group("number") or match.group("word")
        kind = "number" if match.group("number") else _MEANING.get(found, found.upper())
        tokens.append(_Token(kind, found, origin[start]))
        at = match.end()
        # `AND2` and `1AND2` read well enough; `ANDY` does not.
        if (
            kind in {"AND", "OR", "NOT"}
            and found.isascii()
            and found.isalpha()
            and text[at : at + 1].isalpha()
            and text[at].isascii()
        ):
            raise _wrong(
                origin[start],
                _("“%(text)s” is not understood. Use block numbers, AND, OR, NOT and brackets.")
                % {"text": text[start : at + 1]},
            )
    tokens.append(_Token("end", "", len(typed) + 1))
    return tokens


class _Parser:
    """Recursive descent; its depth is bounded by MAX_DEPTH, so hostile input cannot exhaust the stack."""

    def __init__(self, tokens: list[_Token], blocks: int) -> None:
        self.tokens = tokens
        self.blocks = blocks
        self.at = 0
        self.used: set[int] = set()

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self, kind: str) -> bool:
        if self.token.kind != kind:
            return False
        self.at += 1
        return True

    def read(self) -> Node:
        tree = self.either(0)
        if self.token.kind == ")":
            raise _wrong(self.token.position, _("this bracket was never opened."))
        if self.token.kind != "end":
            raise _wrong(
                self.token.position, _("AND or OR is missing before “%(text)s”.") % {"text": self.token.text}
            )
        return tree

    def either(self, depth: int) -> Node:
        parts = [self.both(depth)]
        while self.take("OR"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self, depth: int) -> Node:
        parts = [self.denied(depth)]
        while self.take("AND"):
            parts.append(self.denied(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def denied(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _wrong(
                self.token.position,
                _("more than %(limit)s brackets and NOTs inside each other.") % {"limit": MAX_DEPTH},
            )
        if self.take("NOT") or self.take("でない"):
            return Not(self.denied(depth + 1))
        node = self.single(depth)
        while self.take("でない"):
            node = Not(node)
            depth += 1
            if depth > MAX_DEPTH:
                raise _wrong(
                    self.token.position,
                    _("more than %(limit)s brackets and NOTs inside each other.") % {"limit": MAX_DEPTH},
                )
        return node

    def single(self, depth: int) -> Node:
        token = self.token
        if self.take("number"):
            number = int(token.text) if len(token.text) < 6 else 0
            if not 1 <= number <= self.blocks:
                raise _wrong(token.position, _("there is no block %(number)s.") % {"number": token.text[:10]})
            self.used.add(number)
            return Block(number)
        if self.take("("):
            node = self.either(depth + 1)
            if not self.take(")"):
                raise _wrong(token.position, _("this bracket is never closed."))
            return node
        if token.kind == "end":
            raise _wrong(token.position, _("the expression ends too early; a block number is missing."))
        raise _wrong(
            token.position, _("a block number is expected here, not “%(text)s”.") % {"text": token.text}
        )

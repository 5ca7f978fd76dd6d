"""URLs of pages as people write them, with * for anything: step mails start from them, searches ask for them (STEP-3).

    www.example.jp/seminar/*          any page below, and /seminar itself; http and https
    https://www.example.jp/thanks?ref=mail*

The host stands in full, so that no pattern means every page. Without ? the query of a page does not count; a slash at the
end never counts. Both sides are brought into one form first (`stored_url`): A-labels, no default port, percent encoding
as in RFC 3986, 6.2.2, nothing behind #. No I/O.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

import idna
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db.models import BooleanField, F, Func, Q, TextField, Value
from django.utils.translation import gettext as _

PATTERN_MAX = 1000
STARS_MAX = 10
_SCHEMES = ("http", "https")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NOT_IN_URLS = re.compile(r"[\s\x00-\x1f\x7f<>\"\\^`{|}\ud800-\udfff]")


@dataclass(frozen=True)
class _Parts:
    scheme: str  # "" = both
    host: str  # A-labels, with a port that is not the scheme's own
    path: str  # with its slash in front, without one at its end
    query: str | None  # without its ?


def stored_url(url: str) -> str:
    """A page's address in the one form; as it is stored, so that `url_q` can compare it. ValueError when it is no http
    or https URL."""
    text = unicodedata.normalize("NFC", url.strip())
    if "\0" in text:
        raise ValueError("no URL")
    split = urlsplit(text)  # ValueError for a host like [::1
    if split.scheme not in _SCHEMES:
        raise ValueError("neither http nor https")
    host = _host(split.netloc.rpartition("@")[2], split.scheme)
    path = _encoded(split.path, star="%2A") or "/"
    return f"{split.scheme}://{host}{path}" + (f"?{_encoded(split.query, star='%2A')}" if split.query else "")


def matches(pattern: str, url: str) -> bool:
    """Whether the page is meant. A URL that is none is never meant; ValidationError for a pattern that is none."""
    try:
        scheme, _colon, rest = stored_url(url).partition("://")
    except ValueError:
        return False
    page, mark, query = rest.partition("?")
    wanted = _read(pattern)
    if wanted.scheme not in ("", scheme):
        return False
    subject = page.rstrip("/") + (mark + query if wanted.query is not None else "")
    return any(_like(glob, subject) for glob in _globs(wanted))


def check_pattern(text: str) -> str:
    """What is stored of a pattern that somebody wrote; ValidationError says what is wrong with it."""
    text = unicodedata.normalize("NFC", text.strip())
    _read(text)
    return text.partition("#")[0]


def host_of(pattern: str) -> str:
    """The host it names, in A-labels, with a port that is not its scheme's own. ValidationError for a pattern that is none."""
    return _read(pattern).host


def to_like(pattern: str) -> list[str]:
    """LIKE patterns (escape \\): a page is meant if its address is like one of them. Its address is `stored_url` without
    slashes at the end of its path, and without its query unless the pattern has one (`url_q` says that in SQL)."""
    wanted = _read(pattern)
    return [
        f"{scheme}://" + "%".join(re.sub(r"([\\%_])", r"\\\1", part) for part in glob.split("*"))
        for scheme in ([wanted.scheme] if wanted.scheme else _SCHEMES)
        for glob in _globs(wanted)
    ]


def url_q(column: str, pattern: str) -> Q:
    """The same question for a database column that holds `stored_url`s."""
    page: Any = Func(
        Func(F(column), Value("?"), Value(1), function="split_part"),
        Value("/"),
        function="rtrim",
        output_field=TextField(),
    )
    if _read(pattern).query is not None:
        query = Func(F(column), Value(r"\?.*$"), function="substring", output_field=TextField())
        page = Func(page, query, function="concat", output_field=TextField())
    globs = Func(Value(to_like(pattern), output_field=ArrayField(TextField())), function="ANY")
    like = Func(page, globs, template="(%(expressions)s)", arg_joiner=" LIKE ", output_field=BooleanField())
    return Q(like)


@lru_cache(maxsize=500)
def _read(pattern: str) -> _Parts:
    text = unicodedata.normalize("NFC", pattern.strip()).partition("#")[0]
    if not text:
        raise ValidationError(_("Enter the URL of a page."), code="blank")
    if len(text) > PATTERN_MAX:
        raise ValidationError(
            _("The URL can have at most %(limit)s characters.") % {"limit": PATTERN_MAX}, code="too_long"
        )
    if _NOT_IN_URLS.search(text):
        raise ValidationError(
            _("The URL contains a space, a backslash or another character that no URL has."), code="character"
        )
    scheme, colon, rest = text.partition("://")
    if not colon or re.search(r"[/?*]", scheme):
        scheme, rest = "", text
    scheme = scheme.lower()
    if scheme not in ("", *_SCHEMES):
        raise ValidationError(
            _("The URL must begin with https:// or http://, or with the host."), code="scheme"
        )
    page, mark, query = rest.partition("?")
    netloc, slash, path = page.partition("/")
    if "*" in netloc or not netloc:
        raise ValidationError(
            _("Write the host in full, such as www.example.jp; * may only stand behind it. Otherwise every page would be meant."),
            code="host",
        )  # fmt: skip
    try:
        if "@" in netloc:
            raise ValueError("credentials")
        if not scheme:  # a scheme's own port says which one is meant
            scheme = next((one for one, port in _DEFAULT_PORTS.items() if netloc.endswith(f":{port}")), "")
        host = _host(netloc, scheme)
    except ValueError as error:
        raise ValidationError(
            _("“%(host)s” is no host name.") % {"host": netloc[:100]}, code="host"
        ) from error
    if rest.count("*") > STARS_MAX:
        raise ValidationError(
            _("* may stand in a URL at most %(limit)s times.") % {"limit": STARS_MAX}, code="stars"
        )
    return _Parts(
        scheme,
        host,
        _encoded(slash + path, star="*").rstrip("/"),
        _encoded(query, star="*") if mark and query else None,
    )


def _globs(wanted: _Parts) -> list[str]:
    """The host and path (and query), with * for anything. What means all below a page means the page too."""
    paths = [wanted.path]
    if wanted.path.endswith("/*"):
        paths.append(wanted.path[:-2].rstrip("/"))
    query = "" if wanted.query is None else f"?{wanted.query}"
    return [f"{wanted.host}{path}{query}" for path in paths]


def _like(glob: str, subject: str) -> bool:
    """From the left, each part as early as possible: never slow, whatever is asked."""
    first, *others = glob.split("*")
    if not others:
        return subject == first
    if not subject.startswith(first):
        return False
    place = len(first)
    for part in others[:-1]:
        found = subject.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(subject) - len(others[-1]) >= place and subject.endswith(others[-1])


def _host(netloc: str, scheme: str) -> str:
    """ValueError when it is none. The port stays where it is not the scheme's own."""
    name, _colon, port = netloc.rpartition(":") if re.search(r":\d*$", netloc) else (netloc, "", "")
    name = unicodedata.normalize("NFKC", name).lower().rstrip(".")
    if not name.isascii():
        name = idna.encode(name, uts46=True).decode("ascii").lower()  # UnicodeError is a ValueError
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("no host name")
    if port:
        if not 0 < int(port[:6]) < 65536:
            raise ValueError("no port")
        port = str(int(port))
    own = {_DEFAULT_PORTS[scheme]} if scheme else set()
    return f"{name}:{port}" if port and port not in own else name


def _encoded(text: str, *, star: str) -> str:
    """RFC 3986, 6.2.2: what need not be encoded is not, everything else is, in upper case."""
    done, last = [], 0
    for escape in _ESCAPE.finditer(text):
        done.append(_quoted(text[last : escape.start()], star))
        last = escape.end()
        if escape[1] is None:
            done.append("%25")
        else:
            character = chr(int(escape[1], 16))
            done.append(character if character in _UNRESERVED else f"%{escape[1].upper()}")
    done.append(_quoted(text[last:], star))
    return "".join(done)


def _quoted(text: str, star: str) -> str:
    return quote(text, safe="/:@!$&'()+,;=?-._~*", errors="replace").replace("*", star)

"""Where a click leads, for the door that answers it (TRK-6): only to the URL stored under the id of the link.

A registered URL never changes, so a process keeps those it has met. Merge values are read only for URLs with merge fields.
"""

import threading
from collections import OrderedDict
from urllib.parse import quote, urlsplit

import idna

from mail.counted_links import has_fields, target_of
from mail.message import with_address
from mail.models.counting import CountedUrl
from mail.models.delivery import Delivery

KEPT = 10_000  # URLs

_kept: OrderedDict[int, str] = OrderedDict()
_lock = threading.Lock()


def target(delivery_id: int, url_id: int) -> str | None:
    """The URL to redirect to, in ASCII and ready for a Location field; None when there is no such URL, or when it cannot
    be filled. No query for a URL met before, one more for a URL with merge fields. A mail's values are those it was
    made with; a link of a test mail (NOBODY) has none."""
    url = _url(url_id)
    if url is None:
        return None
    try:
        return location(target_of(url, _values(delivery_id) if has_fields(url) else {}))
    except ValueError:
        return None


def forget_urls() -> None:
    """For tests, whose ids come again."""
    with _lock:
        _kept.clear()


def _url(url_id: int) -> str | None:
    with _lock:
        if url_id in _kept:
            _kept.move_to_end(url_id)
            return _kept[url_id]
    url = CountedUrl.objects.filter(pk=url_id).values_list("url", flat=True).first()
    if url is not None:
        with _lock:
            _kept[url_id] = url
            if len(_kept) > KEPT:
                _kept.popitem(last=False)
    return url


def _values(delivery_id: int) -> dict[str, str]:
    row = Delivery.objects.filter(pk=delivery_id).values_list("merge_values", "address").first()
    if row is None:
        return {}
    values, address = row
    return with_address(values or {}, address or None)


def location(url: str) -> str:
    """A URL as HTTP carries it (RFC 3986): the host in A-labels, everything else that is not ASCII percent-encoded.
    ValueError for a host that is none."""
    parts = urlsplit(url)
    host = parts.netloc
    if not host.isascii():
        name, colon, port = host.partition(":")
        host = idna.encode(name, uts46=True).decode("ascii") + colon + port
    begin = url.index("//") + 2
    rest = url[begin + len(parts.netloc) :]
    return url[:begin] + host + quote(rest, safe="!#$%&'()*+,-./:;=?@[]_~")

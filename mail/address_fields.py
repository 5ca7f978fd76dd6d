"""ADDR-1..3: fields that hold addresses and merge fields. Pure: checked when saved, split again for every mail."""

import re
from collections.abc import Iterable

from django.utils.translation import gettext as _

from leads.address import check_email, smtp_address
from mail.merge_fields import check_names
from mail.merging import TemplateError

LIST_MAX = 1000  # characters as typed, before merging
SINGLE_MAX = 320

_MERGE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")
_BREAKING = re.compile(r"[\x00-\x20<>\x7f]")  # what would end an address in the envelope
_SEPARATORS = ";；，、"


class AddressFieldError(ValueError):
    """What is wrong with an address field, as a sentence for the user."""


def split_addresses(text: str, *, several: bool) -> list[str]:
    """The items of an address field, as typed: addresses or texts with merge fields; [] for an empty field.

    ADDR-1: separated by a comma, after which one half-width space may stand; at most 1000 characters.
    ADDR-2: `;` `，` `、`, and in a single-address field a comma too, raise AddressFieldError.
    """
    limit = LIST_MAX if several else SINGLE_MAX
    if len(text) > limit:
        raise AddressFieldError(
            _("Enter at most %(limit)s characters (now %(length)s).") % {"limit": limit, "length": len(text)}
        )
    if not text.strip():
        return []
    # A comma inside a merge field ({{ 会社名|default("a,b") }}) separates nothing.
    outside = _MERGE.sub(lambda match: "\0" * len(match.group()), text)
    wrong = any(mark in outside for mark in _SEPARATORS) or "{%" in outside
    if wrong or (not several and "," in outside):
        raise AddressFieldError(_check_format())
    items: list[str] = []
    start = 0
    for part in outside.split(","):
        item = text[start : start + len(part)]
        start += len(part) + 1
        items.append(item.removeprefix(" ") if items else item)
    if any(not item or item != item.strip() for item in items):
        raise AddressFieldError(_check_format())
    return items


def check_address_field(text: str, *, several: bool, names: Iterable[str]) -> None:
    """Raises AddressFieldError for a field that cannot be saved; `names` are the merge fields that exist."""
    names = list(names)
    for item in split_addresses(text, several=several):
        if "{{" in item or "}}" in item:
            try:
                check_names(item, names)
            except TemplateError as error:
                raise AddressFieldError(error.text) from error
            continue
        check = check_email(item)
        if check.malformed:
            raise AddressFieldError(f"{item}: {check.text}")


def envelope_form(address: str) -> str:
    """The address for the envelope and the headers. ValueError for what is none, or is more than one."""
    if _CONTROL.search(address):
        raise ValueError(_("It contains an invisible character; type it again."))
    ascii_form = smtp_address(address)
    if not ascii_form.isascii() or _BREAKING.search(ascii_form):
        raise ValueError(_check_format())
    return ascii_form


def _check_format() -> str:
    return _("Check the format of what you entered.")

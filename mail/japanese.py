"""CHR-1: what ISO-2022-JP can carry, and the few characters that are only another spelling of one it can.

Nothing here ever produces "?": a text either fits or it does not, and then the mail goes out as UTF-8.
"""

import re
import unicodedata
from typing import NamedTuple

# The same JIS character under two code points, depending on whose table a keyboard follows (Windows types the first).
SPELLINGS = {"～": "〜", "－": "−", "∥": "‖", "￠": "¢", "￡": "£", "￢": "¬", "—": "―"}
_RESPELL = str.maketrans(SPELLINGS)
# A kana followed by a combining mark: how macOS stores が. Only these are composed; NFC as a whole would also
# replace compatibility ideographs, and with them people's names.
_LOOSE_MARK = re.compile("[ぁ-ゟァ-ヿ][\u3099\u309a]")
# Controls have no business in a mail, least of all ESC, which switches character sets in ISO-2022-JP.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Unencodable(NamedTuple):
    """A character that ISO-2022-JP cannot carry as it stands."""

    character: str
    line: int  # from 1
    column: int  # from 1
    sent_as: str  # the other spelling that is sent instead, or "" when there is none


def compose_kana(text: str) -> str:
    """か + U+3099 → が."""
    if "\u3099" not in text and "\u309a" not in text:
        return text  # nearly always; looking for two characters is much cheaper than the pattern
    return _LOOSE_MARK.sub(lambda match: unicodedata.normalize("NFC", match.group()), text)


def without_controls(text: str) -> str:
    """The text without control characters; tabs and line feeds stay."""
    return _CONTROL.sub("", text)


def as_iso_2022_jp(text: str) -> bytes | None:
    """The text in ISO-2022-JP, every line ending in ASCII; None when a character does not fit."""
    text = compose_kana(text)
    if any(map(text.__contains__, SPELLINGS)):
        text = text.translate(_RESPELL)  # slow, and seldom needed
    if "\x1b" in text or "\x0e" in text or "\x0f" in text:
        return None
    try:
        return text.encode("iso2022_jp")
    except UnicodeEncodeError:
        return None


def unencodable(text: str) -> list[Unencodable]:
    """Every character that does not fit into ISO-2022-JP, with its place; those with another spelling included."""
    found = []
    for number, line in enumerate(compose_kana(text).split("\n"), start=1):
        if as_iso_2022_jp(line) is not None and not any(character in SPELLINGS for character in line):
            continue
        for column, character in enumerate(line, start=1):
            if character in SPELLINGS or as_iso_2022_jp(character) is None:
                found.append(Unencodable(character, number, column, SPELLINGS.get(character, "")))
    return found

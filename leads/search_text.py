"""What 簡易検索 looks through: one folded text per lead, made by PostgreSQL (Lead.search_text), and the same folding
for what was typed. Folding is for searching only; stored values stay as they are.

Folded away: width (ｱ ア, Ａ A), case, katakana and hiragana (ア あ), and variants of characters frequent in names
(髙 高, 齋 斎). One text, because LIKE over one narrow column takes a third of the time of six ILIKEs.
"""

import unicodedata

from django.db.models import F, Func, TextField

FIELDS = ("last_name", "first_name", "last_name_kana", "first_name_kana", "email", "company")

_KATAKANA = "".join(map(chr, range(0x30A1, 0x30F7)))
_HIRAGANA = "".join(map(chr, range(0x3041, 0x3097)))
_VARIANTS = "髙﨑嵜齋齊斉邊邉澤濱濵廣嶋嶌𠮷眞國櫻德瀨槇"
_COMMON = "高崎崎斎斎斎辺辺沢浜浜広島島吉真国桜徳瀬槙"
# Only ASCII is lower-cased: what lower() does beyond it depends on the database's locale.
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_FROM, _TO = _UPPER + _KATAKANA + _VARIANTS, _LOWER + _HIRAGANA + _COMMON
_FOLD = str.maketrans(_FROM, _TO)


def fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_FOLD)


def search_terms(typed: str) -> list[str]:
    """The words somebody typed, folded; each must occur. At most ten, so that nobody builds a huge condition."""
    return fold(typed.replace("\0", " ")).split()[:10]


def search_text_expression() -> Func:
    """Last and first name without a space between, so that 髙橋太郎 is found as well as 髙橋 太郎; then the others."""
    name, kana = (
        Func(*pair, template="%(expressions)s", arg_joiner=" || ") for pair in (FIELDS[:2], FIELDS[2:4])
    )
    # translate() compares every character with every letter of its list: over addresses too, and with A-Z in the list,
    # it cost 45 µs a lead, more than all the rest of an import. Addresses are stored in NFKC already (EXC-4).
    folded = Func(
        name, kana, F("company"),
        template=f"translate(normalize(%(expressions)s, NFKC), '{_KATAKANA}{_VARIANTS}', '{_HIRAGANA}{_COMMON}')",
        arg_joiner=" || ' ' || ",
    )  # fmt: skip
    return Func(
        folded, F("email"),
        template='lower((%(expressions)s) COLLATE "C")',
        arg_joiner=" || ' ' || ",
        output_field=TextField(),
    )  # fmt: skip

"""What 簡易検索 looks through: one folded text per lead (Lead.search_text), and the same folding for what was typed.
Folding is for searching only; stored values stay as they are.

Folded away: width (ｱ ア, Ａ A), case, katakana and hiragana (ア あ), and variants of characters frequent in names
(髙 高, 齋 斎). One text, because LIKE over one narrow column takes a third of the time of six ILIKEs.

A trigger of PostgreSQL keeps the text right whatever writes a lead, also raw SQL. It folds with translate(), which compares
every character with every letter of its list: 40 µs a lead, more than all the rest of an import. (As a generated column
it was that for everybody.) So an INSERT may bring the text along, as an import does: search_texts() folds a column of a
batch at once, in 3 µs a lead. A changed lead is always folded by the trigger: no text ever goes stale.
"""

import unicodedata
from collections.abc import Sequence

FIELDS = ("last_name", "first_name", "last_name_kana", "first_name_kana", "email", "company")

_KATAKANA = "".join(map(chr, range(0x30A1, 0x30F7)))
_HIRAGANA = "".join(map(chr, range(0x3041, 0x3097)))
_VARIANTS = "髙﨑嵜齋齊斉邊邉澤濱濵廣嶋嶌𠮷眞國櫻德瀨槇"
_COMMON = "高崎崎斎斎斎辺辺沢浜浜広島島吉真国桜徳瀬槙"
# Only ASCII is lower-cased: what lower() does beyond it depends on the database's locale.
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_ASCII = str.maketrans(_UPPER, _LOWER)
_FOLD = str.maketrans(_UPPER + _KATAKANA + _VARIANTS, _LOWER + _HIRAGANA + _COMMON)
_BETWEEN = "\x1f"


def fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_FOLD)


def search_terms(typed: str) -> list[str]:
    """The words somebody typed, folded; each must occur. At most ten, so that nobody builds a huge condition."""
    return fold(typed.replace("\0", " ")).split()[:10]


def search_texts(
    last_names: Sequence[str],
    first_names: Sequence[str],
    last_kanas: Sequence[str],
    first_kanas: Sequence[str],
    emails: Sequence[str],
    companies: Sequence[str],
) -> list[str]:
    """Lead.search_text of many leads, value by value as in FIELDS. No value may hold U+001F."""
    texts = _BETWEEN.join(
        map(
            "{}{} {}{} {}".format,
            last_names, first_names, last_kanas, first_kanas, companies,
        )
    )  # fmt: skip
    addresses = _BETWEEN.join(emails).translate(_ASCII)
    return list(map("{} {}".format, fold(texts).split(_BETWEEN), addresses.split(_BETWEEN)))


def trigger_sql() -> str:
    """The trigger that folds. After a change of the folding: a migration with this again, and with
    `UPDATE leads_lead SET search_text = '-'`, which makes it fold every lead anew.

    Last and first name without a space between, so that 髙橋太郎 is found as well as 髙橋 太郎; then the others. Addresses
    are stored in NFKC already (EXC-4); lower() with collation C is the same on every server.
    """
    changed = " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in (*FIELDS, "search_text"))
    return f"""
        CREATE OR REPLACE FUNCTION fold_lead() RETURNS trigger LANGUAGE plpgsql AS $fold$
        BEGIN
            NEW.search_text := lower((translate(normalize(
                NEW.last_name || NEW.first_name || ' ' || NEW.last_name_kana || NEW.first_name_kana || ' ' || NEW.company,
                NFKC), '{_KATAKANA}{_VARIANTS}', '{_HIRAGANA}{_COMMON}') || ' ' || NEW.email) COLLATE "C");
            RETURN NEW;
        END $fold$;
        CREATE OR REPLACE TRIGGER fold_new_lead BEFORE INSERT ON leads_lead
            FOR EACH ROW WHEN (NEW.search_text = '') EXECUTE FUNCTION fold_lead();
        CREATE OR REPLACE TRIGGER fold_changed_lead BEFORE UPDATE OF {", ".join(FIELDS)}, search_text ON leads_lead
            FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION fold_lead();
    """

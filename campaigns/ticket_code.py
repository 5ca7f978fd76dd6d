"""The code on a ticket (TKT-4): 8 characters that are read out and typed, the last one a check on the others."""

import re
import secrets
import unicodedata

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # without 0/O, 1/I/L and U
LENGTH = 8
LONGEST_INPUT = 100
_HYPHENS = re.compile("[-‐‑‒–—―−ー]")  # what keyboards and input methods make of a hyphen


def random_code() -> str:
    body = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH - 1))
    return body + check_character(body)


def check_character(body: str) -> str:
    """Luhn mod N over ALPHABET: any one wrong character is noticed, and nearly all pairs that changed places."""
    total, factor = 0, 2
    for character in reversed(body):
        addend = factor * ALPHABET.index(character)
        total += addend // len(ALPHABET) + addend % len(ALPHABET)
        factor = 3 - factor
    return ALPHABET[-total % len(ALPHABET)]


def clean_code(text: str) -> str | None:
    """The code as stored, from what was typed or scanned (full-width, lower case, spaces and hyphens are all right);
    None when it cannot be one."""
    if len(text) > LONGEST_INPUT:
        return None
    code = "".join(_HYPHENS.sub("", unicodedata.normalize("NFKC", text)).upper().split())
    if len(code) != LENGTH or any(character not in ALPHABET for character in code):
        return None
    return code if check_character(code[:-1]) == code[-1] else None

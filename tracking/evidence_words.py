"""The evidence of a hit in sentences (TRK-4)."""

from collections.abc import Iterable

from tracking.judge import EVIDENCE


def evidence_words(codes: Iterable[str]) -> list[str]:
    """A code that the rules of today no longer know is shown as it is."""
    return [str(EVIDENCE.get(code, code)) for code in codes]

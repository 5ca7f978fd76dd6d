"""One line of a check list (LAW-3): what was asked, what came back, what to do. Kept as code and values, so that it
reads in whatever language the page has; the sentences stand in mail/check_texts.py."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mail.check_texts import TEXTS, TITLES

OK, WARNING, WRONG, UNKNOWN = "ok", "warning", "wrong", "unknown"
WORST_FIRST = (WRONG, UNKNOWN, WARNING, OK)
FOUND_MAX = 5  # records shown of one answer
FOUND_LENGTH = 600


@dataclass(frozen=True)
class CheckItem:
    """`key`: spf, dkim:<selector>, ptr:<address> …; `group`: domain, system (holds for every domain), source.

    `found`: the records DNS has; `wanted`: the value to publish at `name` as `type`, "" where that is not ours to say.
    """

    key: str
    state: str
    code: str
    group: str = "domain"
    params: dict[str, str] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    wanted: str = ""
    name: str = ""
    type: str = ""

    @property
    def title(self) -> str:
        kind, _colon, rest = self.key.partition(":")
        return f"{TITLES[kind]} {rest}".strip()

    @property
    def text(self) -> str:
        return str(TEXTS[self.code]) % self.params

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "key": self.key, "state": self.state, "code": self.code, "group": self.group, "params": self.params,
            "found": list(self.found), "wanted": self.wanted, "name": self.name, "type": self.type,
        }  # fmt: skip


def from_json(stored: dict[str, Any]) -> CheckItem | None:
    """None for a line of an older version whose sentence is gone."""
    if stored.get("code") not in TEXTS or stored.get("key", "").partition(":")[0] not in TITLES:
        return None
    return CheckItem(**{**stored, "found": tuple(stored["found"])})


def worst(items: Iterable[CheckItem]) -> str:
    """The state of a whole list; unknown when there is nothing in it."""
    states = {item.state for item in items}
    return next((state for state in WORST_FIRST if state in states), UNKNOWN)


def shown(values: Iterable[str]) -> tuple[str, ...]:
    """What DNS said, fit to be stored and shown: a few records, each of bearable length, nothing unprintable."""
    kept = list(values)
    cut = [
        "".join(c if c.isprintable() else "\ufffd" for c in value[:FOUND_LENGTH])
        + ("…" if len(value) > FOUND_LENGTH else "")
        for value in kept[:FOUND_MAX]
    ]
    return tuple(cut) + (("…",) if len(kept) > FOUND_MAX else ())

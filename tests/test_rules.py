"""Every rule of docs/rules.md is proved by a test that names its id, and no test names a rule that is not there."""

import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
RULE = re.compile(r"^- \*\*([A-Z]+-\d+)\*\*", re.MULTILINE)
FAMILIES = "NAV|TGT|EXC|OPT|FLAG|TEST|TKT|RES|ADDR|ERR|RATE|TRK|RSV|STEP|MAG|WEB|APP|CSV|API|LAW|CHR|SYS"
NAMED = re.compile(rf"(?<![A-Za-z0-9_-])((?:{FAMILIES})-\d+)(?:(?:\.\.|–)(\d+))?(?![A-Za-z0-9_-])")


def rules() -> list[str]:
    return RULE.findall((PROJECT / "docs" / "rules.md").read_text(encoding="utf-8"))


@cache
def named_by_tests() -> set[str]:
    """Ids in the texts of the tests; `CHR-3..5` names three."""
    found = set()
    for path in (PROJECT / "tests").rglob("test_*.py"):
        if path != Path(__file__).resolve():
            for rule, last in NAMED.findall(path.read_text(encoding="utf-8")):
                family, first = rule.split("-")
                found |= {f"{family}-{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def test_each_rule_stands_once():
    assert sorted(rules()) == sorted(set(rules()))


@pytest.mark.parametrize("rule", rules())
def test_rule_is_named_by_a_test(rule):
    assert rule in named_by_tests()

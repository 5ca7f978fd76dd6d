"""「式」: what it means, and that every mistake is named with its position."""

import contextlib

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from leads.search.expression import And, Block, Node, Not, parse_expression


def value(node: Node, truth: tuple[bool, ...]) -> bool:
    if isinstance(node, Block):
        return truth[node.number - 1]
    if isinstance(node, Not):
        return not value(node.inner, truth)
    answers = [value(part, truth) for part in node.parts]
    return all(answers) if isinstance(node, And) else any(answers)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("1 AND (2 OR NOT 3)", "a and (b or not c)"),
        ("1 and 2 or 3", "a and b or c"),
        ("1 or 2 and 3", "a or b and c"),
        ("not 1 and 2 or 3", "(not a) and b or c"),
        ("NOT (1 AND 2) AND 3", "not (a and b) and c"),
        ("１　ＡＮＤ　（２　ＯＲ　ＮＯＴ　３）", "a and (b or not c)"),
        ("1かつ(2または3でない)", "a and (b or not c)"),
        ("(1または2)でない かつ 3", "not (a or b) and c"),
        ("1AND2OR3", "a and b or c"),
        ("1 && !2 || 3", "a and (not b) or c"),
        ("NOT NOT 1 AND 2 AND 3", "a and b and c"),
        ("((1)) AND 2 AND 3", "a and b and c"),
    ],
)
def test_meaning(text, python):
    tree = parse_expression(text, 3)
    for bits in range(8):
        a, b, c = truth = (bool(bits & 1), bool(bits & 2), bool(bits & 4))
        assert value(tree, truth) == eval(python, {}, {"a": a, "b": b, "c": c}), truth


@pytest.mark.parametrize(
    ("text", "blocks", "position"),
    [
        ("", 1, 1),
        ("1 AND", 1, 6),
        ("1 2", 2, 3),
        ("(1", 1, 1),
        ("1)", 1, 2),
        ("1 AND 4", 3, 7),
        ("0", 1, 1),
        ("1 ANDY 2", 2, 3),
        ("1 XOR 2", 2, 3),
        ("1 AND ' OR 1=1", 2, 7),
        ("1　かつ　あ", 1, 6),
        ("AND 1", 1, 1),
        ("999999999999999999999", 1, 1),
        ("1 AND NOT", 1, 10),
    ],
)
def test_mistakes_name_their_position(text, blocks, position):
    with pytest.raises(ValidationError) as caught:
        parse_expression(text, blocks)
    assert str(position) in caught.value.messages[0].split("“")[0].split("「")[0]


def test_unused_block_is_a_mistake():
    with pytest.raises(ValidationError) as caught:
        parse_expression("1 OR 1", 3)
    assert "2, 3" in caught.value.messages[0]


@pytest.mark.parametrize(
    "text", ["(" * 400 + "1" + ")" * 90, "NOT " * 120 + "1", "1" + "でない" * 100, "1 AND " * 200 + "1"]
)
def test_depth_and_length_are_bounded(text):
    with pytest.raises(ValidationError):
        parse_expression(text, 1)


@given(st.text(alphabet="12()（ ANDORNOTかつまたはでない&|!１あ\x00", max_size=60))
def test_anything_is_read_or_refused(text):
    with contextlib.suppress(ValidationError):
        parse_expression(text, 2)

"""Tokens stand in mails for years: they never change, whatever makes them faster."""

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from smp.lib.signing import read_id, read_pair, sign_id, sign_pair

OF_OLD = {
    ("opt-out", 0): "00.dv9f99db3dqab6go",
    ("opt-out", 5): "0k.ke5jhgkbp5s631rj",
    ("bounce", 10**12): "t3aaa400.gof1ds7n1c5ek4rf",
    ("one-click-7", 2**62): "8000000000000.a62fn39akspnsoic",
}
PAIR_OF_OLD = "0k.0400000000.f7nqvmuojhpeeq5l"


def test_tokens_are_the_same_for_ever(settings):
    """OPT-1: a link in an old mail still works."""
    settings.SECRET_KEY = "golden"
    assert {parts: sign_id(*parts) for parts in OF_OLD} == OF_OLD


def test_another_key_makes_other_tokens(settings):
    settings.SECRET_KEY = "golden"
    before = sign_id("opt-out", 5)
    settings.SECRET_KEY = "silver"
    assert sign_id("opt-out", 5) != before
    assert read_id("opt-out", before) is None


def test_a_former_key_is_still_read_and_makes_nothing_new(settings):
    """TRK-6: links in mails work for years, also after SMP_SECRET_KEY was changed."""
    settings.SECRET_KEY = "golden"
    of_old, pair = sign_id("opt-out", 5), sign_pair("click", 5, 9)
    settings.SECRET_KEY = "silver"
    settings.SECRET_KEY_FALLBACKS = ["bronze", "golden"]
    assert read_id("opt-out", of_old) == 5
    assert read_pair("click", pair) == (5, 9)
    assert read_id("bounce", of_old) is None
    assert sign_id("opt-out", 5) != of_old
    settings.SECRET_KEY_FALLBACKS = ["bronze"]
    assert read_id("opt-out", of_old) is None


def test_pairs_stay_the_same_for_ever(settings):
    settings.SECRET_KEY = "golden"
    assert sign_pair("click", 5, 2**40) == PAIR_OF_OLD
    assert read_pair("click", PAIR_OF_OLD) == (5, 2**40)


@limits(max_examples=100, deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 2**63), st.data())
def test_a_pair_is_read_back_and_no_digit_of_it_can_be_changed(first, second, data):
    """TRK-6: neither the mail nor the link can be exchanged."""
    token = sign_pair("click", first, second)
    assert read_pair("click", token) == read_pair("click", token.upper()) == (first, second)
    assert read_pair("my-page-link", token) is None
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0189av.%z" if digit != token[place]]))
    assert read_pair("click", token[:place] + other + token[place + 1 :]) is None
    assert read_pair("click", token[:place] + token[place + 1 :]) is None


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "0k", "0k.0k", "0k..ke5jhgkbp5s631rj", "0" * 70, "\0", "髙﨑", "0k.0k.髙﨑", "0k.ｘ.0k"],
)
def test_no_pair_was_made_here(token):
    assert read_pair("click", token) is None


@limits(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=10), st.integers(0, 2**70))
def test_every_id_is_read_back_in_either_case(purpose, value):
    token = sign_id(purpose, value)
    assert read_id(purpose, token) == read_id(purpose, token.upper()) == value
    assert read_id(purpose + "x", token) is None


@pytest.mark.parametrize(
    "token", ["", ".", "0k", "0k.", ".ke5jhgkbp5s631rj", "0k.ke5jhgkbp5s631r", "ｘ.y", "0k.髙﨑", "0" * 70]
)
def test_what_was_not_made_here_is_nothing(token):
    assert read_id("opt-out", token) is None

"""The blacklist (MAG-9): keyed hashes, per magazine, also with former keys."""

import pytest
from django.utils import timezone

from mail.magazines.blacklist import address_hash, is_blacklisted, listed, put, take_off
from mail.models import BlacklistedAddress
from tests.mail.magazine_scene import make_magazine

pytestmark = pytest.mark.django_db
YOSHIO = "yoshio@yamate.example.jp"
OLD, NEW = "old " * 10, "new " * 10


def test_it_names_nobody():
    """MAG-9: 32 bytes that depend on the key and the magazine."""
    magazine, other = make_magazine(), make_magazine("別")
    put(magazine, [YOSHIO], own_act=True, now=timezone.now())
    stored = BlacklistedAddress.objects.get()
    assert bytes(stored.address_hash) == address_hash(magazine.pk, YOSHIO)
    assert len(address_hash(magazine.pk, YOSHIO)) == 32
    assert address_hash(magazine.pk, YOSHIO) != address_hash(other.pk, YOSHIO)
    assert is_blacklisted(magazine, YOSHIO)
    assert not is_blacklisted(other, YOSHIO)
    assert not is_blacklisted(magazine, "")


def test_whose_act():
    """An administrator's act becomes the person's own, never the other way round."""
    magazine, now = make_magazine(), timezone.now()
    assert put(magazine, [YOSHIO, ""], own_act=False, now=now) == {YOSHIO}
    assert put(magazine, [YOSHIO], own_act=False, now=now) == set()
    assert put(magazine, [YOSHIO], own_act=True, now=now) == {YOSHIO}
    assert put(magazine, [YOSHIO], own_act=False, now=now) == set()
    assert BlacklistedAddress.objects.get().own_act


@pytest.mark.parametrize("own_act", [True, False])
def test_another_key(settings, own_act):
    """MAG-9: SECRET_KEY is changed: who is listed stays listed, once, and their act theirs."""
    magazine, now = make_magazine(), timezone.now()
    settings.SECRET_KEY = OLD
    put(magazine, [YOSHIO], own_act=own_act, now=now)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, ["even older " * 4, OLD]
    assert listed(magazine, [YOSHIO, "x@yamate.example.jp"]) == {YOSHIO}
    assert put(magazine, [YOSHIO], own_act=False, now=now) == set()
    stored = BlacklistedAddress.objects.get()
    assert (bytes(stored.address_hash), stored.own_act) == (address_hash(magazine.pk, YOSHIO), own_act)
    settings.SECRET_KEY_FALLBACKS = []
    assert is_blacklisted(magazine, YOSHIO)


def test_taken_off_whatever_key(settings):
    magazine, now = make_magazine(), timezone.now()
    settings.SECRET_KEY = OLD
    put(magazine, [YOSHIO], own_act=True, now=now)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert put(magazine, [YOSHIO], own_act=True, now=now) == set()
    assert take_off(magazine, [YOSHIO]) == 1
    assert not is_blacklisted(magazine, YOSHIO)


def test_many(django_assert_num_queries):
    """A statement for thousands."""
    magazine = make_magazine()
    norms = {f"reader{place}@yamate.example.jp" for place in range(3000)}
    with django_assert_num_queries(1):
        assert put(magazine, norms, own_act=False, now=timezone.now()) == norms
    with django_assert_num_queries(1):
        assert listed(magazine, norms | {"x@yamate.example.jp"}) == norms
    assert take_off(magazine, norms) == 3000


@pytest.mark.parametrize(
    "norm", ["髙﨑𠮷①㈱😀@例え.jp", "x\0y@yamate.example.jp", "'; drop table --", "\ud800@x.jp"]
)
def test_hostile_addresses(norm):
    magazine = make_magazine()
    assert put(magazine, [norm], own_act=True, now=timezone.now()) == {norm}
    assert is_blacklisted(magazine, norm)

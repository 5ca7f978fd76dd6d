"""Whom floods are counted for."""

import pytest
from django.core.cache import cache

from campaigns import form_protection
from smp.lib.client_ip import neighbourhood


@pytest.mark.parametrize(
    ("ip", "counted"),
    [
        (None, ""),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
    ],
)
def test_one_customer_counts_once(ip, counted):
    assert neighbourhood(ip) == counted


def test_a_new_ipv6_address_for_each_try_is_no_way_around_the_limit(monkeypatch):
    """APP-3: the public form"""
    cache.clear()
    monkeypatch.setattr(form_protection, "CHECKS_BY_IP", (3, 600))
    waits = [form_protection.wait_to_check(f"2001:db8::{number:x}") for number in range(1, 9)]
    assert not waits[0] and all(waits[-3:])  # a window may end in between
    assert not form_protection.wait_to_check("2001:db8:0:1::1")

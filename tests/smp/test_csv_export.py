"""CSV-3: exports are safe to open in a spreadsheet, and come back as they were."""

import csv
import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smp.lib.csv_export import csv_response, plain_cell, safe_cell


@pytest.mark.parametrize("text", ["=1+1", "+81-3", "-5", "@SUM(A1)", "\tx", "\rx", "'=1+1", "''x"])
def test_formulas_are_marked(text):
    """CSV-3"""
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["'quoted", "0312345678", "髙﨑𠮷①㈱😀", "", "a=b"])
def test_other_texts_stay(text):
    """CSV-3: leading zeros included."""
    assert safe_cell(text) == text


def test_values_that_are_no_text():
    assert [safe_cell(value) for value in (-5, True, None, date(2026, 11, 24))] == [
        "-5",
        "1",
        "",
        "2026-11-24",
    ]
    assert safe_cell(datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC)) == "2026-11-24 10:00:03"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_what_goes_out_comes_back(text):
    """CSV-3"""
    assert plain_cell(safe_cell(text)) == text


def test_response_is_utf_8_with_a_mark_and_streams():
    """CSV-3"""
    response = csv_response(
        "リード.csv", ["名前", "電話"], iter([["髙橋", "0312345678"], ['a"b\nc', "=cmd()"]])
    )
    raw = b"".join(response.streaming_content)
    assert raw.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))) == [
        ["名前", "電話"],
        ["髙橋", "0312345678"],
        ['a"b\nc', "'=cmd()"],
    ]
    assert response["Content-Disposition"] == "attachment; filename*=UTF-8''%E3%83%AA%E3%83%BC%E3%83%89.csv"

"""Numbers as they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune.records import readable


@given(st.floats(1e-3, 1e12), st.integers(3, 5))
def test_a_number_is_what_it_was_to_its_digits(value: float, digits: int) -> None:
    text = readable(value, digits)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.5 * 10 ** (1 - digits) + 1e-9)


def test_seconds_are_thousands_of_milliseconds() -> None:
    shown = ["0.123", "12.3", "999", "1,000", "3,204"]
    assert list(map(readable, (0.12345, 12.345, 999.4, 999.5, 3204.4))) == shown

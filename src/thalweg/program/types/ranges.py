"""Regular expressions for numbers and dates between two bounds, exact at both ends.

What: the pattern of all decimals from 0.5 to 12.25 with at most two places, of all real dates from 1999-12-31 to
2024-02-29. When: a value is written as text whose bounds the engine's JSON schema cannot state (decimals, dates).
Cost: a pattern of a few hundred characters, built once per type; matching is that of a plain regular expression.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def any_of(parts: Iterable[str]) -> str:
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def digit(low: int, high: int) -> str:
    return str(low) if low == high else f"[{low}-{high}]"


def repeat(low: int, high: int) -> str:
    """`low` to `high` free digits."""
    if high == 0:
        return ""
    return "[0-9]" if low == high == 1 else f"[0-9]{{{low}}}" if low == high else f"[0-9]{{{low},{high}}}"


def same_width(low: str, high: str) -> str:
    """All digit strings as long as `low` and `high` which lie between them."""
    if not low:
        return ""
    first, last, rest = int(low[0]), int(high[0]), len(low) - 1
    if first == last:
        return low[0] + same_width(low[1:], high[1:])
    parts = []
    if set(low[1:]) - {"0"}:
        parts.append(low[0] + same_width(low[1:], "9" * rest))
        first += 1
    if set(high[1:]) - {"9"}:
        last -= 1
    if first <= last:
        parts.append(digit(first, last) + repeat(rest, rest))
    if last < int(high[0]):
        parts.append(high[0] + same_width("0" * rest, high[1:]))
    return any_of(parts)


def naturals(low: int, high: int) -> str:
    """Whole numbers from `low` >= 0 to `high`, without leading zeros."""
    parts = ["0"] if low == 0 else []
    low = max(low, 1)
    while low <= high:
        size = len(str(low))
        if low == 10 ** (size - 1) and high >= 10**size - 1:  # all numbers of so many digits, perhaps of more
            more = len(str(high + 1)) - 1
            parts.append("[1-9]" + repeat(size - 1, more - 1))
            low = 10**more
        else:
            top = min(high, 10**size - 1)
            parts.append(same_width(str(low), str(top)))
            low = top + 1
    return any_of(parts)


def decimals(low: Decimal, high: Decimal, places: int) -> str:
    """Decimals from `low` to `high` with at most `places` digits after the point; no `-0`, no leading zeros."""
    unit = 10**places
    first = int((low * unit).to_integral_value(rounding="ROUND_CEILING"))
    last = int((high * unit).to_integral_value(rounding="ROUND_FLOOR"))
    parts = []
    if first < 0:
        parts.append("-" + _unsigned(max(1, -last), -first, places))
    if last >= 0:
        parts.append(_unsigned(max(0, first), last, places))
    return any_of(parts)


def _unsigned(first: int, last: int, places: int) -> str:
    """Decimals between two natural multiples of 10**-places."""
    unit = 10**places
    (low, low_part), (high, high_part) = divmod(first, unit), divmod(last, unit)
    if not places:
        return naturals(low, high)
    free = rf"(?:\.{repeat(1, places)})?"
    start, end = f"{low_part:0{places}d}", f"{high_part:0{places}d}"
    if low == high:
        return f"{low}{_between(start, end)}"
    parts = []
    if low_part:
        parts.append(f"{low}{_between(start, '9' * places)}")
        low += 1
    if high_part < unit - 1:
        parts.append(f"{high}{_between('0' * places, end)}")
        high -= 1
    if low <= high:
        parts.append(naturals(low, high) + free)
    return any_of(parts)


def _between(low: str, high: str) -> str:
    """The optional fraction (with its point) whose digits, padded with zeros, lie between `low` and `high`."""
    whole = not low.strip("0")  # no fraction at all counts as zero
    if whole and not high.strip("9"):
        return rf"(?:\.{repeat(1, len(low))})?"
    body = rf"\.{_digits(low, high)}" if high.strip("0") else rf"\.0{{1,{len(high)}}}"
    return f"(?:{body})?" if whole else body


def _digits(low: str, high: str) -> str:
    """One to len(low) digits which, padded with zeros, lie between `low` and `high`."""
    first, last, rest = int(low[0]), int(high[0]), len(low) - 1
    parts = []
    for head in range(first, last + 1):
        below = low[1:] if head == first else "0" * rest
        above = high[1:] if head == last else "9" * rest
        ends = not below.strip("0")  # the digits may stop here
        if not above.strip("9") and ends:
            tail = repeat(0, rest)
        else:
            tail = _digits(below, above)
            tail = f"(?:{tail})?" if ends else tail
        if parts and parts[-1][2] == tail and parts[-1][1] == head - 1:
            parts[-1] = (parts[-1][0], head, tail)
        else:
            parts.append((head, head, tail))
    return any_of(digit(start, end) + tail for start, end, tail in parts)


def dates(low: date, high: date) -> str:
    """Real dates YYYY-MM-DD from `low` to `high`, leap years exact."""
    parts: list[str] = []
    first, last = low.year, high.year
    if first == last:
        return f"{first:04d}-{_days(low, high)}"
    if low > date(first, 1, 1):
        parts.append(f"{first:04d}-{_days(low, date(first, 12, 31))}")
        first += 1
    if high < date(last, 12, 31):
        parts.append(f"{last:04d}-{_days(date(last, 1, 1), high)}")
        last -= 1
    if first <= last:
        common = (
            "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
            "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
        )
        parts.append(f"{same_width(f'{first:04d}', f'{last:04d}')}-{common}")
        leap = _leap_years(first, last)
        if leap:
            parts.append(f"{any_of(leap)}-02-29")
    return any_of(parts)


def _leap_years(first: int, last: int) -> list[str]:
    single, fours, others = [], [], []
    for century in range(first // 100, last // 100 + 1):
        start, end = max(first, century * 100), min(last, century * 100 + 99)
        if (start, end) == (century * 100, century * 100 + 99):
            (others if century % 4 else fours).append(f"{century:02d}")
        else:
            single += [f"{year:04d}" for year in range(start, end + 1) if isleap(year)]
    if fours:
        single.append(any_of(fours) + "(?:[02468][048]|[13579][26])")
    if others:
        single.append(any_of(others) + "(?:0[48]|[2468][048]|[13579][26])")
    return single


def _days(low: date, high: date) -> str:
    """MM-DD between two days of one year."""
    parts = []
    for month in range(low.month, high.month + 1):
        start = low.day if month == low.month else 1
        end = high.day if month == high.month else monthrange(low.year, month)[1]
        parts.append(f"{month:02d}-{same_width(f'{start:02d}', f'{end:02d}')}")
    return any_of(parts)

"""Times of day and dates: types of their own, neither ratios nor differences."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, equal, unsure
from hero_rl.verifiers.math.words import DAYS, MONTHS, TEXT

MAX_CHARS = 80

_MONTH_NUMBERS = {name: number for number, month in enumerate(MONTHS, 1) for name in (month, month[:3])} | {"sept": 9}
_CLOCK = re.compile(
    r"(?:at )?(?P<hour>\d{1,2})(?:\s*[:.]\s*(?P<minute>\d{2})(?::(?P<second>\d{2}))?)?\s*"
    r"(?P<half>(?P<am>a\.?\s?m\.?|in the morning)|(?P<pm>p\.?\s?m\.?|in the (?:afternoon|evening)|at night)|o'?clock)?"
)
_ASKS_TIME = re.compile(
    r"\b(?:what|which) time\b|\bat what (?:time|hour)|\bwhen\b[^.?!]*\?|\btime (?:of day|is it)\b|"
    r"\bclock\b|\b[ap]\.?m\b|几点|什么时(?:候|间)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"\bhow (?:long|much time|many hours)\b|\bduration\b|\bh+:mm\b|\btime (?:needed|taken|required)\b", re.I)
_RATIO = re.compile(r"\d{1,2}\s*:\s*\d{2}")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})|(?:(\d{4})年)?(\d{1,2})月(\d{1,2})[日号]")


class Time(NamedTuple):
    """A time of day."""

    hour: int
    minute: int
    second: int
    half_known: bool
    """Whether morning and afternoon are told apart."""


class Date(NamedTuple):
    """A day; a year of 0 or a weekday of "" is not given."""

    month: int
    day: int
    year: int
    weekday: str


def compare_moments(reference: str, answer: str, problem: str) -> Finding | None:
    """Compare two times or two dates; None where neither side is one.

    ``12:30`` is a time where the question asks for one, or where the other side can be nothing else.
    """
    if len(reference) > MAX_CHARS:
        return None
    days = read_date(reference), read_date(answer)
    if any(days):
        return _compare_dates(*days)
    pairs = [(text, read_time(text)) for text in (reference, answer)]
    sure = any(time is not None and (time.half_known or not _RATIO.fullmatch(_plain(text))) for text, time in pairs)
    if any(time is None and r"\text" in text for text, time in pairs):
        return None  # 5 pm may be picometres
    expected, given = pairs[0][1], pairs[1][1]
    if not (expected or given) or not (sure or (problem and _ASKS_TIME.search(problem))):
        return None
    finding = _compare_times(expected, given)
    half_left_out = expected is not None and given is not None and expected.hour != given.hour
    # 1:30 may be meant by "1:30 pm", or by 13:30 where a time of day is asked for
    half_said = re.search("[a-z]", _plain(answer)) or _ASKS_TIME.search(problem)
    if finding.relation == "equal" and half_left_out and (_DURATION.search(problem) or not half_said):
        return unsure("part_left_out")
    return finding


@lru_cache(maxsize=1024)
def _plain(text: str) -> str:
    return " ".join(TEXT.sub(r" \1 ", text).lower().split()).strip(" .") if len(text) <= MAX_CHARS else ""


@lru_cache(maxsize=1024)
def read_time(text: str) -> Time | None:
    """Return the time of day that a text is; None for anything else.

    >>> read_time("4:30 pm")
    Time(hour=16, minute=30, second=0, half_known=True)
    """
    plain = _plain(text)
    if plain in ("noon", "midday", "midnight"):
        return Time(0 if plain == "midnight" else 12, 0, 0, True)
    match = _CLOCK.fullmatch(plain)
    if match is None or not (match["half"] or (match["minute"] and ":" in plain)):
        return None
    hour, minute, second = int(match["hour"]), int(match["minute"] or 0), int(match["second"] or 0)
    half_known = bool(match["am"] or match["pm"])
    if hour > 24 or minute > 59 or second > 59 or (half_known and not 1 <= hour <= 12):
        return None
    if half_known:
        hour = hour % 12 + 12 * bool(match["pm"])
    return Time(hour % 24, minute, second, half_known or hour > 12 or hour == 0)


def _compare_times(expected: Time | None, given: Time | None) -> Finding:
    if expected is None or given is None:
        return unsure("kinds_differ")
    if expected[:3] == given[:3]:
        return EQUAL if expected.half_known == given.half_known else equal("equal_part_left_out")
    same_face = (expected.hour % 12, *expected[1:3]) == (given.hour % 12, *given[1:3])
    if same_face and expected.half_known != given.half_known:
        return equal("equal_part_left_out") if given.half_known else unsure("part_left_out")
    return DIFFERENT


@lru_cache(maxsize=1024)
def read_date(text: str) -> Date | None:
    """Return the day that a text names: ``5 March 2024``, ``Tuesday, March 5``, ``2024-03-05``; None for anything else."""
    plain = _plain(text)
    if match := _ISO.fullmatch(plain):
        year, month, day = (int(one or other or 0) for one, other in zip(match.groups()[:3], match.groups()[3:], strict=True))
        return _date([month], [day], [year], [])
    words = re.findall(r"[^\W\d_]+|\d+(?:st|nd|rd|th)?|[^\s\w,.()]", plain)
    months = [_MONTH_NUMBERS[word] for word in words if word in _MONTH_NUMBERS]
    weekdays = [word for word in words if word in DAYS]
    numbers = [int(re.sub(r"\D", "", word)) for word in words if word[0].isdigit() and len(word) <= 4]
    silent = sum(word in ("the", "of", "on") for word in words)
    if len(words) != len(months) + len(weekdays) + len(numbers) + silent:
        return None
    return _date(months, [one for one in numbers if one <= 31], [one for one in numbers if one > 31], weekdays)


def _date(months: list[int], days: list[int], years: list[int], weekdays: list[str]) -> Date | None:
    if len(months) != 1 or len(days) != 1 or len(years) > 1 or len(weekdays) > 1:
        return None
    valid = 1 <= months[0] <= 12 and 1 <= days[0] <= 31
    return Date(months[0], days[0], (years or [0])[0], (weekdays or [""])[0]) if valid else None


def _compare_dates(expected: Date | None, given: Date | None) -> Finding:
    if expected is None or given is None:
        return unsure("kinds_differ")
    pairs = [(expected.year, given.year), (expected.weekday, given.weekday)]
    if expected[:2] != given[:2] or any(a and b and a != b for a, b in pairs):
        return DIFFERENT
    if any(a and not b for a, b in pairs):
        return unsure("part_left_out")
    return EQUAL if expected == given else equal("equal_part_left_out")

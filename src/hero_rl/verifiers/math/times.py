"""Times of day and dates: types of their own, neither ratios nor differences."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from hero_rl.verifiers.math.findings import DIFFERENT, EQUAL, Finding, equal, unsure

MAX_CHARS = 80

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMES = {name: number for number, name in enumerate(_MONTHS, 1)} | {name[:3]: number for number, name in enumerate(_MONTHS, 1)}
_NAMES["sept"] = 9
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_CLOCK = re.compile(
    r"(?:at )?(?P<hour>\d{1,2})(?:\s*[:.]\s*(?P<minute>\d{2})(?::(?P<second>\d{2}))?)?\s*"
    r"(?P<half>a\.?\s?m\.?|p\.?\s?m\.?|in the (?:morning|afternoon|evening)|at night|o'?clock)?"
)
_WORDS = {"noon": (12, 0, 0), "midday": (12, 0, 0), "midnight": (0, 0, 0)}
_ASKS_TIME = re.compile(
    r"\b(?:what|which) time\b|\bat what (?:time|hour)|\bwhen\b[^.?!]*\?|\btime (?:of day|is it)\b|"
    r"\bclock\b|\b[ap]\.?m\b|几点|什么时(?:候|间)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"\bhow (?:long|much time|many hours)\b|\bduration\b|\bh+:mm\b|\btime (?:needed|taken|required)\b", re.I)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_CHINESE = re.compile(r"(?:(\d{4})年)?(\d{1,2})月(\d{1,2})[日号]")


class Time(NamedTuple):
    """A time of day."""

    hour: int
    minute: int
    second: int
    half_known: bool
    """Whether morning and afternoon are told apart."""


class Date(NamedTuple):
    """A day; a year or a weekday of 0 and "" is not given."""

    month: int
    day: int
    year: int
    weekday: str


def compare_moments(reference: str, answer: str, problem: str) -> Finding | None:
    """How two times or two dates relate; None where neither side is one.

    ``12:30`` is a time where the question asks for one, or where the other side can be nothing else.
    """
    if len(reference) > MAX_CHARS:
        return None
    days = read_date(reference), read_date(answer)
    if any(days):
        return _compare_dates(*days)
    times = read_time(reference), read_time(answer)
    sure = any(
        time is not None and (time.half_known or not _is_ratio(text))
        for time, text in zip(times, (reference, answer), strict=True)
    )
    if None in times and any(r"\text" in text for text, time in zip((reference, answer), times, strict=True) if time is None):
        return None  # 5 pm may be picometres
    if not any(times) or not (sure or (problem and _ASKS_TIME.search(problem))):
        return None
    finding = _compare_times(*times)
    whole_day = times[0] is not None and times[1] is not None and times[0].hour != times[1].hour
    if finding.relation == "equal" and whole_day and (_DURATION.search(problem) or not _says_half(answer, problem)):
        return unsure("part_left_out")
    return finding


def _says_half(answer: str, problem: str) -> bool:
    """Return whether 1:30 may be meant by an answer such as ``1:30 pm``, or ``13:30`` where a time of day is asked for."""
    return re.search("[a-z]", _plain(answer)) is not None or _ASKS_TIME.search(problem) is not None


def _is_ratio(text: str) -> bool:
    return re.fullmatch(r"\d{1,2}\s*:\s*\d{2}", _plain(text)) is not None


@lru_cache(maxsize=1024)
def _plain(text: str) -> str:
    return " ".join(_TEXT.sub(r" \1 ", text).lower().split()).strip(" .")


@lru_cache(maxsize=1024)
def read_time(text: str) -> Time | None:
    """The time of day that a text is; None for anything else.

    >>> read_time("4:30 pm")
    Time(hour=16, minute=30, second=0, half_known=True)
    """
    plain = _plain(text) if len(text) <= MAX_CHARS else ""
    if plain in _WORDS:
        return Time(*_WORDS[plain], True)
    match = _CLOCK.fullmatch(plain)
    if match is None or not (match["half"] or (match["minute"] and ":" in plain)):
        return None
    hour, minute, second = int(match["hour"]), int(match["minute"] or 0), int(match["second"] or 0)
    half = _half(match["half"] or "")
    if hour > 24 or minute > 59 or second > 59 or (half in ("am", "pm") and not 1 <= hour <= 12):
        return None
    if half in ("am", "pm"):
        hour = hour % 12 + 12 * (half == "pm")
    return Time(hour % 24, minute, second, half != "" or hour > 12 or hour == 0)


def _half(words: str) -> str:
    if words.startswith("in the m") or re.fullmatch(r"a\.?\s?m\.?", words):
        return "am"
    return "pm" if words.startswith(("p", "in the", "at night")) else ""


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
    """The day that a text names: ``5 March 2024``, ``Tuesday, March 5``, ``2024-03-05``; None for anything else."""
    plain = _plain(text) if len(text) <= MAX_CHARS else ""
    if iso := _ISO.fullmatch(plain):
        return _date(int(iso[2]), int(iso[3]), int(iso[1]), "")
    if chinese := _CHINESE.fullmatch(plain):
        return _date(int(chinese[2]), int(chinese[3]), int(chinese[1] or 0), "")
    months: list[int] = []
    numbers: list[int] = []
    weekdays: list[str] = []
    for word in re.findall(r"[^\W\d_]+|\d+(?:st|nd|rd|th)?|[^\s\w,.()]", plain):
        if word in _NAMES:
            months.append(_NAMES[word])
        elif word in _DAYS:
            weekdays.append(word)
        elif word[0].isdigit() and len(word) <= 4:
            numbers.append(int(re.sub(r"\D", "", word)))
        elif word not in ("the", "of", "on"):
            return None
    if len(months) != 1 or len(weekdays) > 1 or not 1 <= len(numbers) <= 2:
        return None
    years = [number for number in numbers if number > 31]
    days = [number for number in numbers if number <= 31]
    if len(days) != 1 or len(years) > 1:
        return None
    return _date(months[0], days[0], years[0] if years else 0, weekdays[0] if weekdays else "")


def _date(month: int, day: int, year: int, weekday: str) -> Date | None:
    return Date(month, day, year, weekday) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _compare_dates(expected: Date | None, given: Date | None) -> Finding:
    if expected is None or given is None:
        return unsure("kinds_differ")
    if expected[:2] != given[:2]:
        return DIFFERENT
    pairs = [(expected.year, given.year), (expected.weekday, given.weekday)]
    if any(a and b and a != b for a, b in pairs):
        return DIFFERENT
    if any(a and not b for a, b in pairs):
        return unsure("part_left_out")
    return EQUAL if expected == given else equal("equal_part_left_out")

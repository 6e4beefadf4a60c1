"""A matcher that compares keys with DICOM JSON value by value: slow, obvious, and without an index.

It shares no code with the product beyond the typed query, so that the two can be held against each other.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from anyascii import anyascii
from jellyfish import metaphone

from app.dicom.attribute_matching import (
    AllOf,
    AnyOf,
    Either,
    Empty,
    Fuzzy,
    Matching,
    Universal,
    Wildcard,
)
from app.dicom.match_keys import Key
from app.dicom.range_matching import DateAndTime, Numbers, Times

NUMERIC = {"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"}
TEXTUAL = {"AE", "AS", "AT", "CS", "LO", "LT", "SH", "ST", "UC", "UI", "UR", "UT"}
BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
Dataset = Mapping[str, Any]
Paths = Sequence[tuple[tuple[str, ...], Key]]


def matches(dataset: Dataset, keys: Iterable[Key]) -> bool:
    """Tell whether a data set meets all keys, those of one sequence within one of its items."""
    return _matches(dataset, [(key.path, key) for key in keys])


def _matches(dataset: Dataset, keys: Paths) -> bool:
    sequences: dict[str, list[tuple[tuple[str, ...], Key]]] = {}
    for path, key in keys:
        if isinstance(key.matching, Universal):
            continue
        if len(path) > 1:
            sequences.setdefault(path[0], []).append((path[1:], key))
        elif not _meets(dataset, path[0], key.vr, key.matching):
            return False
    return all(
        any(_matches(item, inner) for item in _element(dataset, step).get("Value") or [{}])
        for step, inner in sequences.items()
    )


def _element(dataset: Dataset, step: str) -> Mapping[str, Any]:
    if re.fullmatch(r"...[13579BDF]0010", step):  # any element that reserves a block
        reserving = [each for tag, each in dataset.items() if tag[:6] == step[:6]]
        return {"vr": "LO", "Value": [value for each in reserving for value in each["Value"]]}
    if '"' not in step:
        plain: Mapping[str, Any] = dataset.get(step, {})
        return plain
    group, rest = step.split('"', 1)
    creator, element = rest.rsplit('"', 1)
    for tag, each in dataset.items():
        if tag[:6] == f"{group}00" and each.get("Value") == [creator]:
            found: Mapping[str, Any] = dataset.get(f"{group}{tag[6:]}{element}", {})
            return found
    return {}


def _values(element: Mapping[str, Any]) -> list[Any]:
    return [value for value in element.get("Value", []) if value not in (None, "", {})]


def _meets(  # noqa: PLR0911  one for each kind of matching
    dataset: Dataset, step: str, vr: str, matching: Matching
) -> bool:
    """Tell whether the attribute of a data set is what one key asks for."""
    element = _element(dataset, step)
    match matching:
        case Empty():
            return not _values(element) and "InlineBinary" not in element
        case AllOf(every):
            return all(_meets(dataset, step, vr, each) for each in every)
        case Either(readings):
            return any(_meets(dataset, step, each, reading) for each, reading in readings)
        case Fuzzy(text, literal):
            return _meets(dataset, step, vr, literal) or _like(_of_kind(element, "PN"), text)
        case DateAndTime():
            return _meets_date_and_time(dataset, element, matching)
        case Universal():
            return True
        case _:
            return _compared(_of_kind(element, vr), vr, matching)


def _of_kind(element: Mapping[str, Any], vr: str) -> list[Any]:
    """Return the values that a key of a VR can be compared with."""
    kinds = ({"PN"}, NUMERIC, TEXTUAL, {"DA"}, {"TM"}, {"DT"})
    alike = next(kind for kind in kinds if vr in kind)
    return _values(element) if element.get("vr") in alike else []


def _compared(values: list[Any], vr: str, matching: Matching) -> bool:
    match matching:
        case AnyOf(wanted) if vr == "PN":
            return any(_named(values, name) for name in wanted)
        case AnyOf(wanted):
            return any(str(value).strip() == one.strip() for value in values for one in wanted)
        case Wildcard(pattern) if vr == "PN":
            return _named_like(values, pattern)
        case Wildcard(pattern):
            return any(_regex(pattern).fullmatch(value.strip()) for value in values)
        case Numbers(low, high):
            least = low if low is not None else -math.inf
            most = high if high is not None else math.inf
            return any(least <= float(value) <= most for value in values)
        case Times(low, high, utc):
            return any(_in(vr, value, low, high, utc=utc) for value in values)
    raise AssertionError(matching)


def fold(text: str) -> str:
    """Return text without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ø", "o").replace("ł", "l"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _folded(group: str) -> str:
    return re.sub(r"\^+$", "", "^".join(part.strip() for part in fold(group).split("^")))


def _groups(values: Iterable[Mapping[str, str]]) -> list[str]:
    return [_folded(group) for value in values for group in value.values()]


def _named(values: list[Mapping[str, str]], wanted: str) -> bool:
    """Each component group that is asked for is there, of whichever of the attribute's values."""
    return bool(values) and all(_folded(g) in _groups(values) for g in wanted.split("=") if g)


def _named_like(values: list[Mapping[str, str]], pattern: str) -> bool:
    return bool(values) and all(
        any(_group_like(group, each) for group in _groups(values))
        for each in fold(pattern).split("=")
        if each.strip("*")
    )


def _group_like(group: str, pattern: str) -> bool:
    patterns = [pattern]
    while patterns[-1].endswith("^*"):
        patterns.append(patterns[-1][:-2])
    return any(_regex(each).fullmatch(group) for each in patterns)


def _regex(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in pattern), re.DOTALL)


def _like(values: list[Mapping[str, str]], text: str) -> bool:
    """Tell whether each word begins a word of the names, or sounds like one."""
    asked = _spelled(text)
    there = [word for value in values for group in value.values() for word in _spelled(group)]
    return bool(asked) and all(
        any(word.startswith(one) or _sound(word) == _sound(one) != "" for word in there)
        for one in asked
    )


def _spelled(text: str) -> list[str]:
    latin = anyascii(unicodedata.normalize("NFKC", text).replace("ー", "")).lower()
    words = ["".join(c for c in w if c.isalnum()) for w in re.split(r"[\s^=.,\-*?]+", latin)]
    spelled = []
    for word in filter(None, words):
        pairs = zip(" " + word, word, strict=False)
        dropped = {"ae", "oe", "ue", "ou", "aa", "ee", "ii", "oo", "uu"}
        spelled.append("".join(second for first, second in pairs if first + second not in dropped))
    return spelled


def _sound(word: str) -> str:
    if len(word) < 3:
        return ""
    code = metaphone(word[0] + word[1:].replace("y", "i"))
    once = "".join(c for i, c in enumerate(code) if i == 0 or code[i - 1] != c)
    return once if len(once) > 1 else ""


def _meets_date_and_time(
    dataset: Dataset, element: Mapping[str, Any], matching: DateAndTime
) -> bool:
    times = [_moment("TM", each, utc=False) for each in _values(_element(dataset, matching.time))]
    for day in (_moment("DA", each, utc=False) for each in _values(element)):
        if day is None:
            continue
        low, high = matching.low, matching.high
        first = low is not None and day == low[0]
        last = high is not None and day == high[0]
        if (low is not None and day < low[0]) or (high is not None and day > high[0]):
            continue
        if not first and not last:
            return True
        for time in times:
            late_enough = not first or low is None or (time is not None and time >= low[1])
            early_enough = not last or high is None or (time is not None and time <= high[1])
            if late_enough and early_enough:
                return True
    return False


def _in(vr: str, value: str, low: str | None, high: str | None, *, utc: bool) -> bool:
    moment = _moment(vr, value, utc=utc)
    if moment is None:
        return False
    return (low is None or moment >= low) and (high is None or moment <= high)


def _moment(vr: str, value: str, *, utc: bool) -> str | None:
    """Return the first moment that a value names; what is not valid has none."""
    if vr == "DA":
        try:
            return f"{datetime.strptime(value, '%Y%m%d'):%Y%m%d}"  # noqa: DTZ007
        except ValueError:
            return None
    if vr == "TM":
        digits = value.replace(":", "").replace(".", "")
        return digits.ljust(12, "0") if digits.isdigit() else None
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?([+-]\d{4})?", value)
    if found is None:
        return None
    digits, fraction, zone = found[1], (found[2] or "").ljust(6, "0"), found[3]
    for end, least in ((4, "01"), (6, "01"), (8, "00"), (10, "00"), (12, "00")):
        if len(digits) == end:
            digits += least
    if utc and zone:
        minutes = (int(zone[1:3]) * 60 + int(zone[3:])) * (-1 if zone[0] == "-" else 1)
        local = datetime.strptime(digits, "%Y%m%d%H%M%S")  # noqa: DTZ007
        local = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        digits = f"{local.astimezone(UTC):%Y%m%d%H%M%S}"
    return digits + fraction

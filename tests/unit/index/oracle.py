"""A matcher that compares keys with DICOM JSON value by value: slow, obvious, and without an index.

It shares no code with the product beyond the typed query, so that the two can be held against each other.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from app.dicom.attribute_matching import (
    AllOf,
    AnyOf,
    Empty,
    Numbers,
    Times,
    Universal,
    Wildcard,
    Words,
)
from app.dicom.qido_grammar import Key

NUMERIC = {"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"}
Dataset = Mapping[str, Any]


def matches(dataset: Dataset, keys: Iterable[Key]) -> bool:
    """Tell whether a data set meets all keys, those of one sequence within one of its items."""
    return _matches(dataset, [(key.path, key) for key in keys])


def _matches(dataset: Dataset, keys: Sequence[tuple[tuple[str, ...], Key]]) -> bool:
    sequences: dict[str, list[tuple[tuple[str, ...], Key]]] = {}
    for path, key in keys:
        if isinstance(key.matching, Universal):
            continue
        if len(path) > 1:
            sequences.setdefault(path[0], []).append((path[1:], key))
        elif not _element_matches(_element(dataset, path[0]), key):
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


def _element_matches(element: Mapping[str, Any], key: Key) -> bool:  # noqa: PLR0911
    vr = element.get("vr", "")
    values = [value for value in element.get("Value", []) if value not in (None, "", {})]
    match key.matching:
        case Empty():
            return not values and "InlineBinary" not in element
        case AnyOf(wanted):
            return any(_equal(vr, value, one, key.vr) for value in values for one in wanted)
        case AllOf(wanted):
            return all(any(_equal(vr, value, one, key.vr) for value in values) for one in wanted)
        case Wildcard(pattern):
            return any(_like(vr, value, pattern, key.vr) for value in values)
        case Words(words):
            return any(_has_words(value, words) for value in values) if vr == "PN" else False
        case Numbers(low, high):
            return vr in NUMERIC and any(
                (low if low is not None else -math.inf)
                <= float(value)
                <= (high if high is not None else math.inf)
                for value in values
            )
        case Times(low, high, utc):
            return any(_in(vr, value, low, high, utc=utc) for value in values)
    return False


def fold(text: str) -> str:
    """Return text without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ø", "o").replace("ł", "l"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _groups(value: Mapping[str, str]) -> list[str]:
    return [
        re.sub(r"\^+$", "", "^".join(part.strip() for part in fold(group).split("^")))
        for group in value.values()
    ]


def _equal(vr: str, value: Any, wanted: str, key_vr: str) -> bool:
    if vr == "PN":
        groups = [re.sub(r"\^+$", "", fold(group)) for group in wanted.split("=") if group]
        if key_vr != "PN":
            groups = [re.sub(r"\^+$", "", fold(wanted))]
        return all(group in _groups(value) for group in groups)
    if vr in NUMERIC:
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    return str(value).strip() == wanted.strip()


def _regex(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in pattern), re.DOTALL)


def _like(vr: str, value: Any, pattern: str, key_vr: str) -> bool:
    if vr in NUMERIC:
        return False
    if vr == "PN":
        asked = fold(pattern).split("=") if key_vr == "PN" else [fold(pattern)]
        return all(
            any(_name_like(group, each, key_vr) for group in _groups(value))
            for each in asked
            if each.strip("*")
        )
    patterns = [pattern] if key_vr != "UN" else [pattern, fold(pattern)]
    return any(_regex(each).fullmatch(value.strip()) for each in patterns)


def _name_like(group: str, pattern: str, key_vr: str) -> bool:
    patterns = [pattern]
    while patterns[-1].endswith("^*") and key_vr == "PN":
        patterns.append(patterns[-1][:-2])
    return any(_regex(each).fullmatch(group) for each in patterns)


def _has_words(value: Mapping[str, str], words: Sequence[str]) -> bool:
    there = [word for group in value.values() for word in re.split(r"[\s^=.,\-]+", fold(group))]
    asked = [part for word in words for part in re.split(r"[\s^=.,\-]+", fold(word)) if part]
    return all(any(word.startswith(part) for word in there) for part in asked)


def _in(vr: str, value: str, low: str | None, high: str | None, *, utc: bool) -> bool:
    moment = _moment(vr, value, utc=utc)
    if moment is None:
        return False
    return (low is None or moment >= low) and (high is None or moment <= high)


def _moment(vr: str, value: str, *, utc: bool) -> str | None:
    """Return the first moment that a value names; what is not valid has none."""
    if vr == "DA":
        return value if re.fullmatch(r"\d{8}", value) else None
    if vr == "TM":
        digits = value.replace(":", "").replace(".", "")
        return digits.ljust(12, "0")
    if vr != "DT":
        return None
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

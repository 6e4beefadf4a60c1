"""Match keys: the parameters of a search that name attributes (PS3.18 §8.3.4.1), understood.

A private attribute is named by its tag, with its Private Creator as one more parameter in the same data set:
`00191001=x&00190010=ACME`, and in a sequence `00400275.00191001=x&00400275.00190010=ACME`. The block number
only ties the two together. A range of dates and a range of times that belong together are one key.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.dicom.attribute_matching import (
    AllOf,
    AnyOf,
    Either,
    Flags,
    Fuzzy,
    Matching,
    Universal,
    Wildcard,
    matching_of,
)
from app.dicom.attribute_path import (
    LONGEST_CREATOR,
    UNKNOWN_VR,
    AttributePath,
    creator_tag,
    is_private,
    is_private_creator,
    private_step,
    tag_of,
    time_beside,
    vr_of,
)
from app.dicom.person_name import spellings
from app.dicom.range_matching import are_ranges_alike, parse_date_and_time
from app.dicom.wildcard_pattern import is_affordable
from app.errors import BadQuery
from app.limits import Limits

# SpecificCharacterSet (PS3.4 §C.2.2.2), InstanceAvailability, RetrieveURL: returned, never matched
NEVER_MATCHED = frozenset({"00080005", "00080056", "00081190"})
_ATTRIBUTE_LIKE = re.compile(r"(?:[0-9A-Fa-f]{8}|[A-Z][A-Za-z0-9]+)(?:\.\w+)*")
_NAME_SHOWN = 64
_DEEPEST_PATH = 64  # nesting that no object is kept with (app.limits)


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute to match."""

    path: AttributePath
    vr: str
    matching: Matching


def names_attribute(name: str) -> bool:
    """Tell whether a parameter means an attribute, though perhaps one that there is not."""
    return bool(_ATTRIBUTE_LIKE.fullmatch(name)) or tag_of(name.partition(".")[0]) is not None


def dotted_tags(name: str) -> str:
    """Return a dotted name of keywords and tags as tags. Raises BadQuery."""
    if name.count(".") > _DEEPEST_PATH:
        raise BadQuery(f"The parameter {printable(name)}… names too many levels.")
    tags = [tag_of(part) for part in name.split(".")]
    known = [tag for tag in tags if tag is not None]
    if len(known) < len(tags):
        raise BadQuery(
            f"The parameter {printable(name)} is not an attribute of the DICOM dictionary."
        )
    if known[0] < "00080000":
        raise BadQuery(f"The parameter {printable(name)} is not an attribute of a data set.")
    return ".".join(known)


def match_keys(values: Mapping[str, str], flags: Flags, limits: Limits) -> Iterator[Key]:
    """Yield the keys that dotted tags with values are. Raises BadQuery.

    A private creator that qualifies another key is none itself.
    """
    times = dict(_date_and_time(values))
    for name, value in values.items():
        path, creators = resolved(name, values)
        if is_private_creator(name[-8:]) and _qualifies(name, values):
            continue
        vr = _vr(name, creators)
        if name in times:
            time = times[name]
            matching: Matching | None = parse_date_and_time(value, time[-8:], values[time])
        elif name in NEVER_MATCHED or name in times.values():
            matching = Universal()
        else:
            matching = matching_of(vr, value, flags)
        if matching is None:
            raise BadQuery(f"The value of {name} is not valid for its value representation ({vr}).")
        _refuse_excess(name, matching, limits)
        yield Key(path, vr, matching)


def resolved(name: str, values: Mapping[str, str]) -> tuple[AttributePath, tuple[str | None, ...]]:
    """Return the path of dotted tags, with the creators of its private steps. Raises BadQuery."""
    tags = name.split(".")
    steps: list[str] = []
    creators: list[str | None] = []
    for depth, tag in enumerate(tags):
        creator = None
        step = tag
        if is_private_creator(tag):
            step = f"{tag[:4]}0010"
        elif is_private(tag):
            reserving = ".".join([*tags[:depth], creator_tag(tag)])
            creator = values.get(reserving, "").strip()
            if not creator:
                raise BadQuery(
                    f"The private attribute {name} needs its Private Creator: {reserving}=<name>."
                )
            if len(creator) > LONGEST_CREATOR:
                raise BadQuery(f"The parameter {reserving} is too long to be a Private Creator.")
            step = private_step(tag, creator)
        steps.append(step)
        creators.append(creator)
    return tuple(steps), tuple(creators)


def printable(name: str) -> str:
    """Return a parameter's name so that it can stand in a header or an error text."""
    return re.sub(r"[^A-Za-z0-9_.-]", "?", name)[:_NAME_SHOWN]


def _date_and_time(values: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Yield the names of dates and times that are ranges of the same form: one range (§C.2.2.2.5.4)."""
    for name, value in values.items():
        tag = time_beside(name[-8:])
        time = f"{name[:-8]}{tag}" if tag is not None else ""
        if time in values and are_ranges_alike(value, values[time]):
            yield name, time


def _refuse_excess(name: str, matching: Matching, limits: Limits) -> None:
    match matching:
        case AnyOf(values) | AllOf(values) if len(values) > limits.query_values:
            raise BadQuery(f"The parameter {name} has more than {limits.query_values} values.")
        case Wildcard(pattern) if len(pattern) > limits.index_value_bytes:
            raise BadQuery(f"The pattern of {name} is longer than {limits.index_value_bytes}.")
        case Wildcard(pattern) if not is_affordable(pattern):
            raise BadQuery(f"The pattern of {name} has too many wildcards.")
        case Fuzzy(text, literal):
            if len(spellings(text)) > limits.query_keys:
                raise BadQuery(f"The parameter {name} has more than {limits.query_keys} words.")
            _refuse_excess(name, literal, limits)
        case Either(readings):
            for _, reading in readings:
                _refuse_excess(name, reading, limits)
        case AllOf(matchings):
            for each in matchings:
                _refuse_excess(name, each, limits)


def _qualifies(name: str, values: Mapping[str, str]) -> bool:
    """Tell whether a private creator parameter is there for the sake of another."""
    before, block = name[:-8], name[-2:]
    start = f"{before}{name[-8:-4]}{block}"
    return any(other != name and other.startswith(start) for other in values)


def _vr(name: str, creators: Sequence[str | None]) -> str:
    """Return the VR of the last step, after making sure that those before are sequences."""
    tags = name.split(".")
    for tag, creator in zip(tags[:-1], creators[:-1], strict=True):
        if vr_of(tag, creator) not in ("SQ", UNKNOWN_VR):
            raise BadQuery(f"The parameter {name} goes through {tag}, which is not a sequence.")
    return vr_of(tags[-1], creators[-1])

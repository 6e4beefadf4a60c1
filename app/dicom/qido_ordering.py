"""The parameters of a search that say in which order, and by what, its answer is told: extensions of QIDO-RS.

`orderby=-StudyDate,PatientName` sorts by one attribute after the other, descending behind a minus.
`by=Modality,Manufacturer` names the attributes whose values are counted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.dicom.attribute_path import AttributePath, is_private_creator, vr_of
from app.dicom.match_keys import dotted_tags, resolved
from app.errors import BadQuery

_DESCENDING = "-"
_TAG_DIGITS = 8
_HEX = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One attribute to sort by."""

    tag: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute to count the values of."""

    path: AttributePath
    vr: str


def parse_order(values: Iterable[str], limit: int) -> tuple[OrderKey, ...]:
    """Return what `orderby` asks for, the first key first. Raises BadQuery."""
    found: dict[str, OrderKey] = {}
    for name in _names(values):
        descending = name.startswith(_DESCENDING)
        tag = _tags("orderby", name.removeprefix(_DESCENDING).removeprefix("+"))
        if "." in tag:
            raise BadQuery(f"The parameter orderby cannot sort by {tag}, which is in a sequence.")
        found.setdefault(tag, OrderKey(tag, descending))
    if len(found) > limit:
        raise BadQuery(f"The parameter orderby names more than {limit} attributes.")
    return tuple(found.values())


def parse_attributes(
    values: Iterable[str], parameters: Iterable[tuple[str, str]], limit: int
) -> tuple[Attribute, ...]:
    """Return what `by` asks for; `parameters` has the creators of private attributes. Raises BadQuery."""
    creators_given = dict(_creators(parameters))
    found: dict[AttributePath, Attribute] = {}
    for name in _names(values):
        dotted = _tags("by", name)
        path, creators = resolved(dotted, creators_given)
        found[path] = Attribute(path, vr_of(dotted[-8:], creators[-1]))
    if not found:
        raise BadQuery("The parameter by is needed: the attributes whose values are counted.")
    if len(found) > limit:
        raise BadQuery(f"The parameter by names more than {limit} attributes.")
    return tuple(found.values())


def _creators(parameters: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for name, value in parameters:
        last = name[-_TAG_DIGITS:]
        if _HEX.fullmatch(last) and is_private_creator(last.upper()):
            yield dotted_tags(name), value


def _names(values: Iterable[str]) -> Iterable[str]:
    """Yield the names of lists with commas; a plus in a URL is a space."""
    for value in values:
        yield from (name for part in value.split(",") if (name := part.strip()))


def _tags(parameter: str, name: str) -> str:
    try:
        return dotted_tags(name)
    except BadQuery as error:
        raise BadQuery(f"In {parameter}: {error.message}") from error

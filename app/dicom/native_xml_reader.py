"""Reads the Native DICOM Model in XML to the DICOM JSON Model (PS3.19 §A.1).

Strategy: expat reports elements as it meets them, and nothing is kept but the JSON object that grows. The
document may have no DOCTYPE, so there are no entities to expand and nothing outside to fetch. Which element may
stand in which is one table; every element counts towards the limit `elements`, every sequence towards
`nesting_depth`. What is no number where the VR asks for one stays the text that it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from app.dicom.dictionary import implied_vr
from app.dicom.tag import is_tag
from app.dicom.values import as_decimal, as_integer
from app.errors import BadMetadata, TooDeep
from app.limits import Limits

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
SCRIPTS = ("Alphabetic", "Ideographic", "Phonetic")
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

_ROOT = "NativeDicomModel"
# an element -> those that it may stand in
_PARENTS: Mapping[str, tuple[str, ...]] = {
    _ROOT: ("",),
    "DicomAttribute": (_ROOT, "Item"),
    "Item": ("DicomAttribute",),
    "Value": ("DicomAttribute",),
    "BulkData": ("DicomAttribute",),
    "InlineBinary": ("DicomAttribute",),
    "PersonName": ("DicomAttribute",),
    **dict.fromkeys(SCRIPTS, ("PersonName",)),
    **dict.fromkeys(COMPONENTS, SCRIPTS),
}
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF
_PIXEL_REPRESENTATION = "00280103"


def from_xml(data: bytes, limits: Limits) -> dict[str, Any]:
    """Return a Native DICOM Model document as a DICOM JSON object. Raises BadMetadata, TooDeep."""
    reader = _Reader(limits)
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
    except (ExpatError, LookupError, UnicodeError) as exc:  # the latter two: its encoding
        raise BadMetadata("The XML metadata are no well-formed XML document.") from exc
    return reader.result


def _refuse_doctype(*_: Any) -> None:
    raise BadMetadata("The XML metadata have a DOCTYPE, which is refused.")


@dataclass(slots=True)
class _Attribute:
    """A DicomAttribute that is being read."""

    tag: str
    vr: str
    creator: str
    element: dict[str, Any]


@dataclass(slots=True)
class _Level:
    """A data set that is being read; private attributes wait for its end, when all creators are known."""

    elements: dict[str, dict[str, Any]] = field(default_factory=dict)
    private: list[_Attribute] = field(default_factory=list)


class _Reader:
    """Builds the JSON object from what expat reports."""

    def __init__(self, limits: Limits) -> None:
        self.result: dict[str, Any] = {}
        self._limits = limits
        self._left = limits.elements
        self._path = [""]
        self._levels: list[_Level] = []
        self._open: list[_Attribute] = []
        self._pieces: list[str] = []
        self._groups: dict[str, str] = {}
        self._components: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        element = name.rpartition(" ")[2]
        if self._path[-1] not in _PARENTS.get(element, ()):
            raise BadMetadata("The XML metadata have an element out of the Native DICOM Model.")
        self._path.append(element)
        self._count(1)
        self._pieces.clear()
        match element:
            case "DicomAttribute":
                self._begin_attribute(attributes)
            case "Item":
                self._begin_item()
            case "NativeDicomModel":
                self._levels.append(_Level())
            case "BulkData":
                self._open[-1].element["BulkDataURI"] = _uri(attributes)
            case "Value" | "PersonName":
                self._groups = {}
                self._fill_up_to(attributes.get("number"))
            case _ if element in SCRIPTS:
                self._components = []

    def end(self, _: str) -> None:
        """End an element."""
        element = self._path.pop()
        text = "".join(self._pieces)
        self._pieces.clear()
        match element:
            case "Value":
                attribute = self._open[-1]
                self._values().append(_value(attribute.vr, text))
            case "PersonName":
                self._values().append(self._groups or None)
            case "InlineBinary":
                self._open[-1].element["InlineBinary"] = "".join(text.split())
            case "DicomAttribute":
                self._end_attribute()
            case "Item":
                self._values().append(_finished(self._levels.pop()))
            case "NativeDicomModel":
                self.result = _finished(self._levels.pop())
            case _ if element in COMPONENTS:
                place = COMPONENTS.index(element)
                self._components += [""] * (place + 1 - len(self._components))
                self._components[place] = text
            case _ if element in SCRIPTS:
                self._groups[element] = "^".join(self._components)

    def text(self, text: str) -> None:
        """Take characters; those between elements are only their layout."""
        self._pieces.append(text)

    def _begin_attribute(self, attributes: Mapping[str, str]) -> None:
        tag = attributes.get("tag", "").upper()
        if not is_tag(tag):
            raise BadMetadata("A DicomAttribute of the XML metadata has no tag of 8 hex digits.")
        creator = attributes.get("privateCreator", "")
        vr = attributes.get("vr") or self._implied(tag)
        self._open.append(_Attribute(tag, vr, creator, {"vr": vr}))

    def _implied(self, tag: str) -> str:
        elements = self._levels[-1].elements
        signed = elements.get(_PIXEL_REPRESENTATION, {}).get("Value") == [1]
        return implied_vr(int(tag, 16), elements, signed=signed)

    def _begin_item(self) -> None:
        if len(self._levels) > self._limits.nesting_depth:
            raise TooDeep("Sequences are nested deeper than the limit nesting_depth.")
        self._levels.append(_Level())

    def _end_attribute(self) -> None:
        attribute = self._open.pop()
        level = self._levels[-1]
        values = attribute.element.get("Value")
        if values is not None and values in ([None], []):
            del attribute.element["Value"]
        if attribute.creator.strip() and int(attribute.tag[:4], 16) & 1:
            level.private.append(attribute)
        else:
            _put(level.elements, attribute.tag, attribute.element)

    def _values(self) -> list[Any]:
        values: list[Any] = self._open[-1].element.setdefault("Value", [])
        return values

    def _fill_up_to(self, number: str | None) -> None:
        """Put in the empty values that some writers leave out but count (PS3.19 Table A.1.5-2)."""
        values = self._values()
        try:
            missing = int(number or len(values) + 1) - 1 - len(values)
        except ValueError as exc:
            raise BadMetadata("A value of the XML metadata has a number that is none.") from exc
        if missing < 0:
            raise BadMetadata("Values of the XML metadata are not in the order of their numbers.")
        self._count(missing)
        values += [None] * missing

    def _count(self, number: int) -> None:
        self._left -= number
        if self._left < 0:
            raise BadMetadata("The metadata have more elements than the limit elements.")


def _uri(attributes: Mapping[str, str]) -> str:
    uri = attributes.get("uri") or attributes.get("uuid")
    if not uri:
        raise BadMetadata("A BulkData of the XML metadata has no uri.")
    return uri


def _value(vr: str, text: str) -> Any:
    """Return a value as DICOM JSON has it (PS3.18 Table F.2.3-1)."""
    if not text:
        return None
    convert = _CONVERSIONS.get(vr)
    if convert is None or "_" in text:  # which Python would take for a separator of digits
        return text
    try:
        return convert(text.strip())
    except (ValueError, OverflowError):
        return text


def _as_float(text: str) -> float | str:
    number = float(text)
    if isfinite(number):
        return number
    return "NaN" if number != number else "inf" if number > 0 else "-inf"  # noqa: PLR0124


_CONVERSIONS: Mapping[str, Callable[[str], int | float | str]] = {
    **dict.fromkeys(("IS", "SL", "SS", "SV", "UL", "US", "UV"), as_integer),
    **dict.fromkeys(("FD", "FL"), _as_float),
    "DS": as_decimal,
}


def _finished(level: _Level) -> dict[str, Any]:
    """Return a data set, ascending, each private attribute in the block of its creator."""
    elements = level.elements
    for attribute in level.private:
        if attribute.tag[4:6] != "00":
            block = int(attribute.tag[4:6], 16)
            elements.setdefault(_creator_tag(attribute, block), _creator_element(attribute))
    for attribute in level.private:
        block = int(attribute.tag[4:6], 16) or _block_of(attribute, elements)
        elements.setdefault(_creator_tag(attribute, block), _creator_element(attribute))
        _put(elements, f"{attribute.tag[:4]}{block:02X}{attribute.tag[6:]}", attribute.element)
    return dict(sorted(elements.items()))


def _block_of(attribute: _Attribute, elements: Mapping[str, Any]) -> int:
    """Return the block that the creator has reserved, or else the first free one (PS3.5 §7.8.1)."""
    free = None
    for block in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
        element = elements.get(_creator_tag(attribute, block))
        if element is None:
            free = free or block
        elif element.get("Value") == [attribute.creator]:
            return block
    if free is None:
        raise BadMetadata("A private group of the XML metadata has more creators than blocks.")
    return free


def _creator_tag(attribute: _Attribute, block: int) -> str:
    return f"{attribute.tag[:4]}00{block:02X}"


def _creator_element(attribute: _Attribute) -> dict[str, Any]:
    return {"vr": "LO", "Value": [attribute.creator]}


def _put(elements: dict[str, dict[str, Any]], tag: str, element: dict[str, Any]) -> None:
    if elements.setdefault(tag, element) is not element:
        raise BadMetadata("An attribute occurs twice in the XML metadata.", attributes=(tag,))

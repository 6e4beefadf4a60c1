"""The content tree of a structured report or key object selection, from its DICOM JSON (PS3.3 §C.17.3).

Strategy: each content item becomes its name, its value as text, and what it refers to, so that whatever is made
of a report (a page, plain text) needs to know nothing of value types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Attributes = Mapping[str, Any]

_VALUE_TYPE, _RELATIONSHIP, _CONTENT = "0040A040", "0040A010", "0040A730"
_CONCEPT_NAME, _CONCEPT_CODE = "0040A043", "0040A168"
_CODE_VALUES = ("00080100", "00080119", "00080120")  # short, long, URN
_SCHEME, _MEANING = "00080102", "00080104"
_MEASURED, _NUMBER, _UNITS, _NO_NUMBER = "0040A300", "0040A30A", "004008EA", "0040A301"
_REFERENCED, _REFERENCED_CLASS, _REFERENCED_INSTANCE = "00081199", "00081150", "00081155"
_REFERENCED_FRAMES, _REFERENCED_ITEM = "00081160", "0040DB73"
_GRAPHIC_TYPE, _GRAPHIC_DATA, _TEMPORAL_TYPE = "00700023", "00700022", "0040A130"
_EVIDENCE = ("0040A375", "0040A385")  # current requested procedure, pertinent other
_SERIES_OF_EVIDENCE, _STUDY_UID, _SERIES_UID = "00081115", "0020000D", "0020000E"
_COMPLETION, _VERIFICATION = "0040A491", "0040A493"
_OBSERVERS, _OBSERVER, _ORGANIZATION, _VERIFIED_AT = "0040A073", "0040A075", "0040A027", "0040A030"
_CONTENT_DATE, _CONTENT_TIME = "00080023", "00080033"
_WHOLE_BELOW = 1e15  # a float is exact up to here
_UNITY = "1"  # the UCUM code of what has no unit

_TEXTS = {
    "TEXT": "0040A160",
    "DATETIME": "0040A120",
    "DATE": "0040A121",
    "TIME": "0040A122",
    "PNAME": "0040A123",
    "UIDREF": "0040A124",
}
_HEADER = (
    ("Patient", "00100010"),
    ("Patient ID", "00100020"),
    ("Birth date", "00100030"),
    ("Sex", "00100040"),
    ("Accession number", "00080050"),
    ("Study", "00081030"),
    ("Study date", "00080020"),
    ("Referring physician", "00080090"),
    ("Institution", "00080080"),
)


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 §8)."""

    meaning: str
    value: str
    scheme: str


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that an item points to; its place is known if the report's evidence lists it."""

    sop_class_uid: str
    sop_instance_uid: str
    frames: tuple[int, ...] = ()
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class ContentItem:
    """One item of the tree."""

    value_type: str
    relationship: str
    name: Code | None
    value: str
    code: Code | None  # of a coded value, or the unit of a measurement
    references: tuple[Reference, ...]
    children: tuple["ContentItem", ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A report: whom it is about, how far it is, and its content."""

    title: str
    header: tuple[tuple[str, str], ...]
    root: ContentItem


def is_report(attributes: Attributes) -> bool:
    """Tell whether a data set is the root of a content tree."""
    return bool(_first(attributes, _VALUE_TYPE) == "CONTAINER")


def read_report(attributes: Attributes) -> Report:
    """Return the report of a data set."""
    root = _item(attributes, _places(attributes))
    header = [(label, text_of(attributes.get(tag, {}))) for label, tag in _HEADER]
    at = (
        f"{text_of(attributes.get(_CONTENT_DATE, {}))} {text_of(attributes.get(_CONTENT_TIME, {}))}"
    )
    header += [("Report date", at.strip()), ("State", _state(attributes))]
    header += [("Verified by", _observer(each)) for each in _items(attributes, _OBSERVERS)]
    title = root.name.meaning if root.name is not None and root.name.meaning else "Report"
    return Report(title, tuple((label, text) for label, text in header if text), root)


def text_of(element: Mapping[str, Any]) -> str:
    """Return the values of an element as they are read."""
    if "BulkDataURI" in element:
        return "(a long value that is kept as bulk data)"
    vr = element.get("vr", "")
    return ", ".join(_spelled(vr, value) for value in element.get("Value", ()) if value is not None)


def _spelled(vr: str, value: Any) -> str:
    if vr == "PN" and isinstance(value, Mapping):
        names = [" ".join(str(name).replace("^", " ").split()) for name in value.values() if name]
        return names[0] + "".join(f" ({name})" for name in names[1:]) if names else ""
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_BELOW:
        value = int(value)  # a decimal string came as a number
    text = str(value).strip()
    match vr:
        case "DA":
            return _date(text)
        case "TM":
            return _time(text)
        case "DT":
            return f"{_date(text[:8])} {_time(text[8:])}".strip()
    return text


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text  # noqa: PLR2004


def _time(text: str) -> str:
    digits = text[:6]
    if not digits.isdigit() or len(digits) % 2:
        return text
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)) + text[6:]


def _first(attributes: Attributes, tag: str) -> Any:
    values = attributes.get(tag, {}).get("Value")
    return values[0] if values else None


def _items(attributes: Attributes, tag: str) -> Sequence[Attributes]:
    return [item for item in attributes.get(tag, {}).get("Value", ()) if isinstance(item, Mapping)]


def _code(attributes: Attributes, tag: str) -> Code | None:
    for item in _items(attributes, tag):
        values = [text_of(item[each]) for each in _CODE_VALUES if each in item]
        value = next(filter(None, values), "")
        return Code(text_of(item.get(_MEANING, {})) or value, value, text_of(item.get(_SCHEME, {})))
    return None


def _item(attributes: Attributes, places: Mapping[str, tuple[str, str]]) -> ContentItem:
    value_type = str(_first(attributes, _VALUE_TYPE) or "")
    value, code = _value(attributes, value_type)
    return ContentItem(
        value_type=value_type,
        relationship=str(_first(attributes, _RELATIONSHIP) or ""),
        name=_code(attributes, _CONCEPT_NAME),
        value=value,
        code=code,
        references=tuple(_references(attributes, places)),
        children=tuple(_item(child, places) for child in _items(attributes, _CONTENT)),
    )


def _value(attributes: Attributes, value_type: str) -> tuple[str, Code | None]:
    """Return an item's value as text, and the code that belongs to it."""
    if value_type in _TEXTS:
        return text_of(attributes.get(_TEXTS[value_type], {})), None
    match value_type:
        case "CODE":
            code = _code(attributes, _CONCEPT_CODE)
            return ("" if code is None else code.meaning), code
        case "NUM":
            return _measurement(attributes)
        case "SCOORD" | "SCOORD3D":
            return _shape(attributes, dimensions=3 if value_type == "SCOORD3D" else 2), None
        case "TCOORD":
            return text_of(attributes.get(_TEMPORAL_TYPE, {})), None
    referred = text_of(attributes.get(_REFERENCED_ITEM, {}))
    return (f"see item {referred.replace(', ', '.')}" if referred else ""), None


def _measurement(attributes: Attributes) -> tuple[str, Code | None]:
    for measured in _items(attributes, _MEASURED):
        number, unit = text_of(measured.get(_NUMBER, {})), _code(measured, _UNITS)
        shown = "" if unit is None or unit.value == _UNITY else f" {unit.value or unit.meaning}"
        return number + shown, unit
    qualifier = _code(attributes, _NO_NUMBER)
    return ("no value" if qualifier is None else qualifier.meaning), qualifier


def _shape(attributes: Attributes, *, dimensions: int) -> str:
    kind = text_of(attributes.get(_GRAPHIC_TYPE, {})).lower()
    numbers = attributes.get(_GRAPHIC_DATA, {}).get("Value", ())
    points = len(numbers) // dimensions
    return f"{kind} ({points} point{'s' if points > 1 else ''})" if points else kind


def _references(
    attributes: Attributes, places: Mapping[str, tuple[str, str]]
) -> Sequence[Reference]:
    references = []
    for item in _items(attributes, _REFERENCED):
        uid = text_of(item.get(_REFERENCED_INSTANCE, {}))
        study, series = places.get(uid, (None, None))
        values = item.get(_REFERENCED_FRAMES, {}).get("Value", ())
        frames = tuple(number for number in values if isinstance(number, int))
        kind = text_of(item.get(_REFERENCED_CLASS, {}))
        references.append(Reference(kind, uid, frames, study, series))
    return references


def _places(attributes: Attributes) -> dict[str, tuple[str, str]]:
    """Return the study and series of each instance that the report's evidence lists."""
    places = {}
    for study in (item for tag in _EVIDENCE for item in _items(attributes, tag)):
        for series in _items(study, _SERIES_OF_EVIDENCE):
            place = (text_of(study.get(_STUDY_UID, {})), text_of(series.get(_SERIES_UID, {})))
            for instance in _items(series, _REFERENCED):
                places[text_of(instance.get(_REFERENCED_INSTANCE, {}))] = place
    return places


def _state(attributes: Attributes) -> str:
    flags = (text_of(attributes.get(tag, {})).lower() for tag in (_COMPLETION, _VERIFICATION))
    return ", ".join(filter(None, flags))


def _observer(observer: Attributes) -> str:
    parts = (text_of(observer.get(tag, {})) for tag in (_OBSERVER, _ORGANIZATION, _VERIFIED_AT))
    return ", ".join(filter(None, parts))

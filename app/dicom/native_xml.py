"""The Native DICOM Model in XML, written from and read to the DICOM JSON Model (PS3.19 §A.1, PS3.18 §F.2).

Strategy: both models have the same attributes, items and values, so each element is written and read by itself.
A private attribute is written with block 00 and the name of its creator, as PS3.19 has it; its creator's own
element is written too, so that reading finds the same block again. Characters that XML 1.0 cannot hold become
U+FFFD. Reading is in `native_xml_reader`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydicom.datadict import keyword_for_tag

from app.dicom.native_xml_reader import COMPONENTS, NAMESPACE, SCRIPTS, from_xml

__all__ = ["NAMESPACE", "from_xml", "to_xml"]

_CACHED = 8192  # entries; a data set full of made-up tags must not fill the memory
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
)
_SPECIAL = re.compile('[&<>"\r\n\t]|[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}
_REFERENCES_IN_NAMES = {**_REFERENCES, "\n": "&#10;", "\t": "&#9;"}


def to_xml(attributes: Mapping[str, Any]) -> bytes:
    """Return a DICOM JSON object as a Native DICOM Model document in UTF-8."""
    pieces = [_HEAD, *_data_set(attributes), "</NativeDicomModel>"]
    return "".join(pieces).encode()


def _data_set(attributes: Mapping[str, Any]) -> Iterator[str]:
    creators = _creators(attributes)
    for tag, element in attributes.items():
        vr = element.get("vr", "UN")
        name = _private_name(tag, creators) if int(tag[3], 16) & 1 else _standard_name(tag)
        content = "".join(_content(vr, element))
        if content:
            yield f'<DicomAttribute {name} vr="{vr}">{content}</DicomAttribute>'
        else:
            yield f'<DicomAttribute {name} vr="{vr}"/>'


def _creators(attributes: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return who has reserved which block of which group (PS3.5 §7.8.1); a blank name names nobody."""
    found = {}
    for tag, element in attributes.items():
        if tag[4:6] == "00" and int(tag[3], 16) & 1 and tag[6] != "0":
            values = element.get("Value") or [None]
            if len(values) == 1 and isinstance(values[0], str) and values[0].strip():
                found[tag[:4], tag[6:]] = values[0]
    return found


def _private_name(tag: str, creators: Mapping[tuple[str, str], str]) -> str:
    """Return the XML attributes that say which private attribute it is (PS3.19 Table A.1.5-2)."""
    group, block = tag[:4], tag[4:6]
    creator = creators.get((group, block))
    if creator is None:
        return f'tag="{tag}"'
    blocks = [b for (g, b), name in creators.items() if g == group and name == creator]
    # two blocks of one creator: only the block tells them apart
    shown = f"{group}00{tag[6:]}" if len(blocks) == 1 else tag
    return f'tag="{shown}" privateCreator="{_escaped(creator, _REFERENCES_IN_NAMES)}"'


@lru_cache(maxsize=_CACHED)
def _standard_name(tag: str) -> str:
    keyword = keyword_for_tag(int(tag, 16))
    return f'tag="{tag}" keyword="{keyword}"' if keyword else f'tag="{tag}"'


def _content(vr: str, element: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f'<BulkData uri="{_escaped(element["BulkDataURI"], _REFERENCES_IN_NAMES)}"/>'
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{_escaped(element['InlineBinary'])}</InlineBinary>"
    elif vr == "SQ":
        for number, item in enumerate(element.get("Value", ()), 1):
            yield f'<Item number="{number}">{"".join(_data_set(item or {}))}</Item>'
    elif vr == "PN":
        yield from _names(element.get("Value", ()))
    else:
        for number, value in enumerate(element.get("Value", ()), 1):
            yield f'<Value number="{number}">{_escaped(_spelled(value))}</Value>'


def _spelled(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _names(values: Sequence[Mapping[str, str] | None]) -> Iterator[str]:
    """Yield person names, each script in its components (PS3.19 Table A.1.5-5)."""
    for number, name in enumerate(values, 1):
        groups = "".join(
            f"<{script}>{_components(name[script])}</{script}>"
            for script in SCRIPTS
            if name and script in name
        )
        yield f'<PersonName number="{number}">{groups}</PersonName>'


def _components(group: str) -> str:
    # a sixth component has no element of its own: it stays where it is, behind the suffix
    parts = group.split("^", len(COMPONENTS) - 1)
    return "".join(
        f"<{component}>{_escaped(part)}</{component}>"
        for component, part in zip(COMPONENTS, parts, strict=False)
    )


def _escaped(text: str, references: Mapping[str, str] = _REFERENCES) -> str:
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(
        lambda found: references.get(found[0]) or (found[0] if found[0] in "\n\t" else "\ufffd"),
        text,
    )

"""Names of attributes as queries and the index use them, independent of where private blocks happen to lie.

A path is a tuple of steps, one for each level of nesting. A step is the tag as 8 upper-case hex digits
(`00100020`), or for a private element its group, creator and element within the creator's block
(`0019"SIEMENS CT VA0  COAD"02`), because the block number differs from object to object (PS3.5 §7.8.1).
Elements that only reserve a block have the step `gggg0010`, whichever block they reserve.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR, keyword_for_tag, private_dictionary_VR
from pydicom.tag import Tag

AttributePath = tuple[str, ...]

UNKNOWN_VR = "UN"
LONGEST_CREATOR = 64  # characters of an LO
_HEX_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_FIRST_RESERVING = "10"
_ODD = frozenset("13579BDF")


def dotted(path: AttributePath) -> str:
    """Return the path as one text."""
    return ".".join(path)


def shown(path: AttributePath) -> str:
    """Return the path so that it can stand in a header."""
    return "".join(
        each if " " <= each <= "~" and each != "\\" else "?" for each in dotted(path)
    ).replace('"', "'")


def tag_of(name: str) -> str | None:
    """Return the tag of a keyword (in any case) or of 8 hex digits, or None if `name` is neither."""
    if _HEX_TAG.fullmatch(name):
        return name.upper()
    return _tags_by_keyword().get(name.lower())


def is_private(tag: str) -> bool:
    """Tell whether a tag lies in a private group."""
    return tag[3] in _ODD


def is_private_creator(tag: str) -> bool:
    """Tell whether a tag reserves a private block (gggg,0010-00FF)."""
    return is_private(tag) and tag[4:6] == "00" and tag[6:] >= _FIRST_RESERVING


def creator_tag(tag: str) -> str:
    """Return the tag that reserves the block of a private element."""
    return f"{tag[:4]}00{tag[4:6]}"


def private_step(tag: str, creator: str) -> str:
    """Return the step of a private element."""
    return f'{tag[:4]}"{creator}"{tag[6:]}'


def step_in(dataset: Mapping[str, Any], tag: str) -> str:
    """Return the step of an element of a DICOM JSON data set."""
    if tag[3] not in _ODD:
        return tag
    if is_private_creator(tag):
        return f"{tag[:4]}0010"
    values = dataset.get(creator_tag(tag), {}).get("Value") or ()
    creator = values[0].strip() if values and isinstance(values[0], str) else ""
    # what is longer is no creator, and would make names without bounds
    return private_step(tag, creator) if 0 < len(creator) <= LONGEST_CREATOR else tag


@lru_cache(maxsize=8192)  # creators come from objects and queries, without end
def vr_of(tag: str, creator: str | None = None) -> str:
    """Return the VR that the dictionary gives a tag; of several the first, of none UN."""
    if is_private_creator(tag):
        return "LO"
    try:
        if creator is not None:
            return str(private_dictionary_VR(int(tag, 16), creator))[:2]
        return str(dictionary_VR(Tag(int(tag, 16))))[:2]
    except KeyError:
        return UNKNOWN_VR


@lru_cache(maxsize=8192)
def time_beside(tag: str) -> str | None:
    """Return the TM attribute that says the time of a DA attribute: StudyTime of StudyDate."""
    if is_private(tag) or vr_of(tag) != "DA":
        return None
    time = tag_of(keyword_for_tag(int(tag, 16)).replace("Date", "Time"))
    return time if time is not None and vr_of(time) == "TM" else None


@cache
def _tags_by_keyword() -> Mapping[str, str]:
    return {
        entry[4].lower(): f"{number:08X}" for number, entry in DicomDictionary.items() if entry[4]
    }

"""The VR of an element where the bytes do not say it (PS3.6, PS3.5 §6.2.2, Annex A.1)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, private_dictionary_VR

UNKNOWN = "UN"
_LUT_DESCRIPTOR = "00283002"
_FIRST_CREATOR, _LAST_CREATOR = 0x10, 0xFF
_LONGEST_CREATOR = 64  # characters of an LO
_CACHED = 8192  # entries; a data set full of made-up tags must not fill the memory


def implied_vr(tag: int, dataset: Mapping[str, Any], *, signed: bool) -> str:
    """Return the VR that the dictionary gives a tag within what is read of its data set.

    `signed` is what Pixel Representation says, on which some VRs depend.
    """
    group = tag >> 16
    if group & 1:
        element = tag & 0xFFFF
        if element <= _LAST_CREATOR:  # gggg,0010-00FF reserve blocks (PS3.5 §7.8.1)
            return "LO" if element >= _FIRST_CREATOR else UNKNOWN
        creator = dataset.get(f"{group:04X}00{element >> 8:02X}", {}).get("Value")
        if not creator or not isinstance(creator[0], str) or len(creator[0]) > _LONGEST_CREATOR:
            return UNKNOWN
        return _resolved(_private(tag, creator[0]), dataset, signed=signed)
    return _resolved(_standard(tag), dataset, signed=signed)


@lru_cache(maxsize=_CACHED)
def _standard(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return UNKNOWN


@lru_cache(maxsize=_CACHED)
def _private(tag: int, creator: str) -> str:
    try:
        return str(private_dictionary_VR(tag, creator))
    except KeyError:
        return UNKNOWN


def _resolved(vr: str, dataset: Mapping[str, Any], *, signed: bool) -> str:
    """Return one VR where the dictionary names several (PS3.5 Annex A.1, PS3.3 §C.11.1.1)."""
    match vr:
        case "US or SS":
            return "SS" if signed else "US"
        case "US or OW":
            descriptor = dataset.get(_LUT_DESCRIPTOR, {}).get("Value") or [0]
            return "US" if descriptor[0] == 1 else "OW"
        case "OB or OW" | "OB_OW" | "US or SS or OW":
            return "OW"
        case _:
            return vr if len(vr) == 2 else UNKNOWN  # noqa: PLR2004 - "NONE" of items and delimiters

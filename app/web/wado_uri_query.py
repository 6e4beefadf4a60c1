"""The query parameters of WADO-URI, as one value (PS3.18 §9.1.2)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from app.dicom.media_type import split_list
from app.dicom.uid import is_uid
from app.errors import BadQuery, NotAcceptable

Region = tuple[float, float, float, float]

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+*-]+(?:\s*;\s*q=[0-9.]+)?")
_LONGEST_NUMBER = 6  # digits


@dataclass(frozen=True, slots=True)
class WadoUriQuery:
    """What a request asks for."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    content_types: tuple[str, ...] = ()  # best first
    transfer_syntax: str | None = None
    frame: int | None = None
    rows: int | None = None
    columns: int | None = None
    region: Region | None = None  # left, top, right, bottom, each from 0 to 1
    window: tuple[str, str] | None = None  # center and width
    quality: str | None = None
    annotation: str | None = None
    charset: str | None = None


def parse_wado_uri(parameters: Sequence[tuple[str, str]]) -> WadoUriQuery:
    """Return what the parameters ask; those that PS3.18 does not know are ignored. Raises BadQuery."""
    values: dict[str, str] = {}
    for name, value in parameters:
        if values.setdefault(name, value) != value:
            raise BadQuery(f"{name[:32] if name.isidentifier() else 'A parameter'} is given twice.")
    if values.get("requestType") != "WADO":
        raise BadQuery("requestType is WADO, and has to be there.")
    _refuse_what_is_not_built(values)
    return WadoUriQuery(
        _uid(values, "studyUID"),
        _uid(values, "seriesUID"),
        _uid(values, "objectUID"),
        content_types=_content_types(values.get("contentType", "")),
        transfer_syntax=_transfer_syntax(values),
        frame=_number(values, "frameNumber"),
        rows=_number(values, "rows"),
        columns=_number(values, "columns"),
        region=_region(values["region"]) if values.get("region") else None,
        window=_window(values),
        quality=values.get("imageQuality") or None,
        annotation=values.get("annotation") or None,
        charset=_first(values.get("charset", "")),
    )


def _refuse_what_is_not_built(values: dict[str, str]) -> None:
    """Refuse what would change the answer in a way that its reader relies on."""
    if values.get("anonymize", "no").lower() != "no":
        raise NotAcceptable("anonymize: this server does not de-identify objects.")
    if values.get("presentationUID") or values.get("presentationSeriesUID"):
        raise NotAcceptable("presentationUID: this server does not apply presentation states.")


def _transfer_syntax(values: dict[str, str]) -> str | None:
    """Return a UID, or the `*` that npm's dicomweb-client sends to have what is stored."""
    named = values.get("transferSyntax")
    return _uid(values, "transferSyntax") if named and named != "*" else named or None


def _uid(values: dict[str, str], name: str) -> str:
    value = values.get(name, "")
    if not is_uid(value):
        raise BadQuery(f"{name} is no UID." if value else f"{name} is missing.")
    return value


def _content_types(text: str) -> tuple[str, ...]:
    # a plus that nobody escaped came as a space
    types = [each.replace("dicom ", "dicom+") for each in split_list(text)]
    if not all(_MEDIA_TYPE.fullmatch(each) for each in types):
        raise BadQuery("contentType is a list of media types.")
    return tuple(each.lower() for each in types)


def _number(values: dict[str, str], name: str) -> int | None:
    text = values.get(name, "")
    if not text:
        return None
    number = (
        int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER else 0
    )
    if not number:
        raise BadQuery(f"{name} is a whole number from 1.")
    return number


def _region(text: str) -> Region:
    """Return the part of the image that is asked for (PS3.18 §9.1.2.2.5)."""
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise BadQuery("region is left,top,right,bottom, each from 0.0 to 1.0.") from exc
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise BadQuery("region is left,top,right,bottom, each from 0.0 to 1.0.")
    return left, top, right, bottom


def _window(values: dict[str, str]) -> tuple[str, str] | None:
    center, width = values.get("windowCenter", ""), values.get("windowWidth", "")
    if not center and not width:
        return None
    if not (_is_decimal(center) and _is_decimal(width)):
        raise BadQuery("windowCenter and windowWidth are two decimal numbers, or not there.")
    return center, width


def _is_decimal(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _first(text: str) -> str | None:
    return next(iter(split_list(text)), None)

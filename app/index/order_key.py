"""The key that documents are sorted by unless a query says otherwise (`app.index.ordering`)."""

from base64 import b32encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from app.dicom.temporal import parse_date, parse_time
from app.index.comparable import number_of, ordered_number
from app.index.ordering import NEWEST, ORDER

_NEWEST_FIRST = str.maketrans("0123456789", "9876543210")
_STUDY_DATE, _STUDY_TIME = "00080020", "00080030"
_SERIES_NUMBER, _INSTANCE_NUMBER = "00200011", "00200013"


def first_value(attributes: Mapping[str, Any], tag: str) -> Any:
    """Return the first value of an attribute, or None."""
    values = attributes.get(tag, {}).get("Value")
    return values[0] if values else None


def order_of(
    attributes: Mapping[str, Any],
    study_instance_uid: str,
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
) -> dict[str, Any]:
    """Return a key that sorts newest studies first, then by series and instance number; and how it begins.

    Digests of the UIDs make the order total and keep the key short.
    """
    newest = _newest_first(attributes)
    key = newest + _digest(study_instance_uid)
    if series_instance_uid is not None:
        key += _number_key(attributes, _SERIES_NUMBER) + _digest(series_instance_uid)
    if sop_instance_uid is not None:
        key += _number_key(attributes, _INSTANCE_NUMBER) + _digest(sop_instance_uid)
    return {ORDER: key, NEWEST: int(newest)}


def _newest_first(attributes: Mapping[str, Any]) -> str:
    date = parse_date(str(first_value(attributes, _STUDY_DATE) or ""))
    time = parse_time(str(first_value(attributes, _STUDY_TIME) or ""))
    newest = (date.earliest if date else "0" * 8) + (time.earliest[:6] if time else "0" * 6)
    return newest.translate(_NEWEST_FIRST)


def _number_key(attributes: Mapping[str, Any], tag: str) -> str:
    number = number_of(first_value(attributes, tag))
    return "~" if number is None else ordered_number(number) + "."


def _digest(uid: str) -> str:
    return b32encode(sha256(uid.encode()).digest()[:10]).decode()

"""The documents of the index: one for each instance, series and study.

Strategy: a document has the tokens that it is found by (`app.index.tokens`; not kept in `_source`), what the
archive needs to serve it, and the DICOM JSON that answers are made of, packed. A series' and a study's
attributes are the latest that its instances gave: a value that a later instance has takes the place of the
one before, one that it lacks stays. Documents are always written whole.
"""

from base64 import b32encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.dicom.instance import ByteRange, PixelLayout, StoredInstance
from app.dicom.qido_grammar import Level
from app.dicom.temporal import parse_date, parse_time
from app.index.comparable import number_of, ordered_number
from app.index.levels import (
    COMPUTED,
    MODALITIES_IN_STUDY,
    NUMBER_OF_SERIES_RELATED_INSTANCES,
    NUMBER_OF_STUDY_RELATED_INSTANCES,
    NUMBER_OF_STUDY_RELATED_SERIES,
    SOP_CLASSES_IN_STUDY,
    attributes_of,
    columns_of_instances,
)
from app.index.ordering import NEWEST, ORDER, VALUES, column_values
from app.index.packing import (
    pack_bulk,
    pack_json,
    pack_pixels,
    unpack,
    unpack_bulk,
    unpack_json,
    unpack_pixels,
)
from app.index.tokens import indexed_values
from app.limits import Limits

_NEWEST_FIRST = str.maketrans("0123456789", "9876543210")
_MODALITY, _STUDY_DATE, _STUDY_TIME = "00080060", "00080020", "00080030"
_SERIES_NUMBER, _INSTANCE_NUMBER, _NUMBER_OF_FRAMES = "00200011", "00200013", "00280008"


@dataclass(frozen=True, slots=True)
class Links:
    """The FHIR resources that a study is linked to, as references (`Patient/xyz`)."""

    patient: str
    imaging_study: str
    imaging_study_version: int


def instance_document(stored: StoredInstance, limits: Limits) -> dict[str, Any]:
    """Return the document of an instance, still without its links."""
    record = stored.record
    attributes = _read_from_object(record.attributes)
    values = indexed_values(attributes, limits)
    document: dict[str, Any] = {
        "study_instance_uid": record.study_instance_uid,
        "series_instance_uid": record.series_instance_uid,
        "sop_instance_uid": record.sop_instance_uid,
        "sop_class_uid": record.sop_class_uid,
        "transfer_syntax_uid": record.transfer_syntax_uid,
        **_order(
            attributes,
            record.study_instance_uid,
            record.series_instance_uid,
            record.sop_instance_uid,
        ),
        "blob_key": stored.blob_key,
        "size": stored.size,
        "sha256": stored.sha256,
        "version": stored.version,
        "stored_at": stored.stored_at,
        "deflated": record.deflated,
        "instance_number": number_of(_first(attributes, _INSTANCE_NUMBER)),
        "number_of_frames": _number_of_frames(record.attributes, record.pixels),
        VALUES: column_values(values.tokens, columns_of_instances()),
        "tokens": values.tokens,
        "metadata": pack_json(record.attributes),
    }
    if values.items:
        document["items"] = [{"tokens": tokens} for tokens in values.items]
    if values.not_indexed:
        document["not_indexed"] = values.not_indexed
    if record.bulk:
        document["bulk"] = pack_bulk(record.bulk)
    if record.pixels is not None:
        document["pixels"] = pack_pixels(record.pixels)
    return document


def linked(document: Mapping[str, Any], links: Links) -> dict[str, Any]:
    """Return an instance's document with the resources that it is linked to."""
    return {**document, "fhir": _fhir(links)}


def series_document(
    previous: Mapping[str, Any] | None,
    added: Sequence[StoredInstance],
    links: Links,
    *,
    number_of_instances: int,
    limits: Limits,
) -> dict[str, Any]:
    """Return the document of a series after instances were added, in the order they were stored."""
    newest = added[-1].record
    attributes = _latest(Level.SERIES, previous, added)
    computed = {NUMBER_OF_SERIES_RELATED_INSTANCES: _count(number_of_instances)}
    return {
        "study_instance_uid": newest.study_instance_uid,
        "series_instance_uid": newest.series_instance_uid,
        **_order(attributes, newest.study_instance_uid, newest.series_instance_uid),
        "number_of_instances": number_of_instances,
        "stored_at": added[-1].stored_at,
        **_searchable(attributes, computed, limits),
        "fhir": {**_fhir(links), "imaging_study_version": links.imaging_study_version},
    }


def study_document(
    previous: Mapping[str, Any] | None,
    added: Sequence[StoredInstance],
    links: Links,
    *,
    number_of_series: int,
    number_of_instances: int,
    modalities: Iterable[str],
    limits: Limits,
) -> dict[str, Any]:
    """Return the document of a study after instances were added, in the order they were stored."""
    newest = added[-1].record
    attributes = _latest(Level.STUDY, previous, added)
    known = previous.get("sop_classes", ()) if previous is not None else ()
    sop_classes = sorted({*known, *(stored.record.sop_class_uid for stored in added)})
    computed = {
        MODALITIES_IN_STUDY: {"vr": "CS", "Value": sorted(set(modalities))},
        SOP_CLASSES_IN_STUDY: {"vr": "UI", "Value": sop_classes},
        NUMBER_OF_STUDY_RELATED_SERIES: _count(number_of_series),
        NUMBER_OF_STUDY_RELATED_INSTANCES: _count(number_of_instances),
    }
    return {
        "study_instance_uid": newest.study_instance_uid,
        **_order(attributes, newest.study_instance_uid),
        "sop_classes": sop_classes,
        "number_of_series": number_of_series,
        "number_of_instances": number_of_instances,
        "stored_at": added[-1].stored_at,
        **_searchable(attributes, computed, limits),
        "fhir": {**_fhir(links), "imaging_study_version": links.imaging_study_version},
    }


def relinked(document: Mapping[str, Any], links: Links, limits: Limits) -> dict[str, Any]:
    """Return a series' or study's document as of another version of its ImagingStudy."""
    return {
        **document,
        **_searchable(unpack_json(document["metadata"]), {}, limits),
        "fhir": {**_fhir(links), "imaging_study_version": links.imaging_study_version},
    }


def read_metadata(source: Mapping[str, Any]) -> bytes:
    """Return the DICOM JSON object of a document, as it was stored."""
    return unpack(source["metadata"])


def read_bulk(source: Mapping[str, Any]) -> dict[str, ByteRange]:
    """Return where an instance's bulk values are."""
    return unpack_bulk(source["bulk"]) if "bulk" in source else {}


def read_pixels(source: Mapping[str, Any]) -> PixelLayout | None:
    """Return where an instance's frames are, or None if it has none."""
    return unpack_pixels(source["pixels"]) if "pixels" in source else None


def _fhir(links: Links) -> dict[str, Any]:
    return {"patient": links.patient, "imaging_study": links.imaging_study}


def _searchable(
    attributes: Mapping[str, Any], computed: Mapping[str, Any], limits: Limits
) -> dict[str, Any]:
    """Return tokens and metadata of a series' or study's document."""
    together = dict(sorted({**attributes, **computed}.items()))
    values = indexed_values(together, limits)
    fields: dict[str, Any] = {
        VALUES: column_values(values.tokens, together),
        "tokens": values.tokens,
        "metadata": pack_json(together),
    }
    if values.items:
        fields["items"] = [{"tokens": tokens} for tokens in values.items]
    if values.not_indexed:
        fields["not_indexed"] = values.not_indexed
    return fields


def _latest(
    level: Level, previous: Mapping[str, Any] | None, added: Sequence[StoredInstance]
) -> dict[str, Any]:
    """Return the attributes of a level, each as the latest instance that has a value gave it."""
    merged: dict[str, Any] = {}
    if previous is not None:
        merged = _read_from_object(unpack_json(previous["metadata"]))
    for stored in added:
        for tag, element in attributes_of(level, stored.record.attributes).items():
            if tag not in merged or element.keys() - {"vr"}:
                merged[tag] = element
    return merged


def _read_from_object(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes without those that are counted here, whatever an object says."""
    return {tag: element for tag, element in attributes.items() if tag not in COMPUTED}


def _count(number: int) -> dict[str, Any]:
    return {"vr": "IS", "Value": [number]}


def _number_of_frames(attributes: Mapping[str, Any], pixels: PixelLayout | None) -> int:
    number = number_of(_first(attributes, _NUMBER_OF_FRAMES))
    if number is not None and number >= 1:
        return int(number)
    return len(pixels.frames) if pixels is not None else 0


def _first(attributes: Mapping[str, Any], tag: str) -> Any:
    values = attributes.get(tag, {}).get("Value")
    return values[0] if values else None


def _order(
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
    date = parse_date(str(_first(attributes, _STUDY_DATE) or ""))
    time = parse_time(str(_first(attributes, _STUDY_TIME) or ""))
    newest = (date.earliest if date else "0" * 8) + (time.earliest[:6] if time else "0" * 6)
    return newest.translate(_NEWEST_FIRST)


def _number_key(attributes: Mapping[str, Any], tag: str) -> str:
    number = number_of(_first(attributes, tag))
    return "~" if number is None else ordered_number(number) + "."


def _digest(uid: str) -> str:
    return b32encode(sha256(uid.encode()).digest()[:10]).decode()

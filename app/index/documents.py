"""The documents of the index: one for each instance, series and study.

Strategy: a document has the tokens that it is found by (`app.index.tokens`; not kept in `_source`), what the
archive needs to serve it, and the DICOM JSON that answers are made of, packed. A series' and a study's
attributes are the latest that its instances gave: a value that a later instance has takes the place of the
one before, one that it lacks stays. Documents are always written whole.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.dicom.correction import Correction, corrected, restored
from app.dicom.instance import ByteRange, PixelLayout, StoredInstance
from app.dicom.instance_title import instance_title
from app.dicom.qido_grammar import Level
from app.index.comparable import number_of
from app.index.frames import number_of_frames
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
from app.index.order_key import first_value, order_of
from app.index.ordering import VALUES, column_values
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

_AS_NEEDED = frozenset({"items", "not_indexed", "correction"})
_INSTANCE_NUMBER = "00200013"

# what an object, a series or a study with these attributes is to show otherwise, or None
Correcting = Callable[[Mapping[str, Any]], Correction | None]


def as_it_is(_attributes: Mapping[str, Any]) -> None:
    """Correct nothing."""


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
    document: dict[str, Any] = {
        "study_instance_uid": record.study_instance_uid,
        "series_instance_uid": record.series_instance_uid,
        "sop_instance_uid": record.sop_instance_uid,
        "sop_class_uid": record.sop_class_uid,
        "transfer_syntax_uid": record.transfer_syntax_uid,
        **order_of(
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
        "instance_number": number_of(first_value(attributes, _INSTANCE_NUMBER)),
        "number_of_frames": number_of_frames(record.attributes, record.pixels),
        **_found_by(attributes, columns_of_instances(), limits),
        "metadata": pack_json(record.attributes),
    }
    if title := instance_title(record.attributes):
        document["title"] = title
    if record.bulk:
        document["bulk"] = pack_bulk(record.bulk)
    if record.pixels is not None:
        document["pixels"] = pack_pixels(record.pixels)
    return document


def linked(document: Mapping[str, Any], links: Links) -> dict[str, Any]:
    """Return an instance's document with the resources that it is linked to."""
    return {**document, "fhir": _fhir(links)}


def as_shown(
    document: Mapping[str, Any],
    own: Mapping[str, Any],
    correction: Correction | None,
    limits: Limits,
) -> dict[str, Any]:
    """Return an instance's document with this correction of its `own` attributes instead of what it has.

    What it is found by is made anew: the index does not give it back (`_source.excludes`).
    """
    attributes = own if correction is None else corrected(own, correction, instance=True)
    return {
        **_without_found(document),
        **_found_by(_read_from_object(attributes), columns_of_instances(), limits),
        "metadata": pack_json(attributes),
        **_corrections(correction),
    }


def series_document(
    previous: Mapping[str, Any] | None,
    added: Sequence[StoredInstance],
    links: Links,
    *,
    number_of_instances: int,
    limits: Limits,
    correct: Correcting = as_it_is,
) -> dict[str, Any]:
    """Return the document of a series after instances were added, in the order they were stored."""
    newest = added[-1].record
    attributes = _latest(Level.SERIES, previous, added)
    computed = {NUMBER_OF_SERIES_RELATED_INSTANCES: _count(number_of_instances)}
    return {
        "study_instance_uid": newest.study_instance_uid,
        "series_instance_uid": newest.series_instance_uid,
        **order_of(attributes, newest.study_instance_uid, newest.series_instance_uid),
        "number_of_instances": number_of_instances,
        "stored_at": added[-1].stored_at,
        **_searchable(attributes, computed, limits, correct(attributes)),
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
    correct: Correcting = as_it_is,
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
        **order_of(attributes, newest.study_instance_uid),
        "sop_classes": sop_classes,
        "number_of_series": number_of_series,
        "number_of_instances": number_of_instances,
        "stored_at": added[-1].stored_at,
        **_searchable(attributes, computed, limits, correct(attributes)),
        "fhir": {**_fhir(links), "imaging_study_version": links.imaging_study_version},
    }


def relinked(
    document: Mapping[str, Any],
    links: Links,
    limits: Limits,
    correct: Correcting | None = None,
) -> dict[str, Any]:
    """Return a series' or study's document as of another version of its ImagingStudy.

    With `correct` it is shown as that says, else as before.
    """
    attributes = own_attributes(document)
    correction = read_correction(document) if correct is None else correct(attributes)
    return {
        **_without_found(document),
        **_searchable(attributes, {}, limits, correction),
        "fhir": {
            **document["fhir"],
            **_fhir(links),
            "imaging_study_version": links.imaging_study_version,
        },
    }


def own_attributes(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a document as its objects have them: without the correction."""
    attributes: dict[str, Any] = unpack_json(source["metadata"])
    correction = read_correction(source)
    return attributes if correction is None else restored(attributes, correction)


def read_metadata(source: Mapping[str, Any]) -> bytes:
    """Return the DICOM JSON object of a document, as it was stored."""
    return unpack(source["metadata"])


def read_correction(source: Mapping[str, Any]) -> Correction | None:
    """Return what a document's metadata show otherwise than the objects say, or None."""
    if "correction" not in source:
        return None
    return Correction.from_json(unpack_json(source["correction"]))


def read_bulk(source: Mapping[str, Any]) -> dict[str, ByteRange]:
    """Return where an instance's bulk values are."""
    return unpack_bulk(source["bulk"]) if "bulk" in source else {}


def read_pixels(source: Mapping[str, Any]) -> PixelLayout | None:
    """Return where an instance's frames are, or None if it has none."""
    return unpack_pixels(source["pixels"]) if "pixels" in source else None


def _fhir(links: Links) -> dict[str, Any]:
    return {"patient": links.patient, "imaging_study": links.imaging_study}


def _searchable(
    attributes: Mapping[str, Any],
    computed: Mapping[str, Any],
    limits: Limits,
    correction: Correction | None,
) -> dict[str, Any]:
    """Return tokens and metadata of a series' or study's document."""
    together = dict(sorted({**attributes, **computed}.items()))
    if correction is not None:
        together = corrected(together, correction, instance=False)
    return {
        **_found_by(together, together, limits),
        "metadata": pack_json(together),
        **_corrections(correction),
    }


def _found_by(
    attributes: Mapping[str, Any], columns: Container[str], limits: Limits
) -> dict[str, Any]:
    """Return the fields of a document that it is found and sorted by."""
    values = indexed_values(attributes, limits)
    fields: dict[str, Any] = {
        VALUES: column_values(values.tokens, columns),
        "tokens": values.tokens,
    }
    if values.items:
        fields["items"] = [{"tokens": tokens} for tokens in values.items]
    if values.not_indexed:
        fields["not_indexed"] = values.not_indexed
    return fields


def _without_found(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without what is there only where it is needed."""
    return {name: value for name, value in document.items() if name not in _AS_NEEDED}


def _corrections(correction: Correction | None) -> dict[str, Any]:
    return {} if correction is None else {"correction": pack_json(correction.to_json())}


def _latest(
    level: Level, previous: Mapping[str, Any] | None, added: Sequence[StoredInstance]
) -> dict[str, Any]:
    """Return the attributes of a level, each as the latest instance that has a value gave it."""
    merged: dict[str, Any] = {}
    if previous is not None:
        merged = _read_from_object(own_attributes(previous))
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

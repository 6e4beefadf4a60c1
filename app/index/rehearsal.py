"""Documents and searches to rehearse with: of the usual shape, about nobody, never kept."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.dicom.qido_grammar import Level, Scope, parse_query
from app.index.ordering import NEWEST, ORDER
from app.index.packing import pack_json
from app.index.query import search_steps
from app.index.tokens import indexed_values
from app.limits import Limits

_QUESTIONS: tuple[tuple[Level, tuple[tuple[str, str], ...]], ...] = (
    (Level.STUDY, ()),
    (Level.STUDY, (("PatientID", "4711"),)),
    (Level.STUDY, (("PatientName", "warm*"), ("StudyDate", "20000101-20001231"))),
    (Level.STUDY, (("AccessionNumber", "*1*"), ("ModalitiesInStudy", "OT"))),
    (Level.SERIES, (("StudyInstanceUID", "2.25.1"),)),
    (Level.INSTANCE, (("SOPInstanceUID", "2.25.1"),)),
    (Level.INSTANCE, (("Modality", "OT"), ("InstanceNumber", "1"))),
)
_ATTRIBUTES: Mapping[str, Any] = {
    "00080018": {"vr": "UI", "Value": ["2.25.1"]},
    "00080020": {"vr": "DA", "Value": ["20000601"]},
    "00080050": {"vr": "SH", "Value": ["A1B"]},
    "00080060": {"vr": "CS", "Value": ["OT"]},
    "00080061": {"vr": "CS", "Value": ["OT"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Warm^Up"}]},
    "00100020": {"vr": "LO", "Value": ["4711"]},
    "0020000D": {"vr": "UI", "Value": ["2.25.1"]},
    "00200013": {"vr": "IS", "Value": [1]},
}
_MORE = 100  # values: with these an instance has about what a CT image has


def rehearsed_document(number: int, limits: Limits) -> dict[str, Any]:
    """Return a document of the usual size that stands for no instance."""
    more = {f"0018{tag:04X}": {"vr": "LO", "Value": [str(tag * number)]} for tag in range(_MORE)}
    attributes = {**_ATTRIBUTES, **more}
    return {
        "study_instance_uid": "2.25.1",
        "series_instance_uid": "2.25.1",
        "sop_instance_uid": f"2.25.{number}",
        "transfer_syntax_uid": "2.25.1",
        ORDER: f"{number:032}",
        NEWEST: number,
        "tokens": indexed_values(attributes, limits).tokens,
        "metadata": pack_json(attributes),
    }


def rehearsed_searches(limits: Limits) -> Iterator[dict[str, Any]]:
    """Yield the searches that the usual questions begin with, and those that find only a few documents."""
    for level, parameters in _QUESTIONS:
        query = parse_query(level, Scope(), [*parameters, ("limit", "25")], limits)
        request = next(search_steps(query, limits))
        yield request.body
        if request.beside is not None:
            yield request.beside
    few = {"term": {"series_instance_uid": "2.25.1"}}
    for source in (["metadata"], ["study_instance_uid", "transfer_syntax_uid"]):
        body = {"query": {"bool": {"filter": [few]}}, "sort": [{ORDER: "asc"}], "_source": source}
        yield {**body, "size": 25, "seq_no_primary_term": True, "track_total_hits": True}
    everything = {"query": {"match_all": {}}, "sort": [{ORDER: "asc"}], "size": 25}
    yield {**everything, "_source": ["metadata"], "track_total_hits": True}

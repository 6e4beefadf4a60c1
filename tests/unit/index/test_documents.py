"""The documents of instances, series and studies."""

from typing import Any

import orjson

from app.dicom.instance import ByteRange, InstanceRecord, PixelLayout, StoredInstance
from app.index.documents import (
    Links,
    instance_document,
    linked,
    read_bulk,
    read_metadata,
    read_pixels,
    relinked,
    series_document,
    study_document,
)
from app.limits import Limits

LIMITS = Limits()
LINKS = Links("Patient/p", "ImagingStudy/s", 7)


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def stored(
    sop: str = "1.2.3.4", more: dict[str, Any] | None = None, **record: Any
) -> StoredInstance:
    attributes = {
        "00080016": element("UI", "1.2.840.10008.5.1.4.1.1.2"),
        "00080018": element("UI", sop),
        "00080060": element("CS", "CT"),
        "00100020": element("LO", "P1"),
        "0020000D": element("UI", "1.2"),
        "0020000E": element("UI", "1.2.3"),
        **(more or {}),
    }
    return StoredInstance(
        InstanceRecord(
            "1.2",
            "1.2.3",
            sop,
            "1.2.840.10008.5.1.4.1.1.2",
            "1.2.840.10008.1.2.1",
            dict(sorted(attributes.items())),
            **record,
        ),
        blob_key=f"1.2/1.2.3/{sop}/v1.dcm",
        size=1234,
        sha256="ab" * 32,
        version="v1",
        stored_at="2026-01-01T00:00:00Z",
    )


def study(previous: dict[str, Any] | None, *added: StoredInstance) -> dict[str, Any]:
    return study_document(
        previous,
        added,
        LINKS,
        number_of_series=2,
        number_of_instances=9,
        modalities=["MR", "CT", "CT"],
        limits=LIMITS,
    )


def values(document: dict[str, Any], tag: str) -> Any:
    return orjson.loads(read_metadata(document))[tag].get("Value")


def test_instance_document_gives_back_what_was_stored() -> None:
    pixels = PixelLayout(encapsulated=False, frames=((ByteRange(100, 50),), (ByteRange(150, 50),)))
    bulk = {"7FE00010": ByteRange(100, 100)}
    instance = stored(pixels=pixels, bulk=bulk, deflated=True)

    document = instance_document(instance, LIMITS)

    assert orjson.loads(read_metadata(document)) == instance.record.attributes
    assert read_pixels(document) == pixels
    assert read_bulk(document) == bulk
    assert document["deflated"] is True
    assert document["number_of_frames"] == 2
    assert document["blob_key"] == instance.blob_key
    assert "00100020=P1" in document["tokens"]


def test_instance_without_pixels_has_no_frames() -> None:
    document = instance_document(stored(), LIMITS)

    assert read_pixels(document) is None
    assert read_bulk(document) == {}
    assert document["number_of_frames"] == 0


def test_number_of_frames_is_that_of_the_object() -> None:
    document = instance_document(stored(more={"00280008": element("IS", "12")}), LIMITS)

    assert document["number_of_frames"] == 12


def test_linked_document_names_patient_and_imaging_study() -> None:
    document = linked(instance_document(stored(), LIMITS), LINKS)

    assert document["fhir"]["patient"] == "Patient/p"
    assert document["fhir"]["imaging_study"] == "ImagingStudy/s"


def test_counts_that_an_object_claims_are_not_believed() -> None:
    claims = {"00201208": element("IS", 500), "00080061": element("CS", "XX")}
    instance = stored(more=claims)

    document = study(None, instance)

    assert values(document, "00201208") == [9]
    assert values(document, "00080061") == ["CT", "MR"]
    assert not any("XX" in token for token in document["tokens"])
    assert not any(t.startswith("00201208") for t in instance_document(instance, LIMITS)["tokens"])


def test_study_document_counts_and_collects() -> None:
    document = study(None, stored())

    assert values(document, "00201206") == [2]
    assert values(document, "00080062") == ["1.2.840.10008.5.1.4.1.1.2"]
    assert {"00080061=CT", "00080061=MR", "00100020=P1"} <= set(document["tokens"])
    assert document["fhir"]["imaging_study_version"] == 7


def test_study_document_keeps_sop_classes_of_before() -> None:
    before = {**study(None, stored()), "sop_classes": ["1.2.840.10008.5.1.4.1.1.88.11"]}

    assert study(before, stored())["sop_classes"] == [
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.88.11",
    ]


def test_latest_value_wins_and_a_missing_one_stays() -> None:
    """P3 of the design: what a study says is what its latest instance says, as far as it says it."""
    first = stored(more={"00081030": element("LO", "old"), "00200010": element("SH", "ID")})
    second = stored("1.2.3.5", more={"00081030": element("LO", "new"), "00200010": {"vr": "SH"}})

    at_once = study(None, first, second)
    in_turn = study(study(None, first), second)

    assert values(at_once, "00081030") == ["new"]
    assert values(at_once, "00200010") == ["ID"]
    assert in_turn == at_once


def test_study_document_has_no_attributes_of_series_or_instances() -> None:
    document = study(None, stored(more={"00080070": element("LO", "ACME")}))

    assert "00080060" not in orjson.loads(read_metadata(document))
    assert not any(token.startswith(("00080060", "00080070")) for token in document["tokens"])


def test_series_document_has_attributes_of_its_study_too() -> None:
    document = series_document(None, [stored()], LINKS, number_of_instances=3, limits=LIMITS)

    assert values(document, "00201209") == [3]
    assert {"00080060=CT", "00100020=P1", "00201209#C008"} <= set(document["tokens"])


def test_relinked_document_differs_in_its_links_only() -> None:
    before = study(None, stored())
    source = {field: value for field, value in before.items() if field != "tokens"}

    after = relinked(source, Links("Patient/q", "ImagingStudy/s", 8), LIMITS)

    assert after["fhir"] == {
        "patient": "Patient/q",
        "imaging_study": "ImagingStudy/s",
        "imaging_study_version": 8,
    }
    assert {**after, "fhir": before["fhir"]} == before


def test_rows_are_ordered_newest_study_first_then_by_number() -> None:
    def order(date: str | None, series: Any, number: Any, sop: str = "1.2.3.4") -> str:
        more: dict[str, Any] = {
            "00200011": element("IS", series),
            "00200013": element("IS", number),
        }
        if date is not None:
            more["00080020"] = element("DA", date)
        return str(instance_document(stored(sop, more=more), LIMITS)["order"])

    expected = [
        order("20250101", -1, 5),
        order("20250101", 2, 1),
        order("20250101", 2, 9),
        order("20250101", 2, 10),
        order("20250101", 10, 1),
        order("20250101", "x", 1),
        order("20240101", 1, 1),
        order(None, 1, 1),
    ]

    assert expected == sorted(expected)
    assert order("20250101", 1, 1) != order("20250101", 1, 1, sop="1.2.3.5")

"""What a level says once instances are gone is what the remaining ones say, the latest first."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.dicom.instance import InstanceRecord, StoredInstance
from app.dicom.qido_grammar import Level
from app.index.documents import Links, instance_document, read_metadata, study_document
from app.index.remaining import Remaining
from app.limits import Limits

LINKS = Links("Patient/p", "ImagingStudy/s", 1)
TAGS = ("00081030", "00100010", "00200010", "00080050")


def stored(number: int, attributes: dict[str, Any]) -> StoredInstance:
    record = InstanceRecord(
        "1.2", "1.2.1", f"1.2.1.{number}", "1.2.840", "1.2", dict(sorted(attributes.items()))
    )
    return StoredInstance(record, "k", 1, "d", "v", f"2026-01-01T00:00:{number:02}.000Z")


def document(instances: list[StoredInstance]) -> dict[str, Any]:
    return study_document(
        None, instances, LINKS, number_of_series=1, number_of_instances=len(instances),
        modalities=[], limits=Limits(),
    )  # fmt: skip


values = st.one_of(
    st.just({"vr": "LO"}), st.sampled_from("ab").map(lambda v: {"vr": "LO", "Value": [v]})
)
studies = st.lists(st.dictionaries(st.sampled_from(TAGS), values), min_size=2, max_size=6)


@given(studies, st.data())
def test_it_is_what_a_study_of_the_remaining_alone_would_say(
    attributes: list[dict[str, Any]], data: st.DataObject
) -> None:
    instances = [stored(number, each) for number, each in enumerate(attributes)]
    keep = data.draw(st.lists(st.sampled_from(instances), min_size=1, unique_by=id))
    keep.sort(key=instances.index)

    remaining = Remaining(Level.STUDY, document(instances))
    for instance in reversed(keep):
        if not remaining.complete:
            remaining.take(instance_document(instance, Limits()))

    alone = Remaining(Level.STUDY, None)
    for instance in reversed(keep):
        alone.take(instance_document(instance, Limits()))
    again = document([stored(9, remaining.attributes)])
    assert read_metadata(again) == read_metadata(document([stored(9, alone.attributes)]))
    expected = read_metadata(document(keep))
    assert read_metadata(document([stored(9, alone.attributes)] * len(keep))) == expected


def test_one_instance_is_enough_where_it_says_everything() -> None:
    whole = {"00081030": {"vr": "LO", "Value": ["x"]}}
    remaining = Remaining(Level.STUDY, document([stored(1, whole), stored(2, whole)]))
    assert not remaining.complete
    remaining.take(instance_document(stored(1, whole), Limits()))

    assert remaining.complete
    assert remaining.stored_at == "2026-01-01T00:00:01.000Z"

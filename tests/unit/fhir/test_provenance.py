from dataclasses import replace

from fhir.resources.R4B.provenance import Provenance
from hypothesis import given
from hypothesis import strategies as st

from app.fhir.ids import imaging_study_id
from app.fhir.provenance import (
    DIGEST,
    DIGEST_OF_ALL,
    INSTANCES,
    Deed,
    Requester,
    TracedInstance,
    digest_of_all,
    provenance_resource,
)

STUDY = "1.2.3"
REFERENCE = f"ImagingStudy/{imaging_study_id(STUDY)}"
DEED = Deed(
    id="one",
    activity="create",
    study_instance_uid=STUDY,
    recorded="2026-01-02T03:04:05.678Z",
    imaging_study_version=3,
    instances=(TracedInstance("1.2.3.4", "ab"),),
)


def test_an_instance_is_an_entity_with_its_uid_and_its_digest() -> None:
    (entity,) = provenance_resource([DEED], most_instances=5)["entity"]

    assert entity == {
        "role": "source",
        "what": {"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.4"}},
        "extension": [{"url": DIGEST, "valueString": "ab"}],
    }


def test_the_target_is_the_version_that_has_it_all() -> None:
    later = replace(DEED, id="two", recorded="2026-01-02T03:04:06.000Z", imaging_study_version=5)

    resource = provenance_resource([later, DEED], most_instances=5)

    (target,) = resource["target"]
    assert target["reference"] == f"{REFERENCE}/_history/5"
    assert resource["occurredPeriod"] == {"start": DEED.recorded, "end": later.recorded}
    assert resource["recorded"] == later.recorded


def test_an_unknown_version_leaves_the_reference_without_one() -> None:
    deed = replace(DEED, imaging_study_version=0)

    (target,) = provenance_resource([deed], most_instances=5)["target"]

    assert target["reference"] == REFERENCE


def test_a_study_that_is_gone_is_named_only() -> None:
    deed = replace(DEED, also=("Patient/p",))

    (target,) = provenance_resource([deed], most_instances=5, literal=False)["target"]

    assert "reference" not in target
    assert target["identifier"]["value"] == f"urn:oid:{STUDY}"


def test_of_more_instances_than_are_listed_there_is_one_entity() -> None:
    instances = tuple(TracedInstance(f"1.{n}", f"{n:02x}") for n in range(6))

    (entity,) = provenance_resource([replace(DEED, instances=instances)], most_instances=5)[
        "entity"
    ]

    assert {each["url"] for each in entity["extension"]} == {INSTANCES, DIGEST_OF_ALL}
    assert entity["what"]["identifier"]["value"] == f"urn:oid:{STUDY}"


def test_deleted_instances_have_no_digest() -> None:
    instances = tuple(TracedInstance(f"1.{n}") for n in range(6))
    deed = replace(DEED, activity="delete", instances=instances)

    resource = provenance_resource([deed], most_instances=5)

    (entity,) = resource["entity"]
    assert [each["url"] for each in entity["extension"]] == [INSTANCES]
    assert entity["role"] == "removal"
    assert resource["activity"]["coding"][0]["code"] == "DELETE"


def test_a_correction_names_what_caused_it_and_all_that_it_is_about() -> None:
    deed = replace(
        DEED,
        activity="correct",
        instances=(),
        sources=("Patient/p/_history/2",),
        also=("Patient/p",),
    )

    resource = provenance_resource([deed], most_instances=5)

    assert resource["entity"] == [{"role": "source", "what": {"reference": "Patient/p/_history/2"}}]
    assert [each["reference"] for each in resource["target"]] == [
        f"{REFERENCE}/_history/3",
        "Patient/p",
    ]


def test_who_asked_is_an_agent_beside_the_archive() -> None:
    deed = replace(DEED, requester=Requester(user="jane", client="Modality/7"))

    agents = provenance_resource([deed], most_instances=5)["agent"]

    assert [each["type"]["coding"][0]["code"] for each in agents] == [
        "assembler",
        "enterer",
        "informant",
    ]
    assert [each["who"]["display"] for each in agents] == ["Coregister", "jane", "Modality/7"]


def test_the_id_follows_from_the_deeds_whatever_their_order() -> None:
    other = replace(DEED, id="two")

    one, same, different = (
        provenance_resource(deeds, most_instances=5)["id"]
        for deeds in ([DEED, other], [other, DEED], [DEED])
    )

    assert one == same != different


@given(st.permutations([TracedInstance(f"1.{n}", f"{n:02x}") for n in range(5)]))
def test_the_digest_of_all_does_not_depend_on_an_order(instances: list[TracedInstance]) -> None:
    assert digest_of_all(instances) == digest_of_all(
        sorted(instances, key=lambda i: i.sha256 or "")
    )


@given(
    st.builds(
        Deed,
        id=st.uuids().map(lambda u: u.hex),
        activity=st.sampled_from(["create", "replace", "delete", "correct"]),
        study_instance_uid=st.just(STUDY),
        recorded=st.just(DEED.recorded),
        requester=st.builds(Requester, user=st.just("u"), client=st.sampled_from(["", "c"])),
        imaging_study_version=st.integers(0, 5),
        instances=st.lists(
            st.builds(TracedInstance, st.from_regex(r"[1-9]\.[1-9]{1,9}", fullmatch=True)),
            max_size=4,
        ).map(tuple),
        sources=st.sampled_from([(), ("Patient/1/_history/2",)]),
        also=st.sampled_from([(), ("Patient/1",)]),
    ),
    st.integers(1, 3),
    st.booleans(),
)
def test_every_provenance_is_valid(deed: Deed, most: int, literal: bool) -> None:
    Provenance.model_validate(provenance_resource([deed], most_instances=most, literal=literal))

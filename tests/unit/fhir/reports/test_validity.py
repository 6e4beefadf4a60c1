"""Whatever stands in a content tree, what is made of it is valid FHIR R4, and nothing fails."""

from collections.abc import Mapping
from typing import Any

import orjson
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.documentreference import DocumentReference
from fhir.resources.R4B.observation import Observation
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dicom.instance import InstanceRecord
from app.fhir.reports.merging import brought_up_to_date, retired
from app.fhir.reports.tables import kinds
from tests.unit.fhir.dicom_json import attributes
from tests.unit.fhir.reports.made import derived

MODELS: dict[str, Any] = {
    "DiagnosticReport": DiagnosticReport,
    "DocumentReference": DocumentReference,
    "Observation": Observation,
}
KNOWN = (
    ("DCM", "125007"), ("DCM", "121071"), ("SCT", "363698007"), ("SRT", "G-C0E3"), ("SCT", "272741003"),
    ("SCT", "370129005"), ("DCM", "112039"), ("DCM", "112040"), ("DCM", "121024"), ("DCM", "121039"),
    ("DCM", "121072"), ("DCM", "121073"), ("DCM", "113811"), ("DCM", "113819"), ("DCM", "113809"),
    ("DCM", "113810"), ("DCM", "113813"), ("DCM", "113769"), ("UMLS", "C0034375"), ("LN", "11528-7"),
    ("DCM", "121008"), ("DCM", "121012"), ("DCM", "121013"), ("DCM", "123014"),
)  # fmt: skip

texts = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(["", " ", "\x00", "\r\n"])
odd = st.none() | texts | st.integers() | st.floats() | st.booleans()
uids = st.sampled_from(["1.2.3", "1.2.840.10008.5.1.4.1.1.2", "1.02", "x", "1." * 40]) | texts
moments = texts | st.sampled_from(["20240229", "20240229101500", "2024", "20240229101530.5+0100"])
names = st.dictionaries(st.sampled_from(["Alphabetic", "Phonetic"]), texts) | odd


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies).map(lambda given: attributes(**given))


known_codes = st.sampled_from(KNOWN).map(
    lambda known: attributes(
        CodingSchemeDesignator=known[0], CodeValue=known[1], CodeMeaning="Known"
    )
)
codes = known_codes | fields(
    CodeValue=odd,
    LongCodeValue=odd,
    URNCodeValue=odd,
    CodingSchemeDesignator=odd,
    CodingSchemeVersion=odd,
    CodingSchemeUID=uids,
    CodeMeaning=odd,
)
code_sequences = st.lists(codes | st.none(), max_size=2)
measured = fields(
    NumericValue=odd | st.sampled_from(["1.5", "1e400", "NaN", "", "1e20"]),
    FloatingPointValue=odd,
    MeasurementUnitsCodeSequence=code_sequences,
)
referenced = fields(
    ReferencedSOPClassUID=uids,
    ReferencedSOPInstanceUID=uids,
    ReferencedFrameNumber=st.lists(odd, max_size=3),
    ReferencedSegmentNumber=st.lists(odd, max_size=3),
)
own_fields = {
    "ValueType": st.sampled_from(
        ["CONTAINER", "NUM", "CODE", "TEXT", "UIDREF", "DATETIME", "DATE", "TIME", "PNAME", "IMAGE",
         "COMPOSITE", "SCOORD", "SCOORD3D", "TCOORD", "WAVEFORM", ""]
    ) | odd,
    "RelationshipType": st.sampled_from(
        ["CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS PROPERTIES", "INFERRED FROM",
         "SELECTED FROM", "HAS ACQ CONTEXT"]
    ) | odd,
    "ConceptNameCodeSequence": code_sequences,
    "ConceptCodeSequence": code_sequences,
    "NumericValueQualifierCodeSequence": code_sequences,
    "MeasuredValueSequence": st.lists(measured | st.none(), max_size=2),
    "ReferencedSOPSequence": st.lists(referenced, max_size=2),
    "ReferencedContentItemIdentifier": st.lists(odd | st.integers(1, 3), max_size=3),
    "TextValue": odd,
    "UID": uids,
    "DateTime": moments,
    "Date": moments,
    "PersonName": names,
    "ObservationDateTime": moments,
    "ObservationUID": uids,
    "GraphicType": odd,
    "GraphicData": st.lists(odd, max_size=4),
    "ReferencedFrameOfReferenceUID": uids,
}  # fmt: skip
leaves = fields(**own_fields)
trees = st.recursive(
    leaves,
    lambda below: st.builds(
        lambda item, children: {**item, **attributes(ContentSequence=children)},
        leaves,
        st.lists(below | st.none(), max_size=4),
    ),
    max_leaves=12,
)
observers = fields(
    VerifyingOrganization=odd,
    VerificationDateTime=moments,
    VerifyingObserverName=names,
    VerifyingObserverIdentificationCodeSequence=code_sequences,
    PersonName=names,
    PersonIdentificationCodeSequence=code_sequences,
)
heads = fields(
    StudyDate=moments,
    StudyTime=odd,
    ContentDate=moments,
    ContentTime=odd,
    TimezoneOffsetFromUTC=texts | st.just("+0100"),
    CompletionFlag=odd | st.just("COMPLETE"),
    VerificationFlag=odd | st.just("VERIFIED"),
    PreliminaryFlag=odd | st.just("FINAL"),
    VerifyingObserverSequence=st.lists(observers | st.none(), max_size=2),
    AuthorObserverSequence=st.lists(observers, max_size=2),
    InstitutionName=odd,
    DocumentTitle=odd,
    MIMETypeOfEncapsulatedDocument=odd | st.just("Application/PDF"),
    EncapsulatedDocumentLength=odd,
    CodingSchemeIdentificationSequence=st.lists(codes, max_size=2),
)
documents = st.sampled_from(
    [{}, {"00420011": {"vr": "OB", "InlineBinary": "AAEC"}}, {"00420011": {"vr": "OB", "InlineBinary": "!"}}]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(kinds())), heads, trees, documents)
def test_resources_of_any_object_are_valid(
    sop_class: str, head: dict[str, Any], tree: dict[str, Any], document: dict[str, Any]
) -> None:
    whole = {**head, **tree, **attributes(ValueType="CONTAINER"), **document}

    for resource in derived(record(sop_class, whole)).resources:
        check(resource)
        check(retired(resource))
        assert brought_up_to_date(resource, resource) == resource


def record(sop_class: str, attributes: Mapping[str, Any]) -> InstanceRecord:
    return InstanceRecord(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        sop_instance_uid="1.2.3.1.1",
        sop_class_uid=sop_class,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        attributes=attributes,
    )


def check(resource: Mapping[str, Any]) -> None:
    """See that it is valid, and can be sent at all."""
    MODELS[resource["resourceType"]].model_validate(resource)
    assert orjson.loads(orjson.dumps(resource)) == resource
    assert not list(empty_in(resource))


def empty_in(value: Any) -> Any:
    """Yield what FHIR has no place for: elements without a value."""
    if isinstance(value, Mapping):
        yield from (key for key, each in value.items() if each in ("", [], {}, None))
        yield from (found for each in value.values() for found in empty_in(each))
    elif isinstance(value, list):
        yield from (found for each in value for found in empty_in(each))

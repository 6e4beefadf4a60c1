"""What a FHIR client may rely on: inputs and the elements that they make, the rows of conformance.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.fhir.dicom_json import STUDY, attributes

DCM = "http://dicom.nema.org/resources/ontology/DCM"
SNOMED = "http://snomed.info/sct"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


@dataclass(frozen=True, slots=True)
class Case:
    """One input and what becomes of it."""

    element: str  # where it is: a resource, then names; series and instances are the first
    given: Mapping[str, Any]
    expected: Any  # None: there is no such element
    settings: Mapping[str, str] = field(default_factory=dict)


def coded(value: str, scheme: str, meaning: str = "", **more: Any) -> dict[str, Any]:
    """Return an item of a code sequence."""
    said = {"CodeMeaning": meaning} if meaning else {}
    return attributes(CodeValue=value, CodingSchemeDesignator=scheme, **said, **more)


def person(number: str, name: str = "") -> dict[str, Any]:
    """Return an item of an identification sequence."""
    return attributes(PersonIdentificationCodeSequence=[coded(number, "99STAFF", name)])


def of_type(code: str, system: str = IDENTIFIER_TYPE) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


ACCESSION_TYPE = {
    "coding": [{"system": IDENTIFIER_TYPE, "code": "ACSN"}, {"system": DCM, "code": "121022"}]
}
STAFF = "urn:coregister:coding-scheme:99STAFF"


def accession(value: str, system: str = "urn:test:accession") -> dict[str, Any]:
    return {"type": ACCESSION_TYPE, "system": system, "value": value}


def order(value: str, system: str = "urn:test:accession") -> dict[str, Any]:
    return {"type": "ServiceRequest", "identifier": accession(value, system)}


def performer(actor: Mapping[str, Any], function: str = "PRF") -> dict[str, Any]:
    return {"function": of_type(function, PARTICIPATION), "actor": actor}


def sct(code: str, display: str) -> dict[str, Any]:
    return {"system": SNOMED, "code": code, "display": display}


UID = {
    "use": "official",
    "type": of_type("110180", DCM),
    "system": "urn:dicom:uid",
    "value": f"urn:oid:{STUDY}",
}
RIS = attributes(LocalNamespaceEntityID="RIS")
HOSPITAL = attributes(UniversalEntityID="1.2.40.0.13.1.1", UniversalEntityIDType="ISO")
REQUESTS = [attributes(AccessionNumber="A1"), attributes(AccessionNumber="A2")]
PHYSICIAN = {"type": "Practitioner", "display": "Dr. Jane Who"}
NAME = {"Alphabetic": "Who^Jane^^Dr."}
KNOWN = {"type": "Practitioner", "identifier": {"system": STAFF, "value": "4711"}}

STUDY_CASES = (
    Case("ImagingStudy.identifier", {}, [UID]),
    Case("ImagingStudy.identifier", {"AccessionNumber": "A1"}, [UID, accession("A1")]),
    Case(
        "ImagingStudy.identifier",
        {"AccessionNumber": "A1", "IssuerOfAccessionNumberSequence": [RIS]},
        [UID, accession("A1", "urn:test:issuer:RIS")],
    ),
    Case(
        "ImagingStudy.identifier",
        {"AccessionNumber": "A1", "IssuerOfAccessionNumberSequence": [HOSPITAL]},
        [UID, accession("A1", "urn:oid:1.2.40.0.13.1.1")],
    ),
    Case(
        "ImagingStudy.identifier",
        {"RequestAttributesSequence": REQUESTS},
        [UID, accession("A1"), accession("A2")],
    ),
    Case("ImagingStudy.identifier", {"StudyID": "7"}, [UID]),
    Case(
        "ImagingStudy.identifier",
        {"StudyID": "7"},
        [UID, {"type": {"text": "Study ID"}, "system": "urn:test:study-id", "value": "7"}],
        {"study_id_system": "urn:test:study-id"},
    ),
    Case("ImagingStudy.basedOn", {"AccessionNumber": "A1"}, [order("A1")]),
    Case(
        "ImagingStudy.basedOn",
        {"RequestAttributesSequence": REQUESTS},
        [order("A1"), order("A2")],
    ),
    Case("ImagingStudy.status", {}, "available"),
    Case("ImagingStudy.modality", {"Modality": "MR"}, [{"system": DCM, "code": "MR"}]),
    Case("ImagingStudy.modality", {"Modality": None}, None),
    Case("ImagingStudy.numberOfSeries", {}, 1),
    Case("ImagingStudy.numberOfInstances", {"NumberOfStudyRelatedInstances": 99}, 1),
    Case("ImagingStudy.subject", {}, {"reference": "Patient/p"}),
    Case("ImagingStudy.endpoint", {}, [{"reference": "Endpoint/e"}]),
    Case(
        "ImagingStudy.encounter",
        {"AdmissionID": "V1", "IssuerOfAdmissionIDSequence": [HOSPITAL]},
        {
            "type": "Encounter",
            "identifier": {
                "type": of_type("VN"),
                "system": "urn:oid:1.2.40.0.13.1.1",
                "value": "V1",
            },
        },
    ),
    Case("ImagingStudy.started", {"StudyDate": "20240105"}, "2024-01-05"),
    Case("ImagingStudy.started", {"StudyDate": "20240105", "StudyTime": "101112"}, "2024-01-05"),
    Case(
        "ImagingStudy.started",
        {"StudyDate": "20240105", "StudyTime": "101112.5", "TimezoneOffsetFromUTC": "+0100"},
        "2024-01-05T10:11:12.5+01:00",
    ),
    Case(
        "ImagingStudy.started",
        {"StudyDate": "20240705", "StudyTime": "1011"},
        "2024-07-05T10:11:00+02:00",
        {"time_zone": "Europe/Vienna"},
    ),
    Case("ImagingStudy.started", {"StudyDate": "20240231"}, None),
    Case("ImagingStudy.started", {"StudyDate": "20240106", "SeriesDate": "20240105"}, "2024-01-06"),
    Case("ImagingStudy.started", {"SeriesDate": "20240105"}, "2024-01-05"),
    Case("ImagingStudy.referrer", {"ReferringPhysicianName": NAME}, PHYSICIAN),
    Case(
        "ImagingStudy.referrer",
        {"ReferringPhysicianName": {"Ideographic": "山田^太郎"}},
        {"type": "Practitioner", "display": "太郎 山田"},
    ),
    Case(
        "ImagingStudy.referrer",
        {
            "ReferringPhysicianName": NAME,
            "ReferringPhysicianIdentificationSequence": [person("4711")],
        },
        {**KNOWN, "display": "Dr. Jane Who"},
    ),
    Case(
        "ImagingStudy.referrer",
        {"ReferringPhysicianIdentificationSequence": [person("4711", "Jane Who")]},
        {**KNOWN, "display": "Jane Who"},
    ),
    Case(
        "ImagingStudy.interpreter",
        {"NameOfPhysiciansReadingStudy": [NAME, {"Alphabetic": "Roe^Richard"}]},
        [PHYSICIAN, {"type": "Practitioner", "display": "Richard Roe"}],
    ),
    Case(
        "ImagingStudy.interpreter",
        {"PhysiciansReadingStudyIdentificationSequence": [person("4711")]},
        [KNOWN],
    ),
    Case(
        "ImagingStudy.procedureCode",
        {"ProcedureCodeSequence": [coded("241541005", "SCT", "MRI")]},
        [{"coding": [sct("241541005", "MRI")], "text": "MRI"}],
    ),
    Case(
        "ImagingStudy.procedureCode",
        {"RequestedProcedureCodeSequence": [coded("24725-4", "LN", "CT head")]},
        [
            {
                "coding": [{"system": "http://loinc.org", "code": "24725-4", "display": "CT head"}],
                "text": "CT head",
            }
        ],
    ),
    Case(
        "ImagingStudy.procedureCode",
        {
            "RequestAttributesSequence": [
                attributes(RequestedProcedureCodeSequence=[coded("70450", "C4")])
            ]
        },
        [{"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "70450"}]}],
    ),
    Case(
        "ImagingStudy.procedureCode",
        {"ProcedureCodeSequence": [coded("K1", "99ACME", "Knee")]},
        [
            {
                "coding": [
                    {
                        "system": "urn:coregister:coding-scheme:99ACME",
                        "code": "K1",
                        "display": "Knee",
                    }
                ],
                "text": "Knee",
            }
        ],
    ),
    Case(
        "ImagingStudy.procedureCode",
        {
            "ProcedureCodeSequence": [coded("K1", "99ACME")],
            "CodingSchemeIdentificationSequence": [
                attributes(CodingSchemeDesignator="99ACME", CodingSchemeUID="1.2.40.0.13.1.2")
            ],
        },
        [{"coding": [{"system": "urn:oid:1.2.40.0.13.1.2", "code": "K1"}]}],
    ),
    Case(
        "ImagingStudy.procedureCode",
        {"ProcedureCodeSequence": [attributes(URNCodeValue="urn:x:1", CodeMeaning="X")]},
        [
            {
                "coding": [{"system": "urn:ietf:rfc:3986", "code": "urn:x:1", "display": "X"}],
                "text": "X",
            }
        ],
    ),
    Case(
        "ImagingStudy.location",
        {"PerformedLocation": "CT 1"},
        {"type": "Location", "display": "CT 1"},
    ),
    Case(
        "ImagingStudy.location",
        {"InstitutionalDepartmentName": "Radiology"},
        {"type": "Location", "display": "Radiology"},
    ),
    Case(
        "ImagingStudy.location",
        {"InstitutionName": "St. Mary"},
        {"type": "Location", "display": "St. Mary"},
    ),
    Case(
        "ImagingStudy.location",
        {"InstitutionAddress": "Mainz"},
        {"type": "Location", "display": "Mainz"},
    ),
    *(
        Case(
            "ImagingStudy.reasonCode",
            {keyword: [coded("22298006", "SCT", "Infarction")]},
            [{"coding": [sct("22298006", "Infarction")], "text": "Infarction"}],
        )
        for keyword in (
            "ReasonForRequestedProcedureCodeSequence",
            "ReasonForPerformedProcedureCodeSequence",
            "ReasonForVisitCodeSequence",
        )
    ),
    Case(
        "ImagingStudy.reasonCode",
        {
            "RequestAttributesSequence": [
                attributes(ReasonForRequestedProcedureCodeSequence=[coded("R07.4", "I10")])
            ]
        },
        [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "R07.4"}]}],
    ),
    Case("ImagingStudy.reasonCode", {"ReasonForTheRequestedProcedure": "Pain"}, [{"text": "Pain"}]),
    Case(
        "ImagingStudy.reasonCode",
        {"RequestAttributesSequence": [attributes(ReasonForTheRequestedProcedure="Pain")]},
        [{"text": "Pain"}],
    ),
    Case("ImagingStudy.reasonCode", {"ReasonForStudy": "Pain"}, [{"text": "Pain"}]),
    Case("ImagingStudy.description", {"StudyDescription": "Chest"}, "Chest"),
)

REGION = [coded("T-D1100", "SRT", "Head")]
SERIES_CASES = (
    Case("ImagingStudy.series.uid", {}, f"{STUDY}.1"),
    Case("ImagingStudy.series.numberOfInstances", {}, 1),
    Case("ImagingStudy.series.modality", {"Modality": "CT"}, {"system": DCM, "code": "CT"}),
    Case(
        "ImagingStudy.series.modality",
        {"Modality": None},
        {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
                    "valueCode": "unknown",
                }
            ]
        },
    ),
    Case("ImagingStudy.series.number", {"SeriesNumber": 7}, 7),
    Case("ImagingStudy.series.number", {"SeriesNumber": -7}, None),
    Case("ImagingStudy.series.description", {"SeriesDescription": "Lung"}, "Lung"),
    Case(
        "ImagingStudy.series.bodySite", {"AnatomicRegionSequence": REGION}, sct("69536005", "Head")
    ),
    Case(
        "ImagingStudy.series.bodySite",
        {
            "SharedFunctionalGroupsSequence": [
                attributes(FrameAnatomySequence=[attributes(AnatomicRegionSequence=REGION)])
            ]
        },
        sct("69536005", "Head"),
    ),
    Case("ImagingStudy.series.bodySite", {"BodyPartExamined": "CHEST"}, sct("816094009", "Chest")),
    Case("ImagingStudy.series.bodySite", {"BodyPartExamined": "A NOSE"}, {"display": "A NOSE"}),
    Case("ImagingStudy.series.laterality", {"Laterality": "R"}, sct("24028007", "Right")),
    Case("ImagingStudy.series.laterality", {"ImageLaterality": "L"}, sct("7771000", "Left")),
    Case(
        "ImagingStudy.series.laterality",
        {
            "SharedFunctionalGroupsSequence": [
                attributes(FrameAnatomySequence=[attributes(FrameLaterality="B")])
            ]
        },
        sct("51440002", "Right and left"),
    ),
    Case("ImagingStudy.series.laterality", {"ImageLaterality": "U"}, None),
    Case(
        "ImagingStudy.series.specimen",
        {
            "SpecimenDescriptionSequence": [
                attributes(SpecimenIdentifier="S1", SpecimenUID="1.2"),
                attributes(SpecimenUID="1.2.40.0.13.1.1"),
            ]
        },
        [
            {
                "type": "Specimen",
                "identifier": {"system": "urn:coregister:specimen-id", "value": "S1"},
            },
            {
                "type": "Specimen",
                "identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.40.0.13.1.1"},
            },
        ],
    ),
    Case(
        "ImagingStudy.series.specimen",
        {"ContainerIdentifier": "C1", "IssuerOfTheContainerIdentifierSequence": [RIS]},
        [
            {
                "type": "Specimen",
                "identifier": {"system": "urn:test:issuer:RIS", "value": "C1"},
            }
        ],
    ),
    Case("ImagingStudy.series.started", {"SeriesDate": "20240105"}, "2024-01-05"),
    Case(
        "ImagingStudy.series.started",
        {"AcquisitionDateTime": "20240105101112+0100"},
        "2024-01-05T10:11:12+01:00",
    ),
    Case(
        "ImagingStudy.series.started",
        {
            "AcquisitionDate": "20240105",
            "AcquisitionTime": "101112",
            "TimezoneOffsetFromUTC": "-0330",
        },
        "2024-01-05T10:11:12-03:30",
    ),
    *(
        Case("ImagingStudy.series.performer", given, [performer(actor)])
        for given, actor in (
            ({"PerformingPhysicianName": NAME}, PHYSICIAN),
            ({"PerformingPhysicianIdentificationSequence": [person("4711")]}, KNOWN),
            ({"OperatorsName": NAME}, PHYSICIAN),
            ({"OperatorIdentificationSequence": [person("4711")]}, KNOWN),
        )
    ),
    Case(
        "ImagingStudy.series.performer",
        {"Manufacturer": "ACME", "ManufacturerModelName": "X1"},
        [performer({"display": "ACME X1", "type": "Device"}, "DEV")],
    ),
    Case(
        "ImagingStudy.series.performer",
        {"ManufacturerModelName": "X1", "DeviceSerialNumber": "123"},
        [
            performer(
                {
                    "reference": "Device/dd3d4ddc-4f0b-5ca6-a7dc-d7ae57a0e2f0",
                    "display": "X1",
                    "type": "Device",
                },
                "DEV",
            )
        ],
    ),
    Case(
        "ImagingStudy.series.performer",
        {"DeviceUID": "1.2.40.0.13.1.1"},
        [
            performer(
                {
                    "reference": "Device/dd3d4ddc-4f0b-5ca6-a7dc-d7ae57a0e2f0",
                    "type": "Device",
                },
                "DEV",
            )
        ],
    ),
)

INSTANCE_CASES = (
    Case("ImagingStudy.series.instance.uid", {}, f"{STUDY}.1.1"),
    Case(
        "ImagingStudy.series.instance.sopClass",
        {},
        {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"},
    ),
    Case("ImagingStudy.series.instance.number", {"InstanceNumber": 1}, 1),
    Case("ImagingStudy.series.instance.number", {"InstanceNumber": -1}, None),
    Case(
        "ImagingStudy.series.instance.title",
        {"ConceptNameCodeSequence": [coded("11528-7", "LN", "Radiology Report")]},
        "Radiology Report",
    ),
    Case("ImagingStudy.series.instance.title", {"DocumentTitle": "Letter"}, "Letter"),
    Case(
        "ImagingStudy.series.instance.title",
        {"ImageType": ["ORIGINAL", "PRIMARY"]},
        "ORIGINAL\\PRIMARY",
    ),
    Case(
        "ImagingStudy.series.instance.extension",
        {"NumberOfFrames": 30},
        [{"url": "urn:coregister:number-of-frames", "valuePositiveInt": 30}],
    ),
    Case("ImagingStudy.series.instance.extension", {"NumberOfFrames": 1}, None),
)

MRN = {"use": "usual", "system": "urn:test:patient", "value": "1", "type": of_type("MR")}
OTHER = attributes(
    PatientID="77",
    IssuerOfPatientIDQualifiersSequence=[
        attributes(
            UniversalEntityID="1.2.40.0.13.1.1",
            UniversalEntityIDType="ISO",
            IdentifierTypeCode="PI",
        )
    ],
)
PATIENT_CASES = (
    Case("Patient.identifier", {"PatientID": "1"}, [MRN]),
    Case(
        "Patient.identifier",
        {"PatientID": "1", "IssuerOfPatientID": "Ward 1"},
        [{**MRN, "system": "urn:test:issuer:Ward%201"}],
    ),
    Case(
        "Patient.identifier",
        {"PatientID": "1", "IssuerOfPatientIDQualifiersSequence": [HOSPITAL]},
        [{**MRN, "system": "urn:oid:1.2.40.0.13.1.1"}],
    ),
    Case(
        "Patient.identifier",
        {"PatientID": ""},
        [{"use": "usual", "system": "urn:coregister:patient-of-study", "value": STUDY}],
    ),
    Case(
        "Patient.identifier",
        {"PatientID": "1", "OtherPatientIDsSequence": [OTHER, attributes(PatientID="nobody's")]},
        [
            MRN,
            {
                "use": "secondary",
                "system": "urn:oid:1.2.40.0.13.1.1",
                "value": "77",
                "type": of_type("PI"),
            },
        ],
    ),
    Case(
        "Patient.name",
        {"PatientName": {"Alphabetic": "Adams^John Robert^Quincy^Rev.^B.A."}},
        [
            {
                "use": "usual",
                "text": "Rev. John Robert Quincy Adams B.A.",
                "family": "Adams",
                "given": ["John Robert", "Quincy"],
                "prefix": ["Rev."],
                "suffix": ["B.A."],
            }
        ],
    ),
    Case(
        "Patient.name",
        {
            "PatientName": {
                "Alphabetic": "Yamada^Tarou",
                "Ideographic": "山田^太郎",
                "Phonetic": "やまだ^たろう",
            }
        },
        [
            {
                "use": "usual",
                "text": f"{given} {family}",
                "family": family,
                "given": [given],
                "extension": [{"url": REPRESENTATION, "valueCode": kind}],
            }
            for family, given, kind in (
                ("Yamada", "Tarou", "ABC"),
                ("山田", "太郎", "IDE"),
                ("やまだ", "たろう", "SYL"),
            )
        ],
    ),
    Case(
        "Patient.name",
        {"PatientBirthName": {"Alphabetic": "Smith"}},
        [{"use": "maiden", "text": "Smith", "family": "Smith"}],
    ),
    Case(
        "Patient.name",
        {"OtherPatientNames": {"Alphabetic": "Smith"}},
        [{"text": "Smith", "family": "Smith"}],
    ),
    Case(
        "Patient.telecom",
        {"PatientTelephoneNumbers": "1234"},
        [{"system": "phone", "value": "1234"}],
    ),
    *(
        Case("Patient.gender", {"PatientSex": sex}, gender)
        for sex, gender in (
            ("M", "male"),
            ("F", "female"),
            ("O", "other"),
            ("X", "unknown"),
            ("", None),
        )
    ),
    Case("Patient.birthDate", {"PatientBirthDate": "19700131"}, "1970-01-31"),
    Case("Patient.birthDate", {"PatientBirthDate": "19700231"}, None),
    Case("Patient.address", {"PatientAddress": "1 Road"}, [{"text": "1 Road"}]),
    Case("Patient.address", {"CountryOfResidence": "AT"}, [{"country": "AT"}]),
    Case("Patient.address", {"RegionOfResidence": "Tyrol"}, [{"state": "Tyrol"}]),
    Case(
        "Patient.contact",
        {"ResponsiblePerson": {"Alphabetic": "Who^Jane"}, "ResponsiblePersonRole": "PARENT"},
        [{"name": {"text": "Jane Who"}, "relationship": [{"text": "PARENT"}]}],
    ),
)

SCANNER = {"Manufacturer": "ACME", "ManufacturerModelName": "X1", "DeviceSerialNumber": "123"}
DEVICE_CASES = (
    Case(
        "Device.identifier",
        {**SCANNER, "DeviceUID": "1.2.40.0.13.1.1"},
        [
            {"system": "urn:dicom:uid", "value": "urn:oid:1.2.40.0.13.1.1"},
            {"type": of_type("SNO"), "value": "123"},
        ],
    ),
    Case(
        "Device.udiCarrier",
        {**SCANNER, "UDISequence": [attributes(UniqueDeviceIdentifier="(01)123")]},
        [{"carrierHRF": "(01)123"}],
    ),
    Case("Device.status", SCANNER, "active"),
    Case("Device.manufacturer", SCANNER, "ACME"),
    Case("Device.modelNumber", SCANNER, "X1"),
    Case("Device.serialNumber", SCANNER, "123"),
    Case(
        "Device.deviceName",
        {**SCANNER, "StationName": "CT1"},
        [{"name": "CT1", "type": "user-friendly-name"}, {"name": "X1", "type": "model-name"}],
    ),
    Case(
        "Device.version",
        {**SCANNER, "SoftwareVersions": ["1.0", "2"]},
        [{"value": "1.0"}, {"value": "2"}],
    ),
    Case(
        "Device.type",
        SCANNER,
        {
            "coding": [{"system": SNOMED, "code": "314789007"}],
            "text": "Diagnostic imaging equipment",
        },
    ),
)

CASES = (*STUDY_CASES, *SERIES_CASES, *INSTANCE_CASES, *PATIENT_CASES, *DEVICE_CASES)

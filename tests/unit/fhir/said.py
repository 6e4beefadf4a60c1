"""What instances may say of their study, series and patient: strategies for every attribute that is mapped."""

from typing import Any

from hypothesis import strategies as st

from tests.unit.fhir.dicom_json import attributes

# characters that real senders get wrong: control codes, lone surrogates, other scripts
texts = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["", " ", "\x00", "A^B"])
values = st.none() | texts | st.integers() | st.floats() | st.lists(texts | st.none(), max_size=3)
dates = texts | st.dates().map(lambda day: f"{day:%Y%m%d}") | st.sampled_from(["00000000", "2024"])
times = texts | st.times().map(lambda time: f"{time:%H%M%S.%f}") | st.sampled_from(["24", "1060"])
date_times = dates | st.sampled_from(["20240105101112.5+0100", "20240105", "2024010510", "202401"])
offsets = texts | st.sampled_from(["+0100", "-1200", "+1400", "+1401", "-0000"])
groups = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), texts | st.just("A^B^C^D^E^F")
)
names = groups | texts | st.none() | st.lists(groups, max_size=3)


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these attributes, by keyword."""
    return st.fixed_dictionaries({}, optional=strategies)


def items(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A sequence whose items have some of these attributes; one is none."""
    made = fields(**strategies).map(lambda given: attributes(**given))
    return st.lists(made | st.none() | texts, max_size=3)


issuers = items(
    UniversalEntityID=texts | st.sampled_from(["1.2.3", "urn:x:y"]),
    UniversalEntityIDType=st.sampled_from(["ISO", "URI", "UUID", "DNS", ""]),
    LocalNamespaceEntityID=texts,
    IdentifierTypeCode=st.sampled_from(["MR", "PI", ""]),
)
_code = {
    "CodeValue": texts | st.sampled_from(["T-D1100", "51185008", "A  B"]),
    "CodingSchemeDesignator": texts | st.sampled_from(["SRT", "SCT", "DCM", "99ACME", "LN"]),
    "CodingSchemeVersion": texts,
    "CodeMeaning": texts,
    "LongCodeValue": texts,
    "URNCodeValue": texts | st.just("urn:oid:1.2.3"),
}
codes = items(**_code)
schemes = items(
    CodingSchemeDesignator=st.sampled_from(["99ACME", "LN"]),
    CodingSchemeUID=texts | st.just("1.2.3.4"),
    CodingSchemeResourcesSequence=items(
        CodingSchemeURLType=st.sampled_from(["FHIR", "DOC"]),
        CodingSchemeURL=texts | st.just("https://codes.example/acme"),
    ),
)
persons = items(PersonIdentificationCodeSequence=codes)
requests = items(
    AccessionNumber=texts,
    IssuerOfAccessionNumberSequence=issuers,
    RequestedProcedureCodeSequence=codes,
    ReasonForRequestedProcedureCodeSequence=codes,
    ReasonForTheRequestedProcedure=texts,
)
anatomy = items(AnatomicRegionSequence=codes, FrameLaterality=st.sampled_from(["R", "L", "X"]))

patients = fields(
    PatientID=values,
    IssuerOfPatientID=values,
    IssuerOfPatientIDQualifiersSequence=issuers,
    OtherPatientIDsSequence=items(
        PatientID=values, IssuerOfPatientID=values, IssuerOfPatientIDQualifiersSequence=issuers
    ),
    PatientName=names,
    PatientBirthName=names,
    OtherPatientNames=names,
    PatientBirthDate=dates,
    PatientSex=values | st.sampled_from(["M", "F", "O"]),
    PatientTelephoneNumbers=values,
    PatientAddress=values,
    RegionOfResidence=values,
    CountryOfResidence=values,
    ResponsiblePerson=names,
    ResponsiblePersonRole=values,
)
devices = fields(
    Manufacturer=values,
    ManufacturerModelName=values,
    DeviceSerialNumber=values,
    DeviceUID=values,
    SoftwareVersions=values,
    StationName=values,
    UDISequence=items(UniqueDeviceIdentifier=texts),
)
instances = fields(
    CodingSchemeIdentificationSequence=schemes,
    StudyDate=dates,
    StudyTime=times,
    StudyID=values,
    SeriesDate=dates,
    SeriesTime=times,
    AcquisitionDateTime=date_times,
    AcquisitionDate=dates,
    AcquisitionTime=times,
    TimezoneOffsetFromUTC=offsets,
    StudyDescription=values,
    SeriesDescription=values,
    AccessionNumber=values,
    IssuerOfAccessionNumberSequence=issuers,
    RequestAttributesSequence=requests,
    AdmissionID=values,
    IssuerOfAdmissionIDSequence=issuers,
    ReferringPhysicianName=names,
    ReferringPhysicianIdentificationSequence=persons,
    NameOfPhysiciansReadingStudy=names,
    PhysiciansReadingStudyIdentificationSequence=persons,
    ProcedureCodeSequence=codes,
    RequestedProcedureCodeSequence=codes,
    PerformedLocation=values,
    InstitutionalDepartmentName=values,
    InstitutionName=values,
    InstitutionAddress=values,
    ReasonForRequestedProcedureCodeSequence=codes,
    ReasonForPerformedProcedureCodeSequence=codes,
    ReasonForVisitCodeSequence=codes,
    ReasonForTheRequestedProcedure=values,
    ReasonForStudy=values,
    Modality=values,
    SeriesNumber=values,
    InstanceNumber=values,
    AnatomicRegionSequence=codes,
    SharedFunctionalGroupsSequence=items(FrameAnatomySequence=anatomy),
    BodyPartExamined=values | st.sampled_from(["CHEST", "knee", "NOSE TIP"]),
    Laterality=values | st.sampled_from(["R", "L", "B", "U"]),
    ImageLaterality=values | st.sampled_from(["R", "L", "B", "U"]),
    SpecimenDescriptionSequence=items(
        SpecimenIdentifier=texts,
        SpecimenUID=texts,
        IssuerOfTheSpecimenIdentifierSequence=issuers,
    ),
    ContainerIdentifier=values,
    IssuerOfTheContainerIdentifierSequence=issuers,
    PerformingPhysicianName=names,
    PerformingPhysicianIdentificationSequence=persons,
    OperatorsName=names,
    OperatorIdentificationSequence=persons,
    Manufacturer=values,
    ManufacturerModelName=values,
    DeviceSerialNumber=values,
    DeviceUID=values,
    ConceptNameCodeSequence=codes,
    DocumentTitle=values,
    ImageType=values,
    NumberOfFrames=values,
)

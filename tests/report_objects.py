"""Structured reports and encapsulated documents to test with, by hand and by highdicom as senders make them."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    FindingSite,
    GraphicTypeValues3D,
    ImageRegion3D,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from tests.corpus import make_instance

BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
ENHANCED = "1.2.840.10008.5.1.4.1.1.88.22"
COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
XRAY_DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

NO_PIXELS: dict[str, None] = dict.fromkeys(
    (
        "PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel",
        "PhotometricInterpretation", "PixelRepresentation", "ImagePositionPatient",
    )
)  # fmt: skip

Attributes = dict[str, Any]


def code(value: str, scheme: str = "DCM", meaning: str = "Meaning") -> list[Attributes]:
    """Return a code sequence of one item."""
    return [{"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}]


def item(
    value_type: str,
    name: list[Attributes] | None,
    *children: Attributes,
    relationship: str = "CONTAINS",
    **value: Any,
) -> Attributes:
    """Return a content item."""
    return {
        "ValueType": value_type,
        "RelationshipType": relationship,
        **({"ConceptNameCodeSequence": name} if name else {}),
        **value,
        **({"ContentSequence": list(children)} if children else {}),
    }


def container(
    name: list[Attributes], *children: Attributes, relationship: str = "CONTAINS"
) -> Attributes:
    """Return a section."""
    return item(
        "CONTAINER", name, *children, relationship=relationship, ContinuityOfContent="SEPARATE"
    )


def text(name: list[Attributes], value: str, relationship: str = "CONTAINS") -> Attributes:
    """Return a TEXT item."""
    return item("TEXT", name, relationship=relationship, TextValue=value)


def coded(
    name: list[Attributes],
    value: list[Attributes],
    *children: Attributes,
    relationship: str = "CONTAINS",
) -> Attributes:
    """Return a CODE item."""
    return item("CODE", name, *children, relationship=relationship, ConceptCodeSequence=value)


def number(
    name: list[Attributes],
    value: str,
    unit: str,
    *children: Attributes,
    relationship: str = "CONTAINS",
) -> Attributes:
    """Return a NUM item with a unit of UCUM."""
    measured = {"NumericValue": value, "MeasurementUnitsCodeSequence": code(unit, "UCUM", unit)}
    return item("NUM", name, *children, relationship=relationship, MeasuredValueSequence=[measured])


def uid(name: list[Attributes], value: str, relationship: str = "CONTAINS") -> Attributes:
    """Return a UIDREF item."""
    return item("UIDREF", name, relationship=relationship, UID=value)


def when(name: list[Attributes], value: str, relationship: str = "CONTAINS") -> Attributes:
    """Return a DATETIME item."""
    return item("DATETIME", name, relationship=relationship, DateTime=value)


def report(
    title: list[Attributes], *children: Attributes, sop_class: str = ENHANCED, **overrides: Any
) -> bytes:
    """Return a structured report."""
    attributes: Attributes = {
        "SOPClassUID": sop_class,
        "Modality": "SR",
        "SeriesInstanceUID": generate_uid(),
        "ContentDate": "20240301",
        "ContentTime": "081500",
        "TimezoneOffsetFromUTC": "+0100",
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
        "ValueType": "CONTAINER",
        "ContinuityOfContent": "SEPARATE",
        "ConceptNameCodeSequence": title,
        **({"ContentSequence": list(children)} if children else {}),
        **NO_PIXELS,
        **overrides,
    }
    return make_instance(**attributes)


def findings_report(**overrides: Any) -> bytes:
    """Return a verified report in words, as a radiologist dictates it (TID 2000)."""
    observer = {
        "VerifyingOrganization": "General Hospital",
        "VerificationDateTime": "20240301093000",
        "VerifyingObserverName": "Reader^Rita^^Dr.",
        "VerifyingObserverIdentificationCodeSequence": code("4711", "99STAFF", "Reader"),
    }
    return report(
        code("18748-4", "LN", "Diagnostic Imaging Report"),
        container(
            code("121070", meaning="Findings"),
            text(code("121071", meaning="Finding"), "A nodule in the right upper lobe."),
        ),
        container(
            code("121072", meaning="Impressions"),
            text(code("121073", meaning="Impression"), "Probably benign."),
            coded(
                code("121073", meaning="Impression"), code("108369006", "SCT", "Neoplasm"),
            ),
        ),
        **{
            "VerificationFlag": "VERIFIED",
            "VerifyingObserverSequence": [observer],
            **overrides,
        },
    )  # fmt: skip


def ct_dose(events: int = 2, **overrides: Any) -> bytes:
    """Return a CT dose report (TID 10011)."""
    acquisitions = [
        container(
            code("113819", meaning="CT Acquisition"),
            text(code("125203", meaning="Acquisition Protocol"), f"Thorax {event}"),
            coded(code("123014", meaning="Target Region"), code("51185008", "SCT", "Chest")),
            uid(code("113769", meaning="Irradiation Event UID"), f"1.2.3.{event + 1}"),
            container(
                code("113829", meaning="CT Dose"),
                number(code("113830", meaning="Mean CTDIvol"), "12.5", "mGy"),
                number(code("113838", meaning="DLP"), "400.25", "mGy.cm"),
            ),
        )
        for event in range(events)
    ]
    return report(
        code("113701", meaning="X-Ray Radiation Dose Report"),
        coded(
            code("121058", meaning="Procedure reported"), code("77477000", "SCT", "CT"),
            relationship="HAS CONCEPT MOD",
        ),
        when(code("113809", meaning="Start of X-Ray Irradiation"), "20240229101000"),
        when(code("113810", meaning="End of X-Ray Irradiation"), "20240229101530"),
        text(code("121013", meaning="Device Observer Name"), "CT 1", relationship="HAS OBS CONTEXT"),
        container(
            code("113811", meaning="CT Accumulated Dose Data"),
            number(code("113812", meaning="Total Number of Irradiation Events"), str(events), "{events}"),
            number(code("113813", meaning="CT Dose Length Product Total"), "800.5", "mGy.cm"),
        ),
        *acquisitions,
        sop_class=XRAY_DOSE,
        **overrides,
    )  # fmt: skip


def angiography_dose(**overrides: Any) -> bytes:
    """Return the dose report of two planes (TID 10001)."""
    planes = [
        container(
            code("113702", meaning="Accumulated X-Ray Dose Data"),
            coded(code("113764", meaning="Acquisition Plane"), code(plane, meaning=plane)),
            number(code("113722", meaning="Dose Area Product Total"), "0.0012", "Gy.m2"),
            number(code("113725", meaning="Dose (RP) Total"), "0.08", "Gy"),
        )
        for plane in ("113620", "113621")
    ]
    event = container(
        code("113706", meaning="Irradiation Event X-Ray Data"),
        uid(code("113769", meaning="Irradiation Event UID"), "1.2.3.4"),
        when(code("111526", meaning="DateTime Started"), "20240229101112.5"),
        number(code("122130", meaning="Dose Area Product"), "0.0002", "Gy.m2"),
        number(code("113738", meaning="Dose (RP)"), "0.002", "Gy"),
    )
    title = code("113701", meaning="X-Ray Radiation Dose Report")
    return report(title, *planes, event, sop_class=XRAY_DOSE, **overrides)


def pdf(*, title: list[Attributes] | None = None, document: bytes = PDF, **overrides: Any) -> bytes:
    """Return an encapsulated PDF."""
    attributes: Attributes = {
        "SOPClassUID": ENCAPSULATED_PDF,
        "Modality": "DOC",
        "SeriesInstanceUID": generate_uid(),
        "ContentDate": "20240301",
        "ContentTime": "081500",
        "TimezoneOffsetFromUTC": "+0100",
        "DocumentTitle": "Letter",
        "ConceptNameCodeSequence": title or code("52034-6", "LN", "Payer letter"),
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "EncapsulatedDocument": document,
        "EncapsulatedDocumentLength": len(document),
        **NO_PIXELS,
        **overrides,
    }
    return make_instance(**attributes)


def tid_1500(images: Sequence[bytes] | None = None, **overrides: Any) -> bytes:
    """Return a measurement report as highdicom makes it: a planar region in two images of one study."""
    files = images or [make_instance(FrameOfReferenceUID="1.2.3.9", PatientID="PID-1")]
    evidence = [pydicom.dcmread(BytesIO(data)) for data in files]
    region = ImageRegion3D(
        graphic_type=GraphicTypeValues3D.POLYGON,
        graphic_data=np.array(
            [[1.0, 1.0, 12.25], [2.0, 1.0, 12.25], [2.0, 2.0, 12.25], [1.0, 1.0, 12.25]]
        ),
        frame_of_reference_uid=evidence[0].FrameOfReferenceUID,
    )
    lung = FindingSite(
        anatomic_location=codes.SCT.Lung,
        laterality=codes.SCT.Right,
        topographical_modifier=codes.SCT.UpperLobeOfLung
        if hasattr(codes.SCT, "UpperLobeOfLung")
        else None,
    )
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid="1.2.3.77", identifier="Nodule 1"),
        referenced_region=region,
        finding_type=codes.SCT.Nodule,
        finding_sites=[lung],
        measurements=[
            Measurement(name=codes.SCT.Diameter, value=12.5, unit=codes.UCUM.Millimeter),
            Measurement(
                name=CodedConcept("112031", "DCM", "Attenuation Coefficient"),
                value=-37.25,
                unit=CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit"),
                derivation=CodedConcept("373098007", "SCT", "Mean"),
                method=CodedConcept("126410", "DCM", "SUV body weight calculation method"),
            ),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(
                name=CodedConcept("RID34299", "RADLEX", "Margin"),
                value=CodedConcept("RID5709", "RADLEX", "Spiculated"),
            )
        ],
    )
    observer = ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=PersonObserverIdentifyingAttributes(name="Meter^Maria"),
    )
    content = MeasurementReport(
        observation_context=ObservationContext(observer_person_context=observer),
        procedure_reported=CodedConcept("24627-2", "LN", "CT Chest"),
        imaging_measurements=[group],
    )
    made = Comprehensive3DSR(
        evidence=evidence,
        content=content,
        series_number=9,
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Tester",
        is_complete=True,
        is_final=True,
        is_verified=False,
    )
    made.TimezoneOffsetFromUTC = "+0100"
    for keyword, value in overrides.items():
        setattr(made, keyword, value)
    out = BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()

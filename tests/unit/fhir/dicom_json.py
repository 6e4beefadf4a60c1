"""Attributes and records for the tests of this folder."""

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from app.dicom.instance import InstanceRecord

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.826.0.1.3680043.10.1"


def attributes(**values: Any) -> dict[str, Any]:
    """Return the DICOM JSON Model of attributes given by keyword; a list is several values."""
    model = {}
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        model[f"{tag:08X}"] = {
            "vr": dictionary_VR(tag),
            "Value": value if isinstance(value, list) else [value],
        }
    return dict(sorted(model.items()))


def record(
    number: int, *, series: int = 1, study: str = STUDY, values: Mapping[str, Any] | None = None
) -> InstanceRecord:
    """Return an instance of a series of a study."""
    series_uid, sop_uid = f"{study}.{series}", f"{study}.{series}.{number}"
    given = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series_uid,
        "SOPInstanceUID": sop_uid,
        "SOPClassUID": CT_IMAGE,
        "Modality": "CT",
        "SeriesNumber": series,
        "InstanceNumber": number,
        **(values or {}),
    }
    return InstanceRecord(
        study_instance_uid=study,
        series_instance_uid=series_uid,
        sop_instance_uid=sop_uid,
        sop_class_uid=CT_IMAGE,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        attributes=attributes(**given),
    )

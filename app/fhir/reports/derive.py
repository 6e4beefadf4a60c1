"""What a structured report or an encapsulated document becomes in FHIR.

Nothing here fails on a content tree, however odd: what cannot be told is left out.
"""

from dataclasses import dataclass
from typing import Any

from app.dicom.instance import InstanceRecord
from app.fhir.attributes import text
from app.fhir.data_set import DataSet
from app.fhir.identifiers import IdentifierSystems
from app.fhir.reports.content import read_tree
from app.fhir.reports.diagnostic_report import diagnostic_report, report_of_content
from app.fhir.reports.document import Document, Origin
from app.fhir.reports.document_reference import document_reference, is_report, media_type
from app.fhir.reports.measurements import measured
from app.fhir.reports.observation import Observations
from app.fhir.reports.radiation_dose import exposed
from app.fhir.reports.tables import dose_concepts, kinds
from app.limits import Limits


@dataclass(frozen=True, slots=True)
class Derived:
    """The resources of one object."""

    sop_instance_uid: str
    resources: tuple[dict[str, Any], ...] = ()
    left_out: int = 0  # Observations beyond the limit


def becomes_resources(sop_class_uid: str) -> bool:
    """Tell whether objects of a class become resources of their own."""
    return sop_class_uid in kinds()


def derived_resources(
    record: InstanceRecord,
    origin: Origin,
    *,
    systems: IdentifierSystems,
    time_zone: str | None,
    limits: Limits,
) -> Derived:
    """Return the resources of an object, which are none for most."""
    kind = kinds().get(record.sop_class_uid)
    if kind is None:
        return Derived(record.sop_instance_uid)
    document = Document(record, DataSet(record.attributes, systems, time_zone), origin)
    if kind == "document":
        made = [document_reference(document)]
        if is_report(document):
            made.append(diagnostic_report(document, media_type(document)))
        return Derived(record.sop_instance_uid, tuple(made))
    if text(record.attributes, "ValueType") != "CONTAINER":
        return Derived(record.sop_instance_uid)  # no content tree (PS3.3 §C.17.3)
    root = read_tree(record.attributes)
    observations = Observations(document, root, limits)
    if kind == "dose" or root.key in dose_concepts("titles"):
        exposed(observations)
        return Derived(
            record.sop_instance_uid, tuple(observations.made), left_out=observations.left_out
        )
    results = measured(observations)
    report = report_of_content(observations, results, limits)
    return Derived(
        record.sop_instance_uid, (report, *observations.made), left_out=observations.left_out
    )

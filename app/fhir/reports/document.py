"""What all resources of one report or document have in common: whom, what and when they are about."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.dicom.instance import InstanceRecord
from app.fhir.attributes import items, text
from app.fhir.coding import CodingSchemes, codeable_concept
from app.fhir.data_set import DataSet
from app.fhir.date_time import date_time_of
from app.fhir.ids import derived_id
from app.fhir.reports.tables import StatusOf, status_of
from app.fhir.tables import code_system

SOURCE = "urn:coregister"


@dataclass(frozen=True, slots=True)
class Origin:
    """What resources refer to besides their object."""

    subject: str  # reference of the Patient
    imaging_study: Mapping[str, Any]
    base_url: str  # of DICOMweb, without a slash at its end


@dataclass(frozen=True)
class Document:
    """An object that resources are made of."""

    record: InstanceRecord
    data_set: DataSet
    origin: Origin

    def id_of(self, resource_type: str, place: str = "") -> str:
        """Return the id of the resource that stands for a place in the object."""
        return derived_id(resource_type, self.record.sop_instance_uid, place)

    def begun(self, resource_type: str, place: str = "") -> dict[str, Any]:
        """Return the beginning of a resource."""
        return {
            "resourceType": resource_type,
            "id": self.id_of(resource_type, place),
            "meta": {"source": SOURCE},
        }

    def concept(self, item: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return an item of a code sequence of this object as a CodeableConcept."""
        return None if item is None else codeable_concept(item, self.schemes)

    @cached_property
    def schemes(self) -> CodingSchemes:
        """Return the coding schemes that the object uses."""
        return self.data_set.schemes

    def status(self, resource_type: StatusOf) -> str | None:
        """Return the status of its resources by the flags of the object."""
        return status_of(self.record.attributes, resource_type)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Return the attributes of the object."""
        return self.record.attributes

    @property
    def rendered_url(self) -> str:
        """Return where people can read it (PS3.18 §10.4.1.1.3)."""
        record = self.record
        return (
            f"{self.origin.base_url}/studies/{record.study_instance_uid}/series/"
            f"{record.series_instance_uid}/instances/{record.sop_instance_uid}/rendered"
        )

    @cached_property
    def identifier(self) -> dict[str, Any]:
        """Return the identifier of the object itself."""
        return uid_identifier(self.record.sop_instance_uid)

    @cached_property
    def title(self) -> dict[str, Any] | None:
        """Return what kind of document it is."""
        return self.concept(next(iter(items(self.attributes, "ConceptNameCodeSequence")), None))

    @property
    def subject(self) -> dict[str, str]:
        """Return the reference of the Patient."""
        return {"reference": self.origin.subject}

    @property
    def imaging_study(self) -> dict[str, str]:
        """Return the reference of the ImagingStudy."""
        return {"reference": f"ImagingStudy/{self.origin.imaging_study['id']}"}

    @cached_property
    def based_on(self) -> list[dict[str, Any]]:
        """Return the orders that the study fulfils."""
        return [
            each
            for each in self.origin.imaging_study.get("basedOn", ())
            if isinstance(each, dict) and _is_order(each)
        ]

    @cached_property
    def encounter(self) -> dict[str, Any] | None:
        """Return the encounter that the study is of."""
        encounter = self.origin.imaging_study.get("encounter")
        return encounter if isinstance(encounter, dict) else None

    @cached_property
    def effective(self) -> str | None:
        """Return when what it tells of was so: when the study was made."""
        return self._date_time("StudyDate", "StudyTime") or self._date_time(
            "ContentDate", "ContentTime"
        )

    @cached_property
    def issued(self) -> str | None:
        """Return when it was made known: verified, else written; an instant, so only with a time zone."""
        verified = [
            text(each, "VerificationDateTime")
            for each in items(self.attributes, "VerifyingObserverSequence")
        ]
        known = [instant for each in verified if (instant := as_instant(self.date_time(each)))]
        written = as_instant(self._date_time("ContentDate", "ContentTime"))
        return max(known, default=None) or written

    def date_time(self, value: str) -> str | None:
        """Return a DT value as a dateTime."""
        own = text(self.attributes, "TimezoneOffsetFromUTC")
        return date_time_of(value, "", own, self.data_set.time_zone)

    def _date_time(self, day: str, time: str) -> str | None:
        own = text(self.attributes, "TimezoneOffsetFromUTC")
        return date_time_of(
            text(self.attributes, day), text(self.attributes, time), own, self.data_set.time_zone
        )


def uid_identifier(uid: str) -> dict[str, str]:
    """Return a DICOM UID as an Identifier."""
    return {"system": code_system("dicom_uid"), "value": f"urn:oid:{uid}"}


def as_instant(date_time: str | None) -> str | None:
    """Return a dateTime where it is an instant: with a time and its zone."""
    return date_time if date_time is not None and "T" in date_time else None


def _is_order(reference: Mapping[str, Any]) -> bool:
    kind = reference.get("type") or str(reference.get("reference", "")).partition("/")[0]
    return kind in ("ServiceRequest", "")

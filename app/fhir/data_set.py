"""A data set that is mapped, and what is known besides it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.coding import CodingSchemes
from app.fhir.identifiers import IdentifierSystems


@dataclass(frozen=True, slots=True)
class DataSet:
    """The attributes of one instance, and the systems and the time zone of where it comes from."""

    attributes: Mapping[str, Any]  # the DICOM JSON Model
    systems: IdentifierSystems
    time_zone: str | None = None

    @property
    def schemes(self) -> CodingSchemes:
        """Return the coding schemes that it uses."""
        return CodingSchemes(self.systems.coding_scheme_prefix, self.attributes)

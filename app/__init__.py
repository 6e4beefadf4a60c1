"""Coregister: a DICOMweb server whose studies are linked into FHIR before it answers."""

__version__ = "0.1.0"

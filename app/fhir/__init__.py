"""DICOM to FHIR R4: pure functions over the tables in `mappings/fhir/`."""

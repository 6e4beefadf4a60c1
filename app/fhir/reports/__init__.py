"""Structured reports and encapsulated documents as FHIR R4 resources: pure functions.

`derive.derived_resources` is the way in; the tables are `mappings/fhir/reports.toml`.
"""

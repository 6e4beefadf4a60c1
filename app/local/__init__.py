"""The embedded stack: starts Elasticsearch and HAPI FHIR on this machine."""

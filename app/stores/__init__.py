"""The only code that talks to the outside: blobs, Elasticsearch, HAPI FHIR."""

"""Every setting, in one place. Each is an environment variable `COREGISTER_<NAME>`."""

import ipaddress
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import ConfigurationError
from app.limits import Limits


class Settings(BaseSettings):
    """How this Coregister runs; read once at start, never changed."""

    model_config = SettingsConfigDict(env_prefix="COREGISTER_", frozen=True, extra="ignore")

    # ---- where it listens
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, description="Port to listen on.", ge=0, le=65535)
    public_url: str | None = Field(
        None,
        description="DICOMweb base of every URL that is handed out, e.g. "
        "`https://pacs.example.org/dicom-web`; default: as the client called.",
    )
    auth: Literal["none"] | None = Field(
        None,
        description="`none` says on purpose that anybody who reaches the port may read and write; "
        "needed for any address but loopback.",
    )

    # ---- the stores behind
    elasticsearch_url: str = Field("http://127.0.0.1:9200", description="Elasticsearch 9.")
    elasticsearch_api_key: str | None = Field(None, description="API key for Elasticsearch.")
    fhir_url: str = Field("http://127.0.0.1:8081/fhir", description="HAPI FHIR R4 base URL.")
    fhir_token: str | None = Field(None, description="Bearer token for the FHIR server.")
    blobs: str = Field(
        "file:///var/lib/coregister/blobs",
        description="Where objects are kept: `file:///…`, `s3://…`, `az://…` or `gs://…`.",
    )
    index_prefix: str = Field("coregister", description="Prefix of every Elasticsearch index.")
    index_shards: int = Field(1, description="Primary shards of the instance index.", ge=1)
    index_replicas: int = Field(0, description="Replicas of every index.", ge=0)
    store_timeout_seconds: float = Field(
        30.0, description="Time that one call to a store behind may take.", gt=0
    )

    # ---- identity
    patient_id_system: str = Field(
        "urn:coregister:patient-id",
        description="Identifier system of a PatientID that names no issuer.",
    )
    issuer_system_prefix: str = Field(
        "urn:coregister:issuer:",
        description="Put before IssuerOfPatientID to make an identifier system.",
    )
    accession_system: str = Field(
        "urn:coregister:accession-number",
        description="Identifier system of an AccessionNumber that names no issuer.",
    )
    time_zone: str | None = Field(
        None,
        description="Time zone of acquisition times that carry no offset (e.g. `Europe/Vienna`); "
        "without it such an ImagingStudy.started is a date.",
    )

    # ---- behaviour
    parse_threads: int = Field(2, description="Threads that read incoming objects.", ge=1)
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    warm_up: bool = Field(
        default=True, description="Exercise the stores once at start, so the first call is fast."
    )

    limits: Limits = Field(default_factory=Limits)

    @property
    def dicomweb_url(self) -> str:
        """Return the DICOMweb base that the FHIR Endpoint names, without a slash at its end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/dicom-web"

    @model_validator(mode="after")
    def refuse_unknown_time_zone(self) -> Self:
        """Refuse a time zone that this machine does not know: every study would fail later."""
        if self.time_zone is not None:
            try:
                ZoneInfo(self.time_zone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
                raise ConfigurationError(
                    "COREGISTER_TIME_ZONE is no time zone of this machine's database; "
                    "it has names such as Europe/Vienna."
                ) from exc
        return self

    @model_validator(mode="after")
    def refuse_open_door(self) -> Self:
        """Refuse an address that others can reach unless that was said on purpose."""
        if self.auth is None and not _is_loopback(self.host):
            raise ConfigurationError(
                f"Coregister will not listen on {self.host}: there is no authentication. "
                "Listen on 127.0.0.1 behind a proxy that authenticates, or set "
                "COREGISTER_AUTH=none to let everybody who reaches the port read and write."
            )
        return self


class LocalSettings(BaseSettings):
    """How `coregister up` runs Elasticsearch and HAPI FHIR on this machine."""

    model_config = SettingsConfigDict(env_prefix="COREGISTER_", frozen=True, extra="ignore")

    data: Path = Field(
        default_factory=lambda: user_data_path("coregister"),
        description="Folder of everything that is kept; default: the user's data folder.",
    )
    cache: Path = Field(
        default_factory=lambda: user_cache_path("coregister"),
        description="Folder of downloads, safe to delete; default: the user's cache folder.",
    )
    maven_repository: str | None = Field(
        None, description="Where jars are downloaded from; default: the central Maven repository."
    )
    java_home: Path | None = Field(
        None, description="Java 21 to 25 to run them with; default: one that is found."
    )
    elasticsearch_memory: str = Field(
        "1g", description="Heap of the embedded Elasticsearch.", pattern=r"^[1-9]\d*[mg]$"
    )
    fhir_memory: str = Field(
        "1g", description="Heap of the embedded HAPI FHIR.", pattern=r"^[1-9]\d*[mg]$"
    )
    start_seconds: float = Field(
        300.0, description="How long the embedded servers may take to get ready.", gt=0
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

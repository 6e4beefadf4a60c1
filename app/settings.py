"""Every setting, in one place. Each is an environment variable `COREGISTER_<NAME>`."""

import ipaddress
import re
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import ConfigurationError
from app.limits import Limits

_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


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
    trusted_proxies: str = Field(
        "",
        description="Addresses or networks of reverse proxies, separated by commas, whose `Forwarded` and "
        "`X-Forwarded-*` headers say how clients reach this server; default: nobody's.",
    )
    cors_origins: str = Field(
        "",
        description="Origins of web pages, separated by commas, whose scripts may call this server from a "
        "browser, e.g. `https://viewer.example.org`; `*` for any page whatever; default: none.",
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
    admission_system: str = Field(
        "urn:coregister:admission-id",
        description="Identifier system of an AdmissionID that names no issuer.",
    )
    specimen_system: str = Field(
        "urn:coregister:specimen-id",
        description="Identifier system of a SpecimenIdentifier or ContainerIdentifier that names no issuer.",
    )
    study_id_system: str | None = Field(
        None,
        description="Identifier system of StudyID; without it StudyID is no identifier of an ImagingStudy.",
    )
    coding_scheme_prefix: str = Field(
        "urn:coregister:coding-scheme:",
        description="Put before a Coding Scheme Designator that neither PS3.16 nor the object explains, to "
        "make a code system.",
    )
    time_zone: str | None = Field(
        None,
        description="Time zone of acquisition times that carry no offset (e.g. `Europe/Vienna`); "
        "without it such an ImagingStudy.started is a date.",
    )

    # ---- who is master of what
    patient: Literal["fhir", "dicom"] = Field(
        "fhir",
        description="Who is right about name, identifier, birth date and sex of a patient whom FHIR knows: "
        "with `fhir` they are shown in DICOM as FHIR has them, with `dicom` objects are shown as they are, "
        "and a new study brings name, birth date and sex of the Patient up to date.",
    )
    practitioner: Literal["fhir", "dicom"] = Field(
        "fhir",
        description="Where a Practitioner comes from whom an object names by an identifier: `fhir` links those "
        "that are there, `dicom` makes those that are missing.",
    )
    encounter: Literal["fhir", "dicom"] = Field(
        "fhir",
        description="Where the Encounter of an AdmissionID comes from: `fhir` links one that is there, `dicom` "
        "makes one that is missing.",
    )
    provenance: Literal["on", "off"] = Field(
        "on",
        description="Whether a Provenance in FHIR tells of everything that is stored, deleted or corrected: "
        "when, by whom, and with which digests.",
    )

    # ---- changes made in FHIR
    subscriptions: Literal["on", "off"] = Field(
        "on",
        description="Whether Coregister keeps subscriptions on the FHIR server, so that a change there is "
        "heard at once; without them it is found by asking.",
    )
    hooks_url: str | None = Field(
        None,
        description="Where the FHIR server reaches this Coregister, without a path, e.g. "
        "`http://coregister:8080`; default: the address that it listens on.",
    )
    hooks_secret: str | None = Field(
        None,
        description="What the secrets of the subscriptions are derived from; default: made once and kept in "
        "Elasticsearch.",
        min_length=16,
    )

    # ---- behaviour
    validation: Literal["lenient", "strict"] = Field(
        "lenient",
        description="What a value that is not as its VR asks does to an instance that could be kept: "
        "`lenient` stores it with a warning and leaves the value out of FHIR, `strict` refuses it (A900) and "
        "names every such attribute. So with an empty PatientID: a warning, or a refusal (0120).",
    )
    inconsistent_patient: Literal["first-wins", "new-wins", "reject"] = Field(
        "first-wins",
        description="What an instance does that says of its patient (PatientID and issuer, name, birth date, "
        "sex) something else than its study: it is shown with the study's patient, the study becomes "
        "its patient's, or it is refused (A900).",
    )
    duplicates: Literal["reject", "replace"] = Field(
        "reject",
        description="What other bytes under a known SOP Instance UID do: they are refused (0111H), or "
        "become a new version; the old one is kept.",
    )
    emptied_study: Literal["entered-in-error", "cancelled", "removed"] = Field(
        "entered-in-error",
        description="What becomes of the ImagingStudy of a study whose last instance is deleted: it is "
        "kept with this status, or removed where nobody else has a part in it.",
    )
    rejection_notes: bool = Field(
        default=True, description="A stored rejection note (IOCM) deletes what it refers to."
    )
    empty_search: Literal["no-content", "empty-list"] = Field(
        "no-content",
        description="The answer to a search without rows: 204, as the standard has it, or 200 with an "
        "empty list (in XML always 204), for clients that cannot do without a body.",
    )
    compress: Literal["remote", "always", "never"] = Field(
        "remote",
        description="Which clients that accept gzip get JSON, XML and CSV compressed: those on other "
        "machines, all, or none.",
    )
    parse_threads: int = Field(2, description="Threads that read incoming objects.", ge=1)
    pixel_workers: int = Field(
        2, description="Worker processes that decode and encode pixel data.", ge=1
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    warm_up: bool = Field(
        default=True, description="Exercise the stores once at start, so the first call is fast."
    )

    thumbnail_pixels: int = Field(
        200, description="Largest width and height of a thumbnail.", ge=16, le=2048
    )
    viewer: Path | None = Field(
        None,
        description="Folder of a built viewer to serve at `/viewer/`; `coregister up --viewer` sets it.",
    )

    limits: Limits = Field(default_factory=Limits)

    @property
    def dicomweb_url(self) -> str:
        """Return the DICOMweb base that the FHIR Endpoint names, without a slash at its end."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/dicom-web"

    @property
    def hooks_base(self) -> str | None:
        """Return where the FHIR server calls, or None where nobody said and it cannot be known."""
        if self.hooks_url is not None:
            return self.hooks_url.rstrip("/")
        if self.port == 0 or self.host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def viewer_url(self) -> str:
        """Return the address above the viewer and the DICOMweb base, without a slash at its end."""
        return self.dicomweb_url.removesuffix("/dicom-web")

    @cached_property
    def cors(self) -> tuple[str, ...]:
        """Return the origins of `cors_origins`. Raises ConfigurationError."""
        origins = tuple(each.strip() for each in self.cors_origins.split(",") if each.strip())
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    "COREGISTER_CORS_ORIGINS is a list of origins such as https://viewer.example.org: "
                    "scheme, host and port, without a path; or *."
                )
        return origins

    @model_validator(mode="after")
    def refuse_unknown_origins(self) -> Self:
        """Refuse a list of origins that no browser would ever send."""
        _ = self.cors
        return self

    @cached_property
    def trusted_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Return the networks of `trusted_proxies`. Raises ConfigurationError."""
        names = filter(None, (name.strip() for name in self.trusted_proxies.split(",")))
        try:
            return tuple(ipaddress.ip_network(name, strict=False) for name in names)
        except ValueError as exc:
            raise ConfigurationError(
                "COREGISTER_TRUSTED_PROXIES is a list of addresses or networks such as 10.0.0.0/8."
            ) from exc

    @model_validator(mode="after")
    def refuse_unknown_proxies(self) -> Self:
        """Refuse a list of proxies that cannot be read: no request could be answered."""
        _ = self.trusted_networks
        return self

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
    def refuse_empty_viewer(self) -> Self:
        """Refuse a folder that has no viewer: every address below `/viewer/` would be missing."""
        if self.viewer is not None and not (self.viewer / "index.html").is_file():
            raise ConfigurationError(
                f"COREGISTER_VIEWER is {self.viewer}: there is no index.html in it."
            )
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
    npm_registry: str | None = Field(
        None,
        description="Where the viewer is downloaded from; default: the registry that npm is "
        "configured with on this machine, else the npm registry.",
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

"""Every limit, in one place. Each is a setting: `COREGISTER_LIMIT_<NAME>`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
DAY = 24 * 3600


class Limits(BaseSettings):
    """The bounds that keep one request from taking the server with it."""

    model_config = SettingsConfigDict(env_prefix="COREGISTER_LIMIT_", frozen=True, extra="ignore")

    # ---- a STOW request
    request_bytes: int = Field(64 * GIB, description="Largest STOW body, in bytes.")
    instance_bytes: int = Field(8 * GIB, description="Largest single instance, in bytes.")
    parts: int = Field(20_000, description="Most parts of one multipart body.")
    part_header_bytes: int = Field(16 * KIB, description="Largest header of one part, in bytes.")
    part_headers: int = Field(32, description="Most header lines of one part.")
    metadata_bytes: int = Field(
        32 * MIB, description="Largest metadata of one STOW body, JSON or XML, in bytes."
    )
    spool_memory_bytes: int = Field(
        1 * MIB, description="A part up to this size stays in memory; a larger one goes to disk."
    )
    read_at_once_bytes: int = Field(
        64 * KIB,
        description="An object up to this size is read as soon as it is in, a larger one by a thread.",
    )
    free_disk_bytes: int = Field(
        256 * MIB, description="Storing stops with 503 when the disk has less room than this."
    )
    request_idle_seconds: float = Field(
        60.0, description="A body that sends nothing for this long is given up."
    )
    store_requests: int = Field(
        64, description="STOW requests served at once; further ones wait, then get 503."
    )
    store_wait_seconds: float = Field(
        10.0, description="How long a STOW request waits for its turn before it gets 503."
    )
    store_seconds: float = Field(
        60.0,
        description="Time budget of one STOW after its last byte came in, or of a DELETE; then 503.",
    )
    store_retry_seconds: float = Field(
        10.0,
        description="How long a STOW tries again what a store behind cannot do for the moment, at most half "
        "of `store_seconds`; then 503.",
    )

    # ---- one instance
    nesting_depth: int = Field(32, le=64, description="Deepest nesting of sequences.")
    elements: int = Field(2_000_000, description="Most data elements of one instance.")
    frames: int = Field(
        500_000, description="Most frames of one instance that can be retrieved one by one."
    )
    inflated_bytes: int = Field(
        512 * MIB, description="Largest data set that a deflated object may inflate to, in bytes."
    )
    inline_bytes: int = Field(
        2 * KIB, description="A binary value above this becomes a BulkDataURI in metadata."
    )
    inline_text_bytes: int = Field(
        256 * KIB, description="A text or number value above this becomes a BulkDataURI."
    )

    # ---- the index
    index_value_bytes: int = Field(
        1024, description="A value is searchable by its first bytes up to this length."
    )
    index_tokens: int = Field(
        20_000, description="Most searchable values of one instance; more are stored, not indexed."
    )
    index_values: int = Field(
        256, description="Values of one attribute that are searchable; further ones are stored."
    )
    index_items: int = Field(
        1_000,
        description="Most sequence items of one instance that keys can be matched within one by one.",
    )

    # ---- pixel data
    frame_bytes: int = Field(512 * MIB, description="Largest decoded frame, in bytes.")
    pixel_memory_bytes: int = Field(
        4 * GIB, description="Address space of one worker process for pixel data, in bytes."
    )
    pixel_seconds: float = Field(
        60.0, description="Time that one piece of work on pixel data may take, such as a frame."
    )
    pixel_waiting: int = Field(
        256, description="Pieces of such work that wait for a worker; a further one gets 503."
    )

    transcoded_bytes: int = Field(
        16 * GIB, description="Largest instance that is made in another transfer syntax, in bytes."
    )
    transcoded_memory_bytes: int = Field(
        32 * MIB, description="Such an instance up to this size stays in memory until it is sent."
    )
    rewritten_bytes: int = Field(
        256 * MIB,
        description="Largest data set, pixel data not counted, that is made in another encoding.",
    )

    # ---- queries
    query_results: int = Field(
        1_000, description="Results of one QIDO answer when the client sets no limit."
    )
    query_results_max: int = Field(5_000, le=50_000, description="Most results of one QIDO answer.")
    query_order_keys: int = Field(8, description="Most attributes that `orderby` names.")
    query_keys: int = Field(64, description="Most match keys of one query.")
    extended_query_tags: int = Field(
        128, description="Most extended query tags that clients may register.", le=10_000
    )
    json_body_bytes: int = Field(MIB, description="Longest JSON body of such a request.")
    query_values: int = Field(4_096, description="Most values in one UID list.")
    facet_attributes: int = Field(16, description="Most attributes that `by` of a facet names.")
    facet_values: int = Field(
        5_000, description="Most different values of an attribute that facets are counted of."
    )
    facet_documents: int = Field(
        10_000,
        description="Most instances that are looked at to count values of an attribute that is no column.",
    )
    facet_results: int = Field(
        100,
        description="Values of each attribute in an answer of facets when the client sets no limit.",
    )
    query_string_bytes: int = Field(256 * KIB, description="Longest query string, in bytes.")

    # ---- rendered images
    viewport_pixels: int = Field(
        16_000_000, description="Largest viewport of a rendered image, in pixels."
    )
    animated_frames: int = Field(300, description="Most frames of one animated GIF.")

    # ---- corrections
    materialize_seconds: float = Field(
        30.0,
        description="How long `$materialize` waits for its end before it is answered 202 and goes on.",
    )

    # ---- deleting
    tombstone_seconds: int = Field(
        30 * DAY, description="How long reading something deleted is answered 410 instead of 404."
    )
    deleted_bytes_seconds: int = Field(
        3 * DAY, description="How long the objects of deleted instances stay in the blob store."
    )
    versions: int = Field(
        1_000, description="Versions of one instance that are listed, the newest ones."
    )
    rejected_instances: int = Field(
        20_000, description="Most instances that one rejection note may refer to."
    )

    # ---- problems
    problems_waiting: int = Field(
        10_000, description="Different problems that wait in memory to be written down."
    )
    problem_results: int = Field(
        1_000, le=10_000, description="Most records of problems in one answer of `/errors`."
    )

    # ---- FHIR
    fhir_instances: int = Field(
        2_000, description="Instances that an ImagingStudy lists; above it has counts only."
    )
    fhir_instances_at_once: int = Field(
        100,
        description="Up to this size an ImagingStudy lists its instances with every commit; above it, "
        "once no commit has come for a while.",
    )
    fhir_repairs: int = Field(
        10,
        description="Most repairs of one ImagingStudy within an hour; after that it is looked at ever more "
        "rarely, because somebody else takes it for theirs.",
    )
    fhir_values: int = Field(
        100,
        description="Most entries of one list, such as procedure codes or performers, that are made of what "
        "the objects of a study or a series say.",
    )
    fhir_listing_seconds: float = Field(
        3.0, description="Time without a commit after which a study's instances are listed in FHIR."
    )

    # ---- reports in FHIR
    fhir_report_observations: int = Field(
        500,
        description="Most Observations that one structured report becomes; its DiagnosticReport tells how "
        "many more there are in it.",
    )
    fhir_report_components: int = Field(
        100, description="Most components of an Observation; further ones are left out."
    )
    fhir_report_selections: int = Field(
        100,
        description="Most images and regions that one Observation names as what it was seen on.",
    )
    fhir_report_coordinates: int = Field(
        3_000, description="Most numbers of an outline that an Observation names."
    )
    fhir_report_text: int = Field(
        20_000,
        description="Most characters of `DiagnosticReport.conclusion` or of a value that is text.",
    )
    fhir_derived_at_once: int = Field(
        50,
        description="Most resources of reports that one transaction writes: with their study where they are "
        "no more, else in further transactions before the answer.",
        ge=1,
    )

    # ---- changes made in FHIR
    changes_seconds: float = Field(
        10.0,
        description="How often the FHIR server is asked what was changed, for what its subscriptions lost; "
        "and how long at most a change waits where there are none.",
        gt=0,
    )
    changes_overlap_seconds: float = Field(
        30.0,
        description="How far it is asked back beyond what is known: a transaction there may end this long "
        "after the time that its resources bear.",
        ge=0,
    )
    changes_at_once: int = Field(
        4, description="Changed FHIR resources that are followed at once.", ge=1
    )
    changes_failed: int = Field(
        1_000,
        description="Changed FHIR resources that could not be followed and are tried again; while there "
        "are more, none is taken for done.",
    )
    subscription_seconds: float = Field(
        60.0, description="How often the subscriptions on the FHIR server are looked after.", gt=0
    )
    order_studies: int = Field(
        200, description="Most studies of one order that follow when it comes or changes.", le=1_000
    )
    orders_later: int = Field(
        10_000,
        description="Most orders that are looked at once more, `store_seconds` after they came or changed.",
    )
    provenance_instances: int = Field(
        500,
        description="Instances that one Provenance lists, each with its digest; of more in one request it "
        "tells their number and one digest over all.",
    )
    provenance_quiet_seconds: float = Field(
        3.0,
        description="What is stored into a study within so little time of each other has one Provenance.",
    )
    provenance_waiting: int = Field(
        20_000,
        description="Most requests whose Provenance waits in memory; that of others is written by recovery.",
    )

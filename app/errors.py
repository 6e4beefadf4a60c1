"""Every error that Coregister raises on purpose.

The tree, with the HTTP status and the DICOM failure reason (PS3.18 Annex I.2, PS3.4 Annex B.2.3)
that each one carries:

    CoregisterError
    ├── BadRequest                      400
    │   ├── BadQuery                    400
    │   ├── BadMultipart                400
    │   └── BadInstance                 409  C000  cannot understand
    │       ├── NotDicom                409  C000
    │       ├── Truncated               409  C000
    │       ├── BadMetadata             409  C000  JSON or XML metadata that make no object
    │       ├── MissingAttribute        409  0120
    │       ├── BadIdentifier           409  A900  a UID that is none
    │       ├── InvalidAttributes       409  A900  values not as their VRs ask, where that is strict
    │       ├── StudyMismatch           409  A900  not the study of the URL
    │       ├── InconsistentPatient     409  A900  another patient than the study's, where that is refused
    │       ├── DuplicateInstance       409  0111  same SOP Instance UID, other bytes
    │       ├── TooDeep                 409  C000
    │       └── InstanceTooLarge        413  A700
    ├── AlreadyThere                    409  what is to be added was added before
    ├── NotFound                        404
    │   └── Gone                        410  deleted, and its tombstone lives
    ├── NotAcceptable                   406
    │   ├── Undecodable                 406  pixel data that cannot be decoded
    │   └── Unencodable                 406  pixel data that a transfer syntax cannot hold
    ├── UnsupportedMediaType            415
    ├── RequestTimeout                  408  the body stopped coming
    ├── RequestTooLarge                 413
    ├── Busy                            503  A700  too many requests at once
    ├── ClientGone                      499  never sent: nobody listens
    ├── LinkRefused                     409  0110  FHIR refused the study
    ├── StoreUnavailable                503  A700
    │   ├── BlobsUnavailable            503  A700
    │   ├── IndexUnavailable            503  A700
    │   └── FhirUnavailable             503  A700
    ├── VersionConflict                 503  0110  others kept changing the study
    ├── ConfigurationError              500  at start only
    ├── LocalStackError                 never sent: the embedded stack cannot be had or run
    │   ├── DownloadFailed              a jar cannot be had whole
    │   ├── NoRoom                      the disk is too full to start
    │   ├── NoJava                      no runtime that fits
    │   ├── PortInUse                   somebody else listens there
    │   ├── AlreadyUp                   another stack uses the same data
    │   └── StartFailed                 a server ended instead of getting ready
    ├── ServerUnreachable               never sent: a client finds no Coregister to talk to
    └── SourceUnreadable                never sent: a file to import cannot be read as it was found

No message carries a value from a data set: it names the attribute and what is wrong with it.
"""

from typing import ClassVar


class CoregisterError(Exception):
    """Anything that Coregister refuses or cannot do, in words for the person who asked."""

    status: ClassVar[int] = 500
    failure_reason: ClassVar[int] = 0x0110
    retry_seconds: ClassVar[int | None] = None  # where whoever raises it knows no better

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        """Say what is wrong; `retry_after` is in seconds."""
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after if retry_after is not None else self.retry_seconds


class BadRequest(CoregisterError):
    """The request cannot be understood."""

    status = 400


class BadQuery(BadRequest):
    """A query parameter is wrong."""


class BadMultipart(BadRequest):
    """The multipart body breaks its own framing."""


class BadInstance(BadRequest):
    """One instance is refused; others of the request are not touched by it."""

    status = 409
    failure_reason = 0xC000

    def __init__(
        self,
        message: str,
        *,
        attributes: tuple[str, ...] = (),
        details: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Say what is wrong; `attributes` are the offending tags as 8 hex digits.

        Where each attribute has its own fault, `details` are its path and what is wrong with it.
        """
        super().__init__(message)
        self.attributes = attributes
        self.details = details


class NotDicom(BadInstance):
    """The bytes are no DICOM Part 10 object."""


class Truncated(BadInstance):
    """The object ends before its own lengths say."""


class BadMetadata(BadInstance):
    """Metadata in JSON or XML, or the bulk data that they name, make no object."""


class MissingAttribute(BadInstance):
    """An attribute without which an instance cannot be kept is missing or empty."""

    failure_reason = 0x0120


class BadIdentifier(BadInstance):
    """An identifying attribute has a value that cannot be one."""

    failure_reason = 0xA900


class InvalidAttributes(BadInstance):
    """Attributes have values that their VRs do not allow, and validation is strict."""

    failure_reason = 0xA900


class StudyMismatch(BadInstance):
    """The instance is not of the study that the URL names."""

    failure_reason = 0xA900


class InconsistentPatient(BadInstance):
    """The instance says of its patient what contradicts its study, and that is refused."""

    failure_reason = 0xA900


class DuplicateInstance(BadInstance):
    """The SOP Instance UID is known with other bytes."""

    failure_reason = 0x0111


class TooDeep(BadInstance):
    """Sequences are nested deeper than the limit."""


class InstanceTooLarge(BadInstance):
    """The instance, or what it inflates to, exceeds a limit."""

    status = 413
    failure_reason = 0xA700


class AlreadyThere(CoregisterError):
    """What is to be added was added before."""

    status = 409


class NotFound(CoregisterError):
    """What was asked for is not here."""

    status = 404


class Gone(NotFound):
    """What was asked for was deleted not long ago."""

    status = 410


class NotAcceptable(CoregisterError):
    """No representation that the client accepts can be made."""

    status = 406


class Undecodable(NotAcceptable):
    """The pixel data cannot be decoded: by no codec, not as they are, or not within the limits."""


class Unencodable(NotAcceptable):
    """The pixel data cannot be had in the transfer syntax that is asked for."""


class UnsupportedMediaType(CoregisterError):
    """The body is of a kind that is not understood."""

    status = 415


class RequestTooLarge(CoregisterError):
    """The request exceeds a limit."""

    status = 413
    failure_reason = 0xA700


class RequestTimeout(CoregisterError):
    """The client stopped sending in the middle of its request."""

    status = 408


class Busy(CoregisterError):
    """More requests than can be served at once; asking again later helps."""

    status = 503
    failure_reason = 0xA700


class ClientGone(CoregisterError):
    """The client hung up before its request was complete."""

    status = 499


class LinkRefused(CoregisterError):
    """The FHIR server refused the study's resources."""

    status = 409


class StoreUnavailable(CoregisterError):
    """A store behind cannot be reached in time; asking again later helps."""

    status = 503
    failure_reason = 0xA700
    retry_seconds = 5


class BlobsUnavailable(StoreUnavailable):
    """The blob store does not answer or has no room."""


class IndexUnavailable(StoreUnavailable):
    """Elasticsearch does not answer."""


class FhirUnavailable(StoreUnavailable):
    """The FHIR server does not answer."""


class VersionConflict(CoregisterError):
    """Other writers changed the study each time this one tried."""

    status = 503


class ConfigurationError(CoregisterError):
    """The settings contradict each other or are unsafe."""


class LocalStackError(CoregisterError):
    """The embedded stack cannot be had or run on this machine as it is."""


class DownloadFailed(LocalStackError):
    """A jar cannot be downloaded, or is not the one that was locked."""


class NoRoom(LocalStackError):
    """The disk has less room than the stack needs to start."""


class NoJava(LocalStackError):
    """No Java runtime of a version that both servers run on."""


class PortInUse(LocalStackError):
    """A port that was asked for is taken."""


class AlreadyUp(LocalStackError):
    """Another stack runs on the same data folder."""


class StartFailed(LocalStackError):
    """A server of the stack did not get ready."""


class ServerUnreachable(CoregisterError):
    """A client finds no server, or one that does not do its work."""


class SourceUnreadable(CoregisterError):
    """A file that a client wants to send cannot be read, or changed while it was read."""

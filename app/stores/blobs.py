"""Opens the blob store that the settings name."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError as ObstoreError
from obstore.store import ObjectStore, from_url

from app.errors import ConfigurationError
from app.stores.blob_store import BlobStore
from app.stores.local_blobs import LocalBlobs
from app.stores.remote_blobs import RemoteBlobs

CONNECT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 1.0  # between two tries


def open_blob_store(url: str, *, timeout_seconds: float = 30.0) -> BlobStore:
    """Return the store that the setting `COREGISTER_BLOBS` names. Raises ConfigurationError.

    Endpoint and credentials of an object store come from the variables that its own tools read (AWS_…,
    AZURE_…, GOOGLE_…). One call to it takes about `timeout_seconds` at most, tries included.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ConfigurationError("COREGISTER_BLOBS: a file URL has three slashes: file:///path")
        return LocalBlobs(Path(unquote(parts.path)))
    if parts.scheme in ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"):
        return RemoteBlobs(_object_store(url, timeout_seconds))
    raise ConfigurationError(
        f"COREGISTER_BLOBS: unknown kind of store '{parts.scheme}:'; "
        "known are file:///…, s3://…, az://… and gs://…"
    )


def _object_store(url: str, timeout_seconds: float) -> ObjectStore:
    if "@" in urlsplit(url).netloc and not url.startswith("abfs"):  # abfs://container@account
        raise ConfigurationError(
            "COREGISTER_BLOBS: credentials do not belong in the URL; "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or their like."
        )
    whole = timedelta(seconds=timeout_seconds)
    try:
        return from_url(
            url,
            client_options={
                "timeout": whole,
                "connect_timeout": min(whole, timedelta(seconds=CONNECT_SECONDS)),
                # an endpoint is encrypted unless its own URL says http://
                "allow_http": True,
            },
            retry_config={
                "retry_timeout": whole,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=LONGEST_PAUSE_SECONDS),
                    "base": 2,
                },
            },
        )
    except (ObstoreError, ValueError) as exc:
        reason = str(exc).partition("\n")[0]  # what follows are insides of the library
        raise ConfigurationError(f"COREGISTER_BLOBS: {reason}") from exc

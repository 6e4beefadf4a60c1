"""How many instances go into one body: as parts of a multipart message, or as files of a ZIP archive.

Both take whole instances, or one piece by piece, and return the bytes to be sent.
"""

import zipfile
from typing import IO, Protocol

from app.dicom.multipart import closing, new_boundary, part_header
from app.services.retrieve import Located
from app.web.wado_target import related

ZIP = "application/zip"


class Packing(Protocol):
    """What puts instances together."""

    @property
    def content_type(self) -> str:
        """Return the Content-Type of the whole."""

    def whole(self, located: Located, data: bytes) -> list[bytes]:
        """Return what stands for a whole instance."""

    def begin(self, located: Located) -> bytes:
        """Return what stands before the first piece of an instance."""

    def piece(self, data: bytes) -> bytes:
        """Return what stands for a piece."""

    def end(self) -> bytes:
        """Return what stands after the last piece of an instance."""

    def close(self) -> bytes:
        """Return what stands after everything."""


class Parts:
    """A part for each instance (PS3.18 §8.6.1.2)."""

    def __init__(self) -> None:
        """Begin an empty message."""
        self._boundary = new_boundary()
        self.content_type = related("application/dicom", self._boundary)
        self._headers: dict[str, bytes] = {}  # of parts in a transfer syntax, up to the length

    def whole(self, located: Located, data: bytes) -> list[bytes]:
        """Return the part."""
        return [self.begin(located), data]

    def begin(self, located: Located) -> bytes:
        """Return the header of the part."""
        syntax = located.transfer_syntax_uid
        header = self._headers.get(syntax)
        if header is None:
            headers = {
                "Content-Type": f"application/dicom; transfer-syntax={syntax}",
                "Content-Length": "",
            }
            header = part_header(self._boundary, headers).removesuffix(b"\r\n\r\n")
            self._headers[syntax] = header
        return b"%b%d\r\n\r\n" % (header, located.size)

    def piece(self, data: bytes) -> bytes:
        """Return the piece as it is."""
        return data

    def end(self) -> bytes:
        """Return nothing: the next delimiter ends the part."""
        return b""

    def close(self) -> bytes:
        """Return the last delimiter."""
        return closing(self._boundary)


class Archive:
    """A file `{study}/{series}/{instance}.dcm` for each instance.

    Nothing is compressed. The files are deflate streams of stored blocks all the same: unlike files that are
    stored as such, those can be unpacked while they come, though their size stands after them.
    """

    content_type = ZIP

    def __init__(self) -> None:
        """Begin an empty archive."""
        self._out = _Outgoing()
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED, compresslevel=0)
        self._file: IO[bytes] | None = None

    def whole(self, located: Located, data: bytes) -> list[bytes]:
        """Return the file with what stands before and after it."""
        with self._zip.open(_name(located), "w") as file:
            file.write(data)
        return self._out.take()

    def begin(self, located: Located) -> bytes:
        """Return the header of the file."""
        self._file = self._zip.open(_name(located), "w", force_zip64=True)
        return b"".join(self._out.take())

    def piece(self, data: bytes) -> bytes:
        """Return the piece as stored blocks."""
        if self._file is None:
            raise ValueError("no file was begun")
        self._file.write(data)
        return b"".join(self._out.take())

    def end(self) -> bytes:
        """Return the file's sizes and checksum."""
        if self._file is not None:
            self._file.close()
        return b"".join(self._out.take())

    def close(self) -> bytes:
        """Return the directory of the archive."""
        self._zip.close()
        return b"".join(self._out.take())


class _Outgoing:
    """A file that cannot be sought in, and whose bytes are taken as they come."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> list[bytes]:
        taken, self._written = self._written, []
        return taken


def _name(located: Located) -> str:
    return (
        f"{located.study_instance_uid}/{located.series_instance_uid}/{located.sop_instance_uid}.dcm"
    )

"""The embedded HAPI FHIR server: the command that runs it."""

from dataclasses import dataclass
from pathlib import Path

from app.local.java import Java
from app.local.java_command import JAVA_ENVIRONMENT, java_command
from app.local.ports import LOOPBACK
from app.local.service import Service
from app.resources import data_path

# Each of them is needed: without WRITE_DELAY=0 a killed server has lost what it acknowledged, and the trace
# file would have values of patients in its error texts.
_H2_SETTINGS = "WRITE_DELAY=0;RETENTION_TIME=1000;DB_CLOSE_ON_EXIT=FALSE;TRACE_LEVEL_FILE=0"


@dataclass(frozen=True, slots=True)
class HapiParts:
    """What the server is run from."""

    java: Java
    launcher: Path
    jars: tuple[Path, ...]


def hapi_service(parts: HapiParts, *, data: Path, logs: Path, port: int, memory: str) -> Service:
    """Return the server as a service; its database is in `data`."""
    data.mkdir(parents=True, exist_ok=True)
    arguments = [
        f"-Xmx{memory}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8",
        f"-Dlogback.configurationFile={data_path('docker', 'hapi', 'logback.xml')}",
        f"-Dfhir.host={LOOPBACK}", f"-Dfhir.port={port}",
        f"-Dfhir.db.url=jdbc:h2:file:{data / 'fhir'};{_H2_SETTINGS}",
        "-cp", ":".join(map(str, (parts.launcher, *parts.jars))), "coregister.HapiServer",
    ]  # fmt: skip
    url = f"http://{LOOPBACK}:{port}/fhir"
    return Service(
        name="fhir",
        command=java_command(parts.java, arguments, file=data / "arguments"),
        url=url,
        ready_url=f"{url}/Endpoint?_summary=count",
        log=logs / "fhir.log",
        environment=JAVA_ENVIRONMENT,
    )

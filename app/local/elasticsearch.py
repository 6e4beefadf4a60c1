"""The embedded Elasticsearch: its home folder and the command that runs it."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.local.download_cache import DownloadCache
from app.local.jars import Jar
from app.local.java import Java
from app.local.java_command import JAVA_ENVIRONMENT, java_command
from app.local.ports import LOOPBACK
from app.local.service import Service
from app.resources import data_path

TRANSPORT = "transport-netty4"
# The HTTP transport is a module of its own, in a folder of its own: these belong there.
_TRANSPORT_ARTIFACTS = frozenset({TRANSPORT, "elasticsearch-ssl-config"})
_TRANSPORT_GROUP = "io.netty"


@dataclass(frozen=True, slots=True)
class ElasticsearchParts:
    """What a node is run from."""

    java: Java
    launcher: Path
    home: Path
    jars: tuple[Path, ...]


def is_transport(jar: Jar) -> bool:
    """Return whether a jar belongs to the transport module and not to the server."""
    return jar.group == _TRANSPORT_GROUP or jar.artifact in _TRANSPORT_ARTIFACTS


def home_folder(jars: tuple[Jar, ...], cache: DownloadCache, *, target: Path) -> Path:
    """Return a home folder with the transport module in it; it is made once and only read."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        home = Path(folder) / "home"
        module = home / "modules" / TRANSPORT
        module.mkdir(parents=True)
        (home / "plugins").mkdir()
        for file in data_path("docker", "elasticsearch", TRANSPORT).iterdir():
            shutil.copy(file, module)
        for jar in filter(is_transport, jars):
            shutil.copy(cache.path(jar), module)
        if not target.is_dir():
            home.rename(target)
    return target


def elasticsearch_service(
    parts: ElasticsearchParts, *, data: Path, logs: Path, port: int, memory: str
) -> Service:
    """Return the node as a service; its data are in `data`."""
    config = data_path("docker", "elasticsearch", "config")
    temporary = data / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    arguments = [
        f"-Xms{memory}", f"-Xmx{memory}", "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8",
        "-Dlog4j.shutdownHookEnabled=false", "-Dlog4j2.disable.jmx=true",
        f"-Djava.io.tmpdir={temporary}", f"-Des.path.home={parts.home}",
        "--module-path", ":".join(map(str, parts.jars)),
        "--add-modules", "org.elasticsearch.server,jdk.net,jdk.management.agent",
        "--enable-native-access=ALL-UNNAMED,org.apache.lucene.core",
        "-cp", str(parts.launcher), "coregister.ElasticsearchNode",
        str(parts.home), str(config),
        f"path.data={data / 'data'}", f"path.logs={logs}", f"http.port={port}", "transport.port=0",
    ]  # fmt: skip
    url = f"http://{LOOPBACK}:{port}"
    return Service(
        name="elasticsearch",
        command=java_command(parts.java, arguments, file=data / "arguments"),
        url=url,
        ready_url=f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s",
        log=logs / "elasticsearch.log",
        environment=JAVA_ENVIRONMENT,
    )

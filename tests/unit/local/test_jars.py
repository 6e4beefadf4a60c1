"""The lock files: read exactly, refused when broken, complete as shipped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationError
from app.local.elasticsearch import is_transport
from app.local.jars import Jar, parse_lock, read_lock
from app.resources import data_path

names = st.from_regex(r"[a-zA-Z0-9_][\w.-]{0,20}", fullmatch=True).filter(str.isascii)
jars = st.builds(
    Jar,
    group=names,
    artifact=names,
    version=names,
    classifier=st.none() | names,
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    size=st.integers(1, 10**10),
)


@given(st.lists(jars, max_size=5))
def test_lock_of_any_jars_reads_back_as_those(expected: list[Jar]) -> None:
    lines = ["# a comment", ""]
    for jar in expected:
        parts = [jar.group, jar.artifact, jar.version, *filter(None, [jar.classifier])]
        lines.append(f"{':'.join(parts)} {jar.sha256} {jar.size}")

    assert list(parse_lock("\n".join(lines), name="a lock")) == expected


@pytest.mark.parametrize(
    "line",
    [
        "org.example:thing:1",
        f"org.example:thing {'0' * 64} 5",
        f"org.example:thing:1 {'0' * 63} 5",
        f"org.example:thing:1 {'0' * 64} 0",
        f"org.example:thing:1 {'0' * 64} 5 extra",
        f"../../etc:thing:1 {'0' * 64} 5",
        f"org.example:thing:../1 {'0' * 64} 5",
    ],
)
def test_line_that_is_no_jar_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ConfigurationError, match="a lock, line 2"):
        parse_lock(f"# header\n{line}\n", name="a lock")


def test_path_is_that_of_a_maven_repository() -> None:
    jar = Jar("io.netty", "netty-transport", "4.1", "linux-x86_64", "0" * 64, 1)

    assert jar.path == "io/netty/netty-transport/4.1/netty-transport-4.1-linux-x86_64.jar"


@pytest.mark.parametrize("name", ["compiler", "elasticsearch", "hapi"])
def test_shipped_lock_names_each_artifact_once(name: str) -> None:
    """Two versions of one artifact on a class path would be a coin toss."""
    jars = read_lock(data_path("docker", name, "jars.lock"))

    artifacts = [(jar.group, jar.artifact, jar.classifier) for jar in jars]
    assert artifacts
    assert len(artifacts) == len(set(artifacts))


def test_shipped_lock_pins_the_versions_that_were_tried() -> None:
    elasticsearch = read_lock(data_path("docker", "elasticsearch", "jars.lock"))
    hapi = read_lock(data_path("docker", "hapi", "jars.lock"))

    versions = {jar.artifact: jar.version for jar in (*elasticsearch, *hapi)}
    assert versions["elasticsearch"] == "9.2.0"
    assert versions["transport-netty4"] == "9.2.0"
    assert versions["hapi-fhir-jpaserver-base"] == "8.8.0"


def test_transport_module_and_server_share_no_jar() -> None:
    jars = read_lock(data_path("docker", "elasticsearch", "jars.lock"))

    transport = {jar.artifact for jar in jars if is_transport(jar)}
    server = {jar.artifact for jar in jars if not is_transport(jar)}
    assert "elasticsearch" in server
    assert {"transport-netty4", "netty-common", "elasticsearch-ssl-config"} <= transport
    assert not transport & server

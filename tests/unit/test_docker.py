"""The files under docker/ that no test can run: no container engine is needed to see what is wrong in them."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from app.limits import Limits
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
HAPI: dict[str, Any] = yaml.safe_load((DOCKER / "hapi.yaml").read_text())
CONDITIONS = {
    "unless-stopped": "service_healthy",
    "no": "service_completed_successfully",
}
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "entrypoint", "env_file", "environment", "healthcheck",
    "image", "init", "logging", "networks", "ports", "read_only", "restart", "security_opt", "shm_size",
    "stop_grace_period", "ulimits", "volumes",
}  # fmt: skip
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+[\w.-]*")
VARIABLE = re.compile(r"(?<!\$)\$(?:\{(\w+)(:\?)?[^}]*\}|(\w+))")


def example() -> dict[str, str]:
    lines = (DOCKER / "example.env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value.strip("'") for name, value in pairs}


def filled_in(text: str) -> str:
    """Return the text as compose would see it, with `x` for every value left to the operator."""
    return VARIABLE.sub(lambda match: example()[match[1]] or "x", text)


def instructions() -> Iterator[tuple[str, str]]:
    """Yield each instruction of the Dockerfile with its argument, continued lines joined."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, argument = line.split(maxsplit=1)
            yield name, argument


each_service = pytest.mark.parametrize("name", SERVICES)


@each_service
def test_a_service_has_known_keys_and_a_pinned_image(name: str) -> None:
    service = SERVICES[name]

    assert service.keys() <= SERVICE_KEYS
    assert PINNED.fullmatch(service["image"])
    assert "latest" not in service["image"]
    assert all(isinstance(value, str) for value in service.get("environment", {}).values())
    assert "no-new-privileges:true" in service["security_opt"]


@each_service
def test_a_service_that_stays_is_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    if service["restart"] == "no":  # it does its work once
        assert "healthcheck" not in service
        return

    assert service["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys()
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@each_service
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": CONDITIONS[SERVICES[needed]["restart"]]}


@each_service
def test_a_service_is_named_only_where_it_can_be_reached(name: str) -> None:
    """Every `http://name:port` or `//name:port` of its environment shares a network with it."""
    service = SERVICES[name]
    addresses = " ".join(service.get("environment", {}).values())
    for host in re.findall(r"//(?:[^/@\s]*@)?([\w-]+):\d+", filled_in(addresses)):
        if host != "localhost":
            assert set(SERVICES[host]["networks"]) & set(service["networks"]), host


def test_nobody_but_the_proxy_can_be_reached_from_outside() -> None:
    """COREGISTER_AUTH=none rests on this."""
    internal = {name for name, network in COMPOSE["networks"].items() if network.get("internal")}

    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in SERVICES.items() if set(service["networks"]) - internal] == [
        "proxy"
    ]
    assert all(port.startswith("${PUBLISH_ADDRESS:?}:") for port in SERVICES["proxy"]["ports"])
    assert example()["PUBLISH_ADDRESS"] == "127.0.0.1"


def test_every_variable_is_in_the_example_and_none_has_a_silent_default() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    code = "\n".join(line.split(" #")[0] for line in text.splitlines() if line.lstrip()[:1] != "#")
    found = VARIABLE.findall(code)

    assert {braced or bare for braced, _, bare in found} == example().keys()
    assert all(required for _, required, _ in found), "each is ${NAME:?}"


def test_the_example_has_no_secret_that_somebody_could_forget_to_change() -> None:
    secret = re.compile(r"PASSWORD|SECRET|KEY|HASH")

    assert {name for name in example() if secret.search(name)}
    assert all(not value for name, value in example().items() if secret.search(name))


def test_the_environment_of_coregister_is_what_it_understands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = SERVICES["coregister"]["environment"]
    known = {f"COREGISTER_{name.upper()}" for name in Settings.model_fields if name != "limits"}
    known |= {f"COREGISTER_LIMIT_{name.upper()}" for name in Limits.model_fields}
    ours = {name: filled_in(text) for name, text in environment.items() if name[:4] == "CORE"}
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = Settings()

    assert ours.keys() <= known
    assert settings.dicomweb_url == "http://localhost:8080/dicom-web"
    assert f"{settings.index_prefix}-*" in (DOCKER / "elasticsearch-account.sh").read_text()


def test_coregister_and_the_object_store_agree() -> None:
    client, server = SERVICES["coregister"]["environment"], SERVICES["objects"]["environment"]
    garage = tomllib.loads((DOCKER / "garage.toml").read_text())

    assert client["COREGISTER_BLOBS"] == f"s3://{server['GARAGE_DEFAULT_BUCKET']}"
    assert client["AWS_ACCESS_KEY_ID"] == server["GARAGE_DEFAULT_ACCESS_KEY"]
    assert client["AWS_SECRET_ACCESS_KEY"] == server["GARAGE_DEFAULT_SECRET_KEY"]
    assert client["AWS_REGION"] == garage["s3_api"]["s3_region"]
    port = garage["s3_api"]["api_bind_addr"].rpartition(":")[2]
    assert client["AWS_ENDPOINT"] == f"http://objects:{port}"
    assert garage["data_fsync"] is True, "acknowledged means durable"
    assert garage["metadata_fsync"] is True, "acknowledged means durable"


def test_the_fhir_server_keeps_its_data_in_the_database() -> None:
    """A stock image that finds no such settings runs on a database in memory."""
    fhir, database = SERVICES["fhir"]["environment"], SERVICES["database"]["environment"]
    source = HAPI["spring"]["datasource"]

    assert source["url"] == f"jdbc:postgresql://database:5432/{database['POSTGRES_DB']}"
    assert source["username"] == database["POSTGRES_USER"]
    assert fhir["POSTGRES_PASSWORD"] == database["POSTGRES_PASSWORD"]
    assert "Postgres" in HAPI["spring"]["jpa"]["properties"]["hibernate"]["dialect"]
    mounts = [volume.split(":") for volume in SERVICES["fhir"]["volumes"]]
    assert fhir["SPRING_CONFIG_ADDITIONAL_LOCATION"] in {
        f"file:{target}" for _, target, _ in mounts
    }
    placeholders = set(re.findall(r"\$\{(\w+)\}", (DOCKER / "hapi.yaml").read_text()))
    assert placeholders <= fhir.keys()


def test_the_fhir_server_is_the_one_that_the_tests_run_against_and_caches_no_search() -> None:
    tested = re.search(r"<hapi\.version>(.*)</", (DOCKER / "hapi" / "pom.xml").read_text())

    assert tested is not None
    assert SERVICES["fhir"]["image"].startswith(f"hapiproject/hapi:v{tested[1]}-")
    assert HAPI["hapi"]["fhir"]["reuse_cached_search_results_millis"] == 0


def test_the_fhir_server_offers_what_the_embedded_one_does() -> None:
    """The names are those of the image's own settings; the launcher uses the classes."""
    settings = HAPI["hapi"]["fhir"]
    launcher = (DOCKER / "hapi" / "HapiServer.java").read_text()
    merging = settings["custom-provider-classes"]

    assert f"import {merging};" in launcher
    assert settings["graphql_enabled"] is True
    assert settings["bulk_export_enabled"] is True
    assert settings["store_meta_source_information"] == "SOURCE_URI_AND_REQUEST_ID"
    subscription = settings["subscription"]
    assert subscription["resthook_enabled"] is subscription["immediately_queued"] is True
    assert f'"fhir.subscriptionPollMs", {subscription["polling_interval_ms"]})' in launcher


def test_only_the_pages_of_the_origin_may_read_from_the_fhir_server() -> None:
    settings = HAPI["hapi"]["fhir"]["cors"]

    assert settings == {"allow_Credentials": False, "allowed_origin": ["${PUBLIC_ORIGIN}"]}


def test_volumes_are_declared_used_and_mounted_files_exist() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", ())]
    sources = {mount.split(":")[0] for mount in mounts if ":" in mount}
    files = {source for source in sources if source.startswith(".")}

    assert all((DOCKER / file).is_file() for file in files)
    assert all(f"{file}:" in text and text.endswith(":ro") for file in files for text in mounts
               if text.startswith(file))  # fmt: skip
    assert sources - files == COMPOSE["volumes"].keys()


def test_the_proxy_asks_for_a_password_before_it_passes_anything_on() -> None:
    text = (DOCKER / "Caddyfile").read_text()
    site = text[text.index("{$SITE_ADDRESS}") :]

    assert set(re.findall(r"\{\$(\w+)\}", text)) == SERVICES["proxy"]["environment"].keys()
    assert "basic_auth" in site[: site.index("reverse_proxy")]
    for host in re.findall(r"reverse_proxy ([\w-]+):8080", site):
        assert set(SERVICES[host]["networks"]) & set(SERVICES["proxy"]["networks"])
    assert site.count("reverse_proxy") == site.count("header_up -Authorization") == 2


def test_the_image_is_of_this_version_and_built_from_this_folder() -> None:
    coregister = SERVICES["coregister"]

    assert coregister["image"] == f"coregister:{__version__}"
    assert (DOCKER / coregister["build"]["context"]).resolve() == ROOT
    assert (ROOT / coregister["build"]["dockerfile"]).is_file()


def test_the_image_is_made_of_pinned_parts() -> None:
    bases = [argument.split()[0] for name, argument in instructions() if name == "FROM"]
    installs = [
        command
        for name, argument in instructions() if name == "RUN"
        for command in argument.split("&&") if "pip install" in command
    ]  # fmt: skip

    assert all(PINNED.fullmatch(base) for base in bases)
    assert len(set(bases)) == 1, "what was built for one interpreter runs on the same"
    for command in installs:
        locked = {"--require-hashes", "requirements.lock"} <= set(shlex.split(command))
        assert locked or {"--no-deps", "--no-build-isolation"} <= set(shlex.split(command))
    assert any("--require-hashes" in command for command in installs)


def test_the_image_runs_the_server_without_privileges() -> None:
    last = {name: argument for name, argument in instructions()}  # noqa: C416  the last of each counts
    user, _, group = last["USER"].partition(":")

    assert int(user) > 0
    assert int(group) > 0
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["coregister"]', '["serve"]')
    assert "HEALTHCHECK" in last


def test_what_the_image_copies_is_there_and_reaches_the_build() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copies = [argument for name, argument in instructions() if name == "COPY"]
    sources = {
        source
        for argument in copies if not argument.startswith("--from")
        for source in argument.split()[:-1]
    }  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    included = {path.split("/")[0] for path in wheel["force-include"]}
    needed = {*wheel["packages"], *included, project["project"]["readme"]}

    assert all((ROOT / source).exists() for source in sources)
    assert sources == allowed
    assert needed <= sources
    assert any(fnmatch("docker/.env", line) for line in ignore), "secrets stay out of the image"
    assert "docker" not in wheel["force-include"], "and out of the wheel"

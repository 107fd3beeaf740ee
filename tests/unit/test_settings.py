"""Settings from an environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.errors import InvalidArgument
from tunesmith.settings import read_settings


def test_home_of_the_option_wins_over_the_environment(tmp_path: Path) -> None:
    environment = {"TUNESMITH_HOME": "/elsewhere"}
    assert read_settings(environment, tmp_path).home == tmp_path
    assert read_settings(environment).home == Path("/elsewhere")


@pytest.mark.parametrize("environment", [{}, {"TUNESMITH_HOME": ""}])
def test_home_is_in_the_users_home_without_any(environment: dict[str, str]) -> None:
    assert read_settings(environment).home == Path.home() / ".tunesmith"


def test_relative_home_does_not_move_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings({}, Path("here")).home == tmp_path / "here"


def test_tilde_is_the_users_home() -> None:
    assert read_settings({"TUNESMITH_HOME": "~/x"}).home == Path.home() / "x"


def test_everything_lies_below_the_home(tmp_path: Path) -> None:
    settings = read_settings({}, tmp_path)
    kept = [settings.database, settings.jobs, settings.models, settings.base_models]
    assert all(path.parent == tmp_path for path in kept)
    assert len(set(kept)) == len(kept)


def test_aliases_are_read() -> None:
    assert read_settings({"TUNESMITH_ALIASES": '{"code-bison": "qwen3-8b"}'}).aliases == {"code-bison": "qwen3-8b"}


@pytest.mark.parametrize("text", ["{", "[]", '{"code-bison": 1}', "null", ""])
def test_aliases_that_are_no_map_of_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="TUNESMITH_ALIASES"):
        read_settings({"TUNESMITH_ALIASES": text})


def test_git_hosts_keys_and_certificates_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    names = {"SSH_KEY": "git_ssh_key", "KNOWN_HOSTS": "git_known_hosts", "CERTIFICATES": "git_certificates"}
    environment = {f"TUNESMITH_GIT_{name}": str(tmp_path / "file") for name in names}
    settings = read_settings({**environment, "TUNESMITH_GIT_HOSTS": '["Git.Example.com", "10.0.0.7:8443"]'}, tmp_path)
    assert settings.git_hosts == ("git.example.com", "10.0.0.7:8443")
    assert {getattr(settings, field) for field in names.values()} == {tmp_path / "file"}
    nothing = read_settings(dict.fromkeys([*environment, "TUNESMITH_GIT_HOSTS"], ""), tmp_path)
    assert nothing.git_hosts == ()
    assert {getattr(nothing, field) for field in names.values()} == {None}


@pytest.mark.parametrize("text", ["git.example.com", "{}", "[1]", '["https://git.example.com"]', '["a/b"]', '[""]'])
def test_git_hosts_that_are_no_list_of_hosts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"TUNESMITH_GIT_HOSTS.*git\.example\.com"):
        read_settings({"TUNESMITH_GIT_HOSTS": text})


@pytest.mark.parametrize("name", ["SSH_KEY", "KNOWN_HOSTS", "CERTIFICATES"])
def test_a_file_for_git_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"TUNESMITH_GIT_{name}: .*is no file"):
        read_settings({f"TUNESMITH_GIT_{name}": str(tmp_path / "none")})

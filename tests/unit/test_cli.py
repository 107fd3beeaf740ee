"""The command line as far as it needs no model: flags from the spec, one JSON document, errors and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tunesmith import cli, flags
from tunesmith.errors import InvalidArgument, NotFound
from tunesmith.spec import TuningSpec
from tunesmith.store import open_store

OWN_OPTIONS = {"dry_run", "server", "key_file", "json_output", "home", "debug", "help"}


@pytest.fixture(autouse=True)
def _same_hook_afterwards() -> Iterator[None]:
    hook = sys.excepthook
    yield
    sys.excepthook = hook


def run(*words: str, home: Path, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.build_app(), [*words, "--home", str(home)], input=stdin)


def document(result: Result) -> Any:
    """The one JSON document on standard output."""
    return json.loads(result.stdout)


def tune_parameters() -> dict[str, Any]:
    command = typer.main.get_command(cli.build_app())
    return {parameter.name: parameter for parameter in command.commands["tune"].params}  # type: ignore[attr-defined]


def asked_of(*words: str) -> dict[str, Any]:
    """What `tune` was given, as its own function sees it."""
    seen: dict[str, Any] = {}

    def tune(session: cli.Session, **asked: Any) -> None:
        seen.update(asked)

    app = typer.Typer()
    app.command("tune")(cli._command(cli._with_spec_flags(tune)))
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["tune", *words])
    assert result.exit_code == 0, result.output
    return {name: value for name, value in seen.items() if value is not None}


def test_every_field_of_the_spec_is_a_flag_and_nothing_else_is() -> None:
    assert set(tune_parameters()) - OWN_OPTIONS == set(TuningSpec.model_fields)


@pytest.mark.parametrize("name", [name for name in TuningSpec.model_fields if name not in flags.ARGUMENTS])
def test_a_flags_help_is_the_fields_docstring_and_its_default(name: str) -> None:
    field = TuningSpec.model_fields[name]
    text = tune_parameters()[name].help
    assert text.startswith(field.description)
    if field.default not in (None, "", True, False):
        shown = text.removeprefix(field.description).strip()
        value = shown.removeprefix("[default: ").removesuffix("]")
        assert type(field.default)(value) == field.default


def test_only_what_the_caller_gave_reaches_the_spec() -> None:
    given = asked_of("a.jsonl", "--train-steps", "60", "--no-early-stopping", "--name", "mine")
    assert given == {"dataset": "a.jsonl", "train_steps": "60", "early_stopping": False, "display_name": "mine"}
    assert TuningSpec.parse(given).model_fields_set == set(given)


def test_the_name_of_the_tuned_model_is_given_with_name() -> None:
    assert tune_parameters()["display_name"].opts == ["--name"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--train-steps", "0"], "--train-steps"),
        (["--train-steps", "1.5"], "--train-steps"),
        (["--learning-rate-multiplier", "nan"], "--learning-rate-multiplier"),
        (["--tuning-method", "rlhf"], "--tuning-method"),  # S2
        (["--accelerator-type", "CPU"], "--accelerator-type"),
        (["--location", "us-centra1"], "--location"),  # T6
        (["--evaluation-interval", "10"], "--evaluation-interval"),  # S43: needs evaluation data
    ],
)
def test_a_wrong_value_is_refused_with_its_flag_and_exit_code_2(words: list[str], named: str, tmp_path: Path) -> None:
    result = run("tune", "a.jsonl", *words, home=tmp_path)
    assert result.exit_code == 2
    assert f"{named}: " in result.stderr
    assert result.stdout == ""


def test_all_wrong_values_are_listed_at_once(tmp_path: Path) -> None:
    result = run("tune", "a.jsonl", "--train-steps", "0", "--replay", "2", home=tmp_path)
    assert "--train-steps: " in result.stderr
    assert "--replay: " in result.stderr


def test_a_misspelt_base_model_names_the_nearest_one(tmp_path: Path) -> None:
    result = run("tune", "a.jsonl", "--base-model", "code-bisn@002", home=tmp_path)
    assert result.exit_code == 2
    assert "did you mean code-bison@002?" in result.stderr


def test_with_json_an_error_is_the_document(tmp_path: Path) -> None:
    result = run("jobs", "show", "no-such-job", "--json", home=tmp_path)
    assert result.exit_code == 2
    assert document(result)["error"]["status"] == "NOT_FOUND"
    assert "no-such-job" in document(result)["error"]["message"]


def test_an_error_of_ours_shows_no_traceback_unless_asked(tmp_path: Path) -> None:
    assert "Traceback" not in run("jobs", "show", "x", home=tmp_path).stderr
    assert "Traceback" in run("jobs", "show", "x", "--debug", home=tmp_path).stderr


def test_a_bug_is_one_line_and_its_traceback_is_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError as error:
        cli._report_bug(True, tmp_path, False, type(error), error, error.__traceback__)
    out, err = capsys.readouterr()
    [file] = (tmp_path / "bugs").iterdir()
    assert "Traceback" in file.read_text("utf-8")
    assert err.splitlines() == [f"error: {json.loads(out)['error']['message']}"]
    assert str(file) in err


def test_the_home_option_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "environment"))
    run("jobs", "list", home=tmp_path / "option")
    assert (tmp_path / "option").is_dir()
    assert not (tmp_path / "environment").exists()


def test_the_environments_home_is_used_without_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "environment"))
    result = CliRunner().invoke(cli.build_app(), ["jobs", "list", "--json"])
    assert document(result) == {"jobs": []}
    assert (tmp_path / "environment").is_dir()


def test_damaged_aliases_are_an_error_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_ALIASES", "{")
    result = run("models", "list", "--base", home=tmp_path)
    assert result.exit_code == 2
    assert "TUNESMITH_ALIASES" in result.stderr


def test_an_alias_of_the_environment_is_shown_by_models_list_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_ALIASES", json.dumps({"code-bison@002": "qwen3-0.6b"}))
    aliases = document(run("models", "list", "--base", "--json", home=tmp_path))["aliases"]
    assert aliases["code-bison@002"] == "qwen3-0.6b"
    assert aliases["codechat-bison@002"] == "smollm2-135m-instruct"


@pytest.mark.parametrize("words", [["jobs", "list"], ["models", "list"]])
def test_an_empty_home_says_how_to_begin(words: list[str], tmp_path: Path) -> None:
    assert "tunesmith tune" in run(*words, home=tmp_path).stdout


def test_a_queued_job_is_listed_shown_and_cancelled(tmp_path: Path) -> None:
    plan = cli._plan(session(tmp_path), {"dataset": "a.jsonl", "display_name": "mine"})
    job = open_store(session(tmp_path).settings).create_job(plan)
    [listed] = document(run("jobs", "list", "--json", home=tmp_path))["jobs"]
    shown = document(run("jobs", "show", job.id, "--json", home=tmp_path))
    assert listed == shown
    assert (shown["id"], shown["state"], shown["display_name"]) == (job.id, "QUEUED", "mine")
    assert document(run("jobs", "cancel", job.id, "--json", home=tmp_path))["state"] == "CANCELLED"


def test_a_cancelled_job_cannot_be_resumed(tmp_path: Path) -> None:
    plan = cli._plan(session(tmp_path), {"dataset": "a.jsonl"})
    job = open_store(session(tmp_path).settings).create_job(plan)
    run("jobs", "cancel", job.id, home=tmp_path)
    result = run("jobs", "resume", job.id, home=tmp_path)
    assert result.exit_code == 2
    assert "start a new job" in result.stderr


def test_a_dataset_path_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = cli._plan(session(tmp_path), {"dataset": "a.jsonl", "evaluation_data": "b.jsonl"})
    assert plan.spec.dataset == str(tmp_path / "a.jsonl")
    assert plan.spec.evaluation_data == str(tmp_path / "b.jsonl")


@pytest.mark.parametrize("name", ["code-bison@002", "hf:Org/Name", "gs://bucket/train.jsonl"])
def test_names_that_are_no_paths_stay_as_they_are(name: str) -> None:
    assert cli._absolute(name, is_model=True) == name


@dataclass(frozen=True)
class Registered:
    """As much of a registered model as a name needs."""

    name: str
    display_name: str


@dataclass(frozen=True)
class Registry:
    """As much of a store as a name needs."""

    found: tuple[Registered, ...]

    def models(self) -> tuple[Registered, ...]:
        return self.found


LIBRARY = Registered("projects/local/locations/us-central1/models/1001", "my library")
DIALECT = Registered("projects/local/locations/us-central1/models/1002", "my dialect")
LIBRARY_AGAIN = Registered("projects/local/locations/us-central1/models/1003", "my library")


@pytest.mark.parametrize("name", [LIBRARY.name, "1001", "my library"])
def test_a_tuned_model_is_found_by_resource_name_id_and_display_name(name: str) -> None:
    registry: Any = Registry((LIBRARY, DIALECT))
    assert cli._tuned(registry, name) == LIBRARY


def test_a_display_name_of_two_models_is_refused_with_their_ids() -> None:
    registry: Any = Registry((LIBRARY, DIALECT, LIBRARY_AGAIN))
    with pytest.raises(InvalidArgument, match="1001, 1003"):
        cli._tuned(registry, "my library")


def test_an_unknown_model_names_the_nearest() -> None:
    registry: Any = Registry((LIBRARY, DIALECT))
    with pytest.raises(NotFound, match="did you mean 'my dialect'"):
        cli._tuned(registry, "my dialct")


def test_an_unknown_export_format_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    result = run("models", "export", "1001", "--format", "onnx", "--output", str(tmp_path / "x"), home=tmp_path)
    assert result.exit_code == 2
    assert "peft, merged" in result.stderr


def test_standard_input_cannot_be_both_prefix_and_suffix(tmp_path: Path) -> None:
    result = run("predict", "m", "--prefix", "-", "--suffix", "-", home=tmp_path, stdin="x")
    assert result.exit_code == 2
    assert "--suffix" in result.stderr


def test_every_command_takes_json_home_and_debug() -> None:
    for words, command in commands():
        if not hasattr(command, "commands"):
            assert {"json_output", "home", "debug"} <= {p.name for p in command.params}, words


def test_every_command_and_option_has_a_help_text() -> None:
    for words, command in commands():
        assert command.help, words
        for parameter in command.params:
            assert parameter.help, f"{words} {parameter.name}"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command below `tunesmith`, with the words that call it."""
    waiting: list[tuple[str, Any]] = [("tunesmith", typer.main.get_command(cli.build_app()))]
    while waiting:
        words, command = waiting.pop()
        waiting += [(f"{words} {name}", inner) for name, inner in getattr(command, "commands", {}).items()]
        if words != "tunesmith":
            yield words, command


def session(home: Path) -> cli.Session:
    return cli.Session(cli.read_settings({}, home), json=False)


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(cli.build_app(), ["--version"])
    assert result.exit_code == 0
    assert result.stdout.strip() == cli.__version__

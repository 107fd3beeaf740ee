"""What commands say and how they end: texts, interrupts, conversations, what they load. Real processes, tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tiny_model import make_tiny_model

SOURCE = Path(__file__).parents[2] / "src"
RUN = "from tunesmith.cli import main; main()"
PATIENCE_S = 120.0

WORDS = ("add", "count", "divide", "filter", "fold", "join", "map", "multiply", "pad", "reverse", "sort", "split")


class House(NamedTuple):
    """A home, the tiny base model and a data set."""

    home: Path
    base: Path
    training: Path
    evaluation: Path


class Call(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """The one JSON document on standard output."""
        assert self.out, self.err
        return json.loads(self.out)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNESMITH_")}
    return {**kept, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def tunesmith(house: House, *words: str, stdin: str = "") -> Call:
    command = [sys.executable, "-c", RUN, *words, "--home", str(house.home)]
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env=environment(),
        cwd=house.home.parent,
        check=False,
    )
    return Call(done.returncode, done.stdout, done.stderr)


def write_rows(path: Path, count: int, offset: int = 0) -> Path:
    lines = []
    for number in range(offset, offset + count):
        name = f"{WORDS[number % len(WORDS)]}_{number}"
        row = {
            "input_text": f"Write the code in Python: a function {name} that adds {number} to its value.",
            "output_text": f"def {name}(value):\n    return value + {number}\n",
        }
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines), "utf-8")
    return path


def make_house(root: Path) -> House:
    base = make_tiny_model(root / "tiny")
    training = write_rows(root / "train.jsonl", 24)
    return House(root / "home", base, training, write_rows(root / "evaluation.jsonl", 12, offset=500))


def tune_words(house: House, *more: str) -> list[str]:
    return ["tune", str(house.training), "--base-model", str(house.base), "--replay", "0", *more]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return make_house(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def tuned(house: House) -> Call:
    """One finished job of 6 steps, asked for with --json."""
    evaluated = ["--evaluation-data", str(house.evaluation), "--evaluation-interval", "3"]
    return tunesmith(house, *tune_words(house, "--train-steps", "6", "--name", "tiny tuned", *evaluated, "--json"))


def test_tune_ends_with_a_registered_model_and_its_figures(tuned: Call) -> None:
    found = tuned.document()
    assert tuned.code == 0
    assert set(found) == {"job", "state", "model", "steps", "selected_step", "metrics", "folder"}
    assert (found["state"], found["steps"]) == ("SUCCEEDED", 6)
    assert found["model"].startswith("projects/local/locations/us-central1/models/")
    assert set(found["metrics"]) == {"base", "best", "last"}
    assert found["metrics"]["best"]["loss"] < found["metrics"]["base"]["loss"]


def test_tune_says_before_it_starts_what_it_will_do(house: House, tuned: Call) -> None:
    before = tuned.err.partition("\njob tune-")[0]
    for part in ("24 examples", "12 examples", "6 steps x 8 examples = 48 seen: 2 epochs", "lora: rank 16", "float32"):
        assert part in before
    assert str(house.base) in before


def test_tune_tells_every_evaluation_where_no_terminal_is(tuned: Call) -> None:
    for step in ("base model", "step 3", "step 6"):
        assert f"\n{step}: held-out loss " in tuned.err


def test_tune_leaves_the_report_in_the_jobs_folder(tuned: Call) -> None:
    folder = Path(tuned.document()["folder"]) / "report"
    assert sorted(path.name for path in folder.iterdir()) == ["curve.png", "curve.svg", "report.md"]
    assert tuned.document()["model"] in (folder / "report.md").read_text("utf-8")


def test_the_end_report_names_the_command_that_asks_the_model(house: House, tuned: Call) -> None:
    number = tuned.document()["model"].rpartition("/")[2]
    command = next(line for line in tuned.err.splitlines() if f"tunesmith predict {number}" in line)
    assert f"--home {house.home} --prefix " in command


def test_the_job_and_the_model_are_listed(house: House, tuned: Call) -> None:
    found = tuned.document()
    [job] = [job for job in tunesmith(house, "jobs", "list", "--json").document()["jobs"] if job["id"] == found["job"]]
    assert (job["state"], job["model"]) == ("SUCCEEDED", found["model"])
    assert {task["state"] for task in job["tasks"]} == {"SUCCEEDED"}
    [model] = tunesmith(house, "models", "list", "--json").document()["models"]
    assert (model["name"], model["display_name"], model["job"]) == (found["model"], "tiny tuned", found["job"])


def test_jobs_show_of_a_finished_job_shows_its_report_again(house: House, tuned: Call) -> None:
    shown = tunesmith(house, "jobs", "show", tuned.document()["job"])
    assert shown.code == 0
    assert "held-out loss" in shown.out
    assert "held-out example 3" in shown.out


def test_a_tuned_model_answers_by_id_and_by_display_name_alike(house: House, tuned: Call) -> None:
    number = tuned.document()["model"].rpartition("/")[2]
    prompt = "Write the code in Python: a function add_0 that adds 0 to its value."
    short = ["--max-output-tokens", "8", "--json"]
    by_id = tunesmith(house, "predict", number, "--prefix", "-", *short, stdin=prompt).document()
    by_name = tunesmith(house, "predict", "tiny tuned", "--prefix", prompt, *short).document()
    assert by_id == by_name
    assert by_id["model"] == tuned.document()["model"]
    assert set(by_id["predictions"][0]) == {"content"}


def test_a_base_model_answers_too_and_refuses_a_suffix_that_it_was_not_made_for(house: House) -> None:
    refused = tunesmith(house, "predict", str(house.base), "--prefix", "a", "--suffix", "b")
    assert refused.code == 2
    assert "fill in the middle" in refused.err
    plain = tunesmith(house, "predict", str(house.base), "--prefix", "a", "--max-output-tokens", "2", "--json")
    assert plain.document()["model"] == str(house.base)


def add_holes(path: Path, target: Path) -> Path:
    """The rows of the file, and of each a row that fills in the middle of its answer."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    holes = []
    for number, row in enumerate(rows):
        before, name, after = row["output_text"].partition("return value")
        order = ("psm", "spm")[number % 2]
        holes.append({"prefix": before, "middle": name, "suffix": after, "context": "# value: int\n", "order": order})
    target.write_text("".join(json.dumps(row) + "\n" for row in [*holes, *rows]), "utf-8")
    return target


def test_a_base_without_sentinels_refuses_holes_with_the_option_that_adds_them(house: House, tmp_path: Path) -> None:
    data = add_holes(house.training, tmp_path / "train.jsonl")
    refused = tunesmith(house, "tune", str(data), "--base-model", str(house.base), "--replay", "0")
    assert refused.code == 2
    assert "set fim_sentinels to add" in refused.err


def test_a_model_tuned_on_answers_and_holes_reports_both_and_fills_holes(house: House, tmp_path: Path) -> None:
    data = add_holes(house.training, tmp_path / "train.jsonl")
    held_out = add_holes(house.evaluation, tmp_path / "evaluation.jsonl")
    words = ["tune", str(data), "--base-model", str(house.base), "--evaluation-data", str(held_out), "--replay", "0"]
    call = tunesmith(house, *words, "--train-steps", "6", "--fim-sentinels", "add", "--name", "filler", "--json")
    found = call.document()
    assert found["state"] == "SUCCEEDED"
    for said in ("instruction rows: loss", "fim rows: loss", "fim rows: token accuracy", "fim rows: exact match"):
        assert said in call.err
    assert "fim rows: edit similarity (12 asked)" in (Path(found["folder"]) / "report" / "report.md").read_text("utf-8")
    model = tunesmith(house, "models", "show", "filler", "--json").document()
    assert model["base_model"] == f"{house.base}+fim"
    kinds = model["metrics"]["kinds"]
    assert {kind: (said["rows"], said["asked"]) for kind, said in kinds.items()} == {
        "instruction": (12, 12), "fim": (12, 12),
    }  # fmt: skip
    assert kinds["fim"]["tuned"].keys() == {"loss", "accuracy", "exact_match", "edit_similarity"}
    card = (Path(model["folder"]) / "README.md").read_text("utf-8")
    assert "| fim (12) | this model |" in card
    assert "base.resize_token_embeddings" in card
    hole = ["--prefix", "def f(value):\n    ", "--suffix", " + 1\n", "--max-output-tokens", "8"]
    assert tunesmith(house, "predict", "filler", *hole).code == 0


def test_chat_keeps_what_was_said_until_it_is_reset(house: House, tuned: Call) -> None:
    lines = "forgotten\n/reset\nfirst\nsecond\n/exit\nnever read\n"
    call = tunesmith(house, "chat", "tiny tuned", "--max-output-tokens", "4", "--json", stdin=lines)
    messages = call.document()["messages"]
    assert [message["author"] for message in messages] == ["user", "assistant", "user", "assistant"]
    assert [message["content"] for message in messages[::2]] == ["first", "second"]


def test_a_dry_run_gives_the_figures_and_makes_no_job(house: House, tmp_path: Path) -> None:
    other = house._replace(home=tmp_path / "home")
    found = tunesmith(other, *tune_words(house, "--train-steps", "15", "--dry-run", "--json")).document()
    assert (found["examples"], found["batch_size"], found["examples_seen"], found["epochs"]) == (24, 8, 120, 5.0)  # S54
    assert found["seconds"] > 0
    assert found["memory_bytes"] > 0
    assert tunesmith(other, "jobs", "list", "--json").document() == {"jobs": []}


def test_data_check_gives_lines_counted_from_one_and_exit_code_2(house: House, tmp_path: Path) -> None:
    lines = house.training.read_text("utf-8").splitlines(keepends=True)
    lines[4] = '{"input_text": "no answer"}\n'
    (tmp_path / "bad.jsonl").write_text("".join(lines), "utf-8")
    call = tunesmith(house, "data", "check", str(tmp_path / "bad.jsonl"), "--json")
    found = call.document()
    assert (call.code, found["valid"]) == (2, False)
    assert {f["line"] for f in found["findings"] if f["severity"] == "error"} == {5}
    assert set(found["findings"][0]) == {"line", "field", "code", "severity", "message", "remedy"}


def test_data_that_cannot_be_trained_on_make_no_job(house: House, tmp_path: Path) -> None:
    write_rows(tmp_path / "short.jsonl", 9)
    other = house._replace(home=tmp_path / "home", training=tmp_path / "short.jsonl")
    call = tunesmith(other, *tune_words(other))
    assert call.code == 2
    assert "9 examples" in call.err
    assert not (other.home / "jobs").exists()


def test_a_missing_file_is_named(house: House) -> None:
    call = tunesmith(house, "tune", "nowhere.jsonl", "--base-model", str(house.base))
    assert call.code == 2
    assert "nowhere.jsonl" in call.err
    assert "Traceback" not in call.err


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[Callable[..., Call]]:
    """Starts a command, waits until its job trains, interrupts it so many times, and gives how it ended."""
    started: list[subprocess.Popen[str]] = []

    def run(house: House, *words: str, times: int, from_step: int) -> Call:
        running = subprocess.Popen(
            [sys.executable, "-c", RUN, *words, "--home", str(house.home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
        )
        started.append(running)
        wait_for(lambda: furthest_step(house) > from_step, running)
        for _ in range(times):
            running.send_signal(signal.SIGINT)
            time.sleep(0.3)
        out, err = running.communicate(timeout=PATIENCE_S)
        return Call(running.returncode, out, err)

    yield run
    for process in started:
        process.kill()


def test_a_job_stopped_softly_and_then_hard_goes_on_and_has_every_step_once(
    tmp_path: Path, interrupted: Callable[..., Call]
) -> None:
    house = make_house(tmp_path)
    words = tune_words(house, "--train-steps", "240", "--checkpoint-interval", "10", "--json")
    soft = interrupted(house, *words, times=1, from_step=10)
    job = soft.document()["job"]
    assert (soft.code, soft.document()["state"]) == (3, "PAUSED")
    assert f"go on with: tunesmith jobs resume {job}" in soft.err
    saved = soft.document()["error"]["details"]["step"]
    assert saved >= 10
    hard = interrupted(house, "jobs", "resume", job, "--json", times=2, from_step=saved)
    assert (hard.code, hard.document()["state"]) == (3, "PAUSED")
    done = tunesmith(house, "jobs", "resume", job, "--json")
    assert (done.code, done.document()["state"], done.document()["steps"]) == (0, "SUCCEEDED", 240)
    assert steps_of(Path(done.document()["folder"])) == list(range(1, 241))
    assert len(tunesmith(house, "models", "list", "--json").document()["models"]) == 1


def test_help_loads_none_of_the_heavy_libraries() -> None:
    heavy = {"pydantic", "sqlalchemy", "numpy", "torch", "transformers", "rich", "matplotlib", "tokenizers"}
    assert loaded_by("--help") & heavy == set()


def test_a_data_check_loads_no_engine(house: House) -> None:
    assert loaded_by("data", "check", str(house.training), "--json") & {"torch", "transformers", "peft"} == set()


def loaded_by(*words: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    program = (
        "import sys\n"
        "from tunesmith.cli import main\n"
        f"try:\n    main({list(words)!r})\n"
        "except SystemExit:\n    pass\n"
        "sys.stderr.write('\\n'.join(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", env=environment(), check=True
    )
    return set(done.stderr.splitlines())


def furthest_step(house: House) -> int:
    """The furthest step that any attempt has written a metrics line of."""
    files = house.home.glob("jobs/*/tune/attempt-*/metrics.jsonl")
    return max((len(path.read_bytes().splitlines()) for path in files), default=0)


def steps_of(folder: Path) -> list[int]:
    """The training steps in the job's metrics, in the file's order."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [line["step"] for line in lines if "train_total_loss" in line]


def wait_for(condition: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline_s, "the job did not begin to train"
        time.sleep(0.02)

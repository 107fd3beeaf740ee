"""Continuous batching: what a row says does not depend on who is beside it, nor on when it came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_served import Answered, Home, make_home, question, run_until_ended, serve_all, submit
from tunesmith import errors
from tunesmith.engine import continuous
from tunesmith.engine.continuous import Done, Event, Failed, Finish, Limits, Piece
from tunesmith.engine.generate import Sampling
from tunesmith.engine.shelf import Shelf

TEXTS = (
    "count",
    "Write the code in Python: return the largest number of a list.",
    "import json\n\n\ndef load(path):\n    with open(path) as file:\n" * 3,
    "x = 1\ny = x + 1",
    "\u00e4\u4f60\U0001f600 " * 5,
    "class Stack:",
    "def f(",
)
WARM = Sampling(temperature=1.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def shelf(home: Home) -> Shelf:
    return home.shelf()


def test_greedy_answers_in_company_are_those_given_alone(home: Home, shelf: Shelf) -> None:
    lengths = [3 + 7 * i for i in range(len(TEXTS))]
    asks = [home.ask(text, max_output_tokens=n) for text, n in zip(TEXTS, lengths, strict=True)]
    answers = serve_all(home.batcher(shelf, rows=3), asks)
    alone = home.generator()
    for text, n, answered in zip(TEXTS, lengths, answers, strict=True):
        assert [answered.text()] == alone.answer([question(text)], max_output_tokens=n)


def test_a_prompt_of_several_pieces_answers_as_one_that_was_read_at_once(home: Home, shelf: Shelf) -> None:
    text = TEXTS[2] * 24
    ask = home.ask(text)
    assert len(ask.prompt) > 2 * continuous.PREFILL_TOKENS
    answers = serve_all(home.batcher(shelf), [home.ask(TEXTS[0], max_output_tokens=8), ask])
    assert [answers[1].text()] == home.generator().answer([question(text)], max_output_tokens=24)


def test_a_row_that_joins_a_running_batch_changes_nobody_s_answer(home: Home, shelf: Shelf) -> None:
    batcher = home.batcher(shelf)
    first, late = Answered(), Answered()
    pieces = []

    def join_after_three(event: Event) -> None:
        pieces.append(event)
        if len(pieces) == 3:
            submit(batcher, home.ask(TEXTS[2]), late)

    first.on_event = join_after_three
    submit(batcher, home.ask(TEXTS[1]), first)
    run_until_ended(batcher, [first, late])
    alone = home.generator().answer([question(TEXTS[1]), question(TEXTS[2])], max_output_tokens=24)
    assert [first.text(), late.text()] == alone


def test_sampled_answers_depend_on_the_seed_and_not_on_the_company(home: Home, shelf: Shelf) -> None:
    ask = home.ask(TEXTS[1], sampling=WARM, seed=7)
    (alone,) = serve_all(home.batcher(shelf), [ask])
    others = [home.ask(text, sampling=WARM, seed=seed) for seed, text in enumerate(TEXTS[2:5])]
    together = serve_all(home.batcher(shelf), [others[0], ask, *others[1:]])
    (otherwise,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], sampling=WARM, seed=8)])
    assert together[1].events == alone.events
    assert otherwise.text() != alone.text()


def test_candidates_differ_and_the_first_is_the_one_that_is_given_alone(home: Home, shelf: Shelf) -> None:
    (alone,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], sampling=WARM, seed=7)])
    (four,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], sampling=WARM, seed=7, candidates=4)])
    texts = [four.text(i) for i in range(4)]
    assert texts[0] == alone.text()
    assert len(set(texts)) == 4
    assert [type(event) for event in four.events].count(Finish) == 4
    assert four.events[-1] == Done(len(home.ask(TEXTS[1]).prompt))


def test_greedy_candidates_are_all_the_same(home: Home, shelf: Shelf) -> None:
    (answered,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], candidates=3)])
    assert answered.text(0) == answered.text(1) == answered.text(2) != ""


def test_a_row_ends_before_its_stop_text(home: Home, shelf: Shelf) -> None:
    (whole,) = home.generator().answer([question(TEXTS[1])], max_output_tokens=24)
    stop = (whole[6:8], "never there")
    answers = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], stop=stop), home.ask(TEXTS[2])])
    assert answers[0].text() == whole[: whole.index(stop[0])]
    assert answers[0].finish().reason == "stop"


def test_a_row_ends_at_the_end_of_the_turn_without_saying_it(home: Home, shelf: Shelf) -> None:
    # A token of the greedy answer that it has not had before becomes one that ends a turn.
    tokens = _greedy_tokens(home, shelf, 8)
    place = next(i for i in range(2, 8) if tokens[i] not in tokens[:i])
    renderer = _Ending(home.renderer, tokens[place])
    batcher = continuous.Batcher(shelf, renderer, 2048, Limits(rows=4))  # type: ignore[arg-type]
    (ended,) = serve_all(batcher, [home.ask(TEXTS[1])])
    assert ended.finish() == Finish(0, "stop", place)
    assert ended.text() == home.renderer.decode(tokens[:place])


def _greedy_tokens(home: Home, shelf: Shelf, count: int) -> list[int]:
    made: list[int] = []
    for _ in range(count):
        ids = torch.tensor([[*home.ask(TEXTS[1]).prompt, *made]])
        made.append(int(shelf.next_logits(["__base__"], input_ids=ids).argmax()))
    return made


class _Ending:
    def __init__(self, renderer: Any, token: int) -> None:
        self.decode = renderer.decode
        self.end_of_turn_ids = (token,)


def test_an_answer_ends_where_the_context_does(home: Home, shelf: Shelf) -> None:
    ask = home.ask(TEXTS[1], max_output_tokens=100)
    batcher = continuous.Batcher(shelf, home.renderer, len(ask.prompt) + 5, Limits(rows=4))
    (answered,) = serve_all(batcher, [ask])
    assert answered.finish() == Finish(0, "length", 5)


def test_rows_of_two_adapters_and_of_the_base_share_a_batch_and_say_what_each_says_alone(home: Home) -> None:
    models = [home.tuned(1), None, home.tuned(2), home.tuned(1)]
    asks = [home.ask(text, tuned) for text, tuned in zip(TEXTS, models, strict=False)]
    answers = serve_all(home.batcher(home.shelf()), asks)
    alone = [home.generator(t).answer([question(q)], max_output_tokens=24)[0] for q, t in zip(TEXTS, models)]
    assert [answered.text() for answered in answers] == alone
    same = serve_all(home.batcher(home.shelf()), [home.ask(TEXTS[0], t) for t in models[:3]])
    assert len({answered.text() for answered in same}) == 3


def test_an_adapter_that_had_to_leave_answers_the_same_when_it_is_back(home: Home) -> None:
    shelf = home.shelf(limit=1)
    said = {}
    for number in (1, 2, 1, 2):
        (answered,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], home.tuned(number))])
        assert shelf.names == (home.tuned(number).name,)
        assert said.setdefault(number, answered.text()) == answered.text()
    assert said[1] != said[2]
    (bare,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1])])
    assert [bare.text()] == home.generator().answer([question(TEXTS[1])], max_output_tokens=24)


def test_the_adapter_that_leaves_is_the_one_not_asked_for_longest_and_never_one_in_use(home: Home) -> None:
    shelf = home.shelf(limit=2)
    one, two, three = home.tuned(1), home.tuned(2), home.tuned(3)
    used = shelf.take(one)
    shelf.give_back(shelf.take(two))
    shelf.give_back(shelf.take(three))
    assert shelf.names == (one.name, three.name)
    kept = shelf.take(three)
    with pytest.raises(errors.ResourceExhausted, match="2 adapters"):
        shelf.take(two)
    shelf.give_back(used)
    shelf.give_back(kept)
    shelf.take(two)
    assert shelf.names == (three.name, two.name)


def test_an_adapter_may_call_its_base_by_another_name_than_its_folder(home: Home, tmp_path: Path) -> None:
    # Names are people's; hashes bind. PEFT would warn, and warnings are errors here.
    named = Home(tmp_path, home.base, home.prepared._replace(name="tiny"), home.renderer)
    shelf = named.shelf()
    (answered,) = serve_all(named.batcher(shelf), [named.ask(TEXTS[1], named.tuned(1))])
    assert answered.error is None


def test_a_finished_row_s_adapter_may_leave(home: Home) -> None:
    shelf = home.shelf(limit=2)
    asks = [home.ask(TEXTS[1], home.tuned(number)) for number in (1, 2, 3, 1)]
    answers = serve_all(home.batcher(shelf, rows=1), asks)
    assert [answered.error for answered in answers] == [None] * 4


def test_an_adapter_of_another_base_is_refused_and_the_others_go_on(home: Home, tmp_path: Path) -> None:
    stranger = make_home(tmp_path / "other", seed=1).tuned(1)
    answers = serve_all(home.batcher(home.shelf()), [home.ask(TEXTS[0], stranger), home.ask(TEXTS[1])])
    assert isinstance(answers[0].error, errors.FailedPrecondition)
    assert "was tuned on" in answers[0].error.message
    assert answers[1].error is None


def _damage_weights(adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def _unbind(adapter: Path) -> None:
    _reseal(adapter, lambda target: (target / "base.json").unlink())


def _make_dora(adapter: Path) -> None:
    said = (adapter / "adapter_config.json").read_text().replace('"use_dora": false', '"use_dora": true')
    _reseal(adapter, lambda target: (target / "adapter_config.json").write_text(said))


def _make_wide(adapter: Path) -> None:
    said = (adapter / "adapter_config.json").read_text().replace('"r": 16', '"r": 100000')
    _reseal(adapter, lambda target: (target / "adapter_config.json").write_text(said))


def _make_ill_fitting(adapter: Path) -> None:
    said = (adapter / "adapter_config.json").read_text().replace('"r": 16', '"r": 8')
    _reseal(adapter, lambda target: (target / "adapter_config.json").write_text(said))


def _reseal(adapter: Path, change: Callable[[Path], object]) -> None:
    import shutil

    from tunesmith import folder

    with folder.sealed(adapter.with_name("changed")) as temporary:
        for file in adapter.iterdir():
            if file.name != folder.MANIFEST:
                shutil.copy2(file, temporary / file.name)
        change(temporary)
    shutil.rmtree(adapter)
    adapter.with_name("changed").rename(adapter)


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (_damage_weights, errors.DataLoss, "not the file that was written"),
        (_unbind, errors.FailedPrecondition, "does not say which base"),
        (_make_dora, errors.FailedPrecondition, "only plain LoRA"),
        (_make_wide, errors.FailedPrecondition, "rank 100000"),
        (_make_ill_fitting, errors.DataLoss, "do not fit"),
        (lambda adapter: __import__("shutil").rmtree(adapter), errors.NotFound, "was the model deleted"),
    ],
)
@pytest.mark.parametrize("beside_another", [False, True])
def test_an_adapter_that_may_not_stand_here_is_refused_and_leaves_nothing(
    tmp_path: Path, damage: Callable[[Path], None], kind: type[Exception], message: str, beside_another: bool
) -> None:
    home = make_home(tmp_path)
    shelf = home.shelf()
    if beside_another:
        shelf.give_back(shelf.take(home.tuned(1)))
    tuned = home.tuned(5)
    damage(tuned.folder / "adapter")
    with pytest.raises(kind, match=message):
        shelf.take(tuned)
    assert tuned.name not in shelf.names
    good = home.tuned(6)
    (answered,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], good)])
    assert [answered.text()] == home.generator(good).answer([question(TEXTS[1])], max_output_tokens=24)


def test_a_model_made_again_under_its_old_name_is_read_again(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    shelf = home.shelf()
    tuned, other = home.tuned(1), home.tuned(2)
    (before,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], tuned)])
    tuned.folder.rename(tmp_path / "away")
    other.folder.rename(tuned.folder)
    (after,) = serve_all(home.batcher(shelf), [home.ask(TEXTS[1], tuned)])
    assert after.text() != before.text()


def test_a_fully_tuned_model_is_served_in_its_base_s_place(home: Home) -> None:
    whole = home.tuned(9, "full")
    shelf = home.shelf(weights=whole.folder / "model")
    answers = serve_all(home.batcher(shelf), [home.ask(TEXTS[1]), home.ask(TEXTS[1], whole)])
    alone = home.generator(whole).answer([question(TEXTS[1])], max_output_tokens=24)
    assert [answers[0].text()] == [answers[1].text()] == alone
    with pytest.raises(errors.FailedPrecondition, match="is not they"):
        shelf.take(home.tuned(1))
    with pytest.raises(errors.FailedPrecondition, match="a process of its own"):
        home.shelf().take(whole)


def test_one_request_more_than_may_wait_is_refused_with_the_numbers(home: Home, shelf: Shelf) -> None:
    batcher = home.batcher(shelf, rows=2, waiting=3)
    for _ in range(3):
        submit(batcher, home.ask(TEXTS[0]), Answered())
    with pytest.raises(errors.ResourceExhausted, match="3 requests wait for 2 rows"):
        submit(batcher, home.ask(TEXTS[0]), Answered())
    assert batcher.counts() == (0, 3)


def test_more_candidates_than_rows_are_refused(home: Home, shelf: Shelf) -> None:
    with pytest.raises(errors.InvalidArgument, match="at most 2"):
        submit(home.batcher(shelf, rows=2), home.ask(TEXTS[0], candidates=3), Answered())


def test_fewer_adapters_than_rows_are_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="at least rows"):
        Limits(rows=8, adapters=4).check()


def test_never_more_rows_than_allowed_and_candidates_wait_for_room_for_all(home: Home, shelf: Shelf) -> None:
    batcher = home.batcher(shelf, rows=3)
    seen = set()
    asked = [Answered(on_event=lambda event: seen.add(batcher.counts()[0])) for _ in range(5)]
    for i, answered in enumerate(asked):
        submit(batcher, home.ask(TEXTS[i], candidates=1 + i % 3, max_output_tokens=4 + i), answered)
    run_until_ended(batcher, asked)
    assert max(seen) == 3


def test_a_cancelled_row_leaves_before_the_next_step_and_its_neighbour_does_not_notice(
    home: Home, shelf: Shelf
) -> None:
    batcher = home.batcher(shelf)
    gone, stays, waiting = Answered(), Answered(), Answered()
    cancel = submit(batcher, home.ask(TEXTS[2], max_output_tokens=2000), gone)
    submit(batcher, home.ask(TEXTS[1]), stays)
    submit(batcher, home.ask(TEXTS[0]), waiting)()
    gone.on_event = lambda event: cancel()
    run_until_ended(batcher, [gone, stays, waiting])
    assert [type(event) for event in gone.events] == [Piece, Failed]
    assert isinstance(gone.error, errors.Cancelled)
    assert [type(event) for event in waiting.events] == [Failed]
    assert [stays.text()] == home.generator().answer([question(TEXTS[1])], max_output_tokens=24)


def test_who_has_not_ended_when_the_process_does_is_told(home: Home, shelf: Shelf) -> None:
    batcher = home.batcher(shelf, rows=1)
    running, waiting = Answered(), Answered()
    submit(batcher, home.ask(TEXTS[1], max_output_tokens=1000), running)
    submit(batcher, home.ask(TEXTS[1]), waiting)
    running.on_event = lambda event: batcher.close()
    batcher.run()
    assert isinstance(running.error, errors.Unavailable)
    assert isinstance(waiting.error, errors.Unavailable)
    assert batcher.counts() == (0, 0)
    with pytest.raises(errors.Unavailable):
        submit(batcher, home.ask(TEXTS[0]), Answered())


def test_what_was_taken_in_ends_after_no_more_is_taken(home: Home, shelf: Shelf) -> None:
    batcher = home.batcher(shelf, rows=1)
    asked = [Answered(), Answered()]
    for answered in asked:
        submit(batcher, home.ask(TEXTS[1]), answered)
    batcher.refuse_more()
    with pytest.raises(errors.Unavailable):
        submit(batcher, home.ask(TEXTS[0]), Answered())
    run_until_ended(batcher, asked)
    assert [answered.error for answered in asked] == [None, None]


def _fail_once(monkeypatch: pytest.MonkeyPatch, shelf: Shelf, error: Exception, rows: int) -> None:
    """The first call with that many rows fails."""
    whole = shelf.next_logits
    raised = []

    def failing(words: Any, **inputs: Any) -> torch.Tensor:
        if len(words) == rows and not raised:
            raised.append(error)
            raise error
        return whole(words, **inputs)

    monkeypatch.setattr(shelf, "next_logits", failing)


def test_rows_that_ran_out_of_memory_fail_and_the_next_are_served(
    home: Home, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_once(monkeypatch, shelf, torch.OutOfMemoryError("CUDA out of memory"), rows=2)
    answers = serve_all(home.batcher(shelf, rows=2), [home.ask(TEXTS[i]) for i in range(3)])
    assert isinstance(answers[0].error, errors.ResourceExhausted)
    assert "2 rows" in answers[0].error.message
    assert isinstance(answers[1].error, errors.ResourceExhausted)
    assert [answers[2].text()] == home.generator().answer([question(TEXTS[2])], max_output_tokens=24)


def test_a_mistake_of_ours_ends_the_run_and_is_told_to_all(
    home: Home, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_once(monkeypatch, shelf, ZeroDivisionError("ours"), rows=2)
    batcher = home.batcher(shelf)
    asked = [Answered() for _ in range(3)]
    for answered in asked:
        submit(batcher, home.ask(TEXTS[1]), answered)
    with pytest.raises(ZeroDivisionError):
        batcher.run()
    assert all(isinstance(answered.error, errors.Unavailable) for answered in asked)


def _make_numberless(adapter: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    broken = {name: torch.full_like(tensor, torch.nan) for name, tensor in weights.items()}
    _reseal(adapter, lambda target: save_file(broken, target / "adapter_model.safetensors"))


@pytest.mark.parametrize("sampling", [WARM, Sampling(temperature=0.0)])
def test_a_model_that_makes_no_numbers_fails_alone(tmp_path: Path, sampling: Sampling) -> None:
    home = make_home(tmp_path)
    broken = home.tuned(5)
    _make_numberless(broken.folder / "adapter")
    asks = [home.ask(TEXTS[0]), home.ask(TEXTS[1], tuned=broken, sampling=sampling, candidates=2), home.ask(TEXTS[3])]
    answers = serve_all(home.batcher(home.shelf()), asks)
    ended = answers[1].events[-1]
    assert isinstance(ended, Failed), ended
    assert isinstance(ended.error, errors.FailedPrecondition)
    alone = home.generator()
    for text, answered in ((TEXTS[0], answers[0]), (TEXTS[3], answers[2])):
        assert [answered.text()] == alone.answer([question(text)], max_output_tokens=24)


def test_rows_that_run_out_of_memory_as_one_joins_fail_and_the_next_are_served(
    home: Home, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = home.batcher(shelf, rows=2)
    cache, calls = type(batcher._cache), []
    whole = cache.join

    def failing(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("made up")
        whole(*arguments)

    monkeypatch.setattr(cache, "join", failing)
    answers = serve_all(batcher, [home.ask(TEXTS[i]) for i in range(3)])
    assert [isinstance(answer.error, errors.ResourceExhausted) for answer in answers] == [True, True, False]
    assert [answers[2].text()] == home.generator().answer([question(TEXTS[2])], max_output_tokens=24)

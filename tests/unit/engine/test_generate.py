"""How a token is drawn, and what of an answer may be sent while it is being made."""

from __future__ import annotations

import pytest
import torch

from tunesmith.engine.generate import Answer, Sampling, choose


class Bytes:
    """A renderer whose tokens are bytes."""

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", "replace")


def pieces(text: str, *stop: str) -> list[str]:
    """What is sent after each byte of the text, and at the end."""
    answer = Answer(Bytes(), stop)  # type: ignore[arg-type]
    sent = []
    for token in text.encode():
        answer.add(token)
        sent.append(answer.piece())
        if answer.stopped:
            break
    return [*sent, answer.rest()]


def test_no_piece_ends_inside_a_character() -> None:
    sent = pieces("a\u00e4\U0001f600b")
    assert sent == ["a", "", "\u00e4", "", "", "", "\U0001f600", "b", ""]


def test_no_piece_ends_inside_what_may_become_a_stop_text() -> None:
    assert pieces("xENy", "END") == ["x", "", "", "ENy", ""]
    assert pieces("xENDy", "END") == ["x", "", "", "", ""]


def test_what_looked_like_a_stop_text_is_sent_at_the_end() -> None:
    assert pieces("xEN", "END") == ["x", "", "", "EN"]


def test_the_first_stop_text_ends_the_answer_whatever_their_order() -> None:
    assert "".join(pieces("one two three", "three", "two")) == "one "


def test_half_a_character_at_the_end_is_said_to_be_one() -> None:
    answer = Answer(Bytes(), ())  # type: ignore[arg-type]
    for token in "a\u00e4".encode()[:2]:
        answer.add(token)
    assert (answer.piece(), answer.rest()) == ("a", "\ufffd")


def drawn(probabilities: list[float], sampling: Sampling, draws: int = 400) -> set[int]:
    logits = torch.tensor(probabilities).log()
    random = torch.Generator().manual_seed(0)
    return set(choose(logits.expand(draws, -1), sampling, random).tolist())


def test_greedy_takes_the_most_likely() -> None:
    assert drawn([0.2, 0.5, 0.3], Sampling(0.0)) == {1}


def test_top_k_leaves_the_k_most_likely() -> None:
    assert drawn([0.2, 0.4, 0.1, 0.3], Sampling(1.0, top_k=2)) == {1, 3}
    assert drawn([0.2, 0.4, 0.1, 0.3], Sampling(1.0, top_k=100)) == {0, 1, 2, 3}


@pytest.mark.parametrize(("top_p", "left"), [(0.3, {1}), (0.45, {1, 3}), (0.75, {0, 1, 3}), (0.99, {0, 1, 2, 3})])
def test_top_p_leaves_the_fewest_that_have_that_probability(top_p: float, left: set[int]) -> None:
    assert drawn([0.2, 0.4, 0.1, 0.3], Sampling(1.0, top_p=top_p)) == left


def test_top_p_is_of_what_top_k_leaves() -> None:
    assert drawn([0.2, 0.4, 0.1, 0.3], Sampling(1.0, top_k=2, top_p=0.5)) == {1}


def test_a_nucleus_wider_than_usual_is_found() -> None:
    flat = [1.0] * 4000 + [1e-6] * 4000
    assert max(drawn(flat, Sampling(1.0, top_p=0.99), draws=2000)) < 4000


def test_a_temperature_next_to_zero_is_greedy_and_a_number() -> None:
    assert drawn([0.2, 0.5, 0.3], Sampling(1e-300)) == {1}


def test_warmth_flattens() -> None:
    assert drawn([1e-4, 1 - 1e-4], Sampling(0.2)) == {1}
    assert drawn([1e-4, 1 - 1e-4], Sampling(2.0), draws=2000) == {0, 1}

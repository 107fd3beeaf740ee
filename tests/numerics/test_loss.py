"""Our head and cross-entropy against torch's own, value and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tunesmith.engine.loss import CHUNK_ROWS, target_loss

ROWS, WIDTH, VOCABULARY = CHUNK_ROWS + 37, 24, 61


def _inputs(bias: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(ROWS, WIDTH, generator=generator, requires_grad=True)
    head = torch.randn(VOCABULARY, WIDTH, generator=generator, requires_grad=True)
    offset = torch.randn(VOCABULARY, generator=generator, requires_grad=True) if bias else None
    return hidden, head, offset, torch.randint(VOCABULARY, (ROWS,), generator=generator)


@pytest.mark.parametrize(("bias", "scale", "softcap"), [(False, 1.0, None), (True, 0.3, None), (True, 1.0, 5.0)])
def test_equals_cross_entropy_in_value_and_gradients(bias: bool, scale: float, softcap: float | None) -> None:
    hidden, head, offset, targets = _inputs(bias)
    leaves = [t for t in (hidden, head, offset) if t is not None]
    logits = F.linear(hidden, head, offset) * scale
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    want = F.cross_entropy(logits, targets, reduction="sum")
    want_gradients = torch.autograd.grad(want / 7, leaves)
    got = target_loss(hidden, head, offset, targets, logit_scale=scale, softcap=softcap)
    got_gradients = torch.autograd.grad(got.nll_sum / 7, leaves)
    torch.testing.assert_close(got.nll_sum, want, rtol=1e-6, atol=0)
    torch.testing.assert_close(got.nll_N, F.cross_entropy(logits, targets, reduction="none"), rtol=1e-5, atol=1e-5)
    assert torch.equal(got.correct_N, logits.argmax(-1) == targets)
    for mine, theirs in zip(got_gradients, want_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, head, _, targets = _inputs(False)
    target_loss(hidden, head.detach(), None, targets).nll_sum.backward()
    assert hidden.grad is not None
    assert head.grad is None


def test_huge_logits_stay_finite() -> None:
    hidden = torch.full((2, 1), 1e4, requires_grad=True)
    head = torch.tensor([[1.0], [-1.0]])
    loss = target_loss(hidden, head, None, torch.tensor([0, 1]))
    loss.nll_sum.backward()
    assert loss.nll_N.tolist() == [0.0, 2e4]
    assert bool(torch.isfinite(hidden.grad).all())

"""Head and cross-entropy on target rows only, in chunks, as sums. The caller divides.

Most rows of a micro-batch are prompt; scoring them is half of the head's work and all of its memory. Only rows
whose next token is a target come here, and their logits exist for one chunk at a time: the gradient with respect to
the hidden rows (and the head, when it is tuned) is formed in the forward pass, as it needs nothing from above but
a scalar factor.

Loss = sum over targets of the global batch of -log p(target) / number of targets of the global batch, in nats.

Shapes: N target rows, D hidden width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

# 256 x 49,152 logits in float32 are 50 MB: large enough for a full-speed product, small beside the activations.
CHUNK_ROWS = 256


class TargetLoss(NamedTuple):
    """Of N targets: the differentiable sum, and per row what the sum is made of."""

    nll_sum: torch.Tensor
    """Scalar, float32."""
    nll_N: torch.Tensor
    """-log p of each target, float32, detached."""
    correct_N: torch.Tensor
    """Whether the most likely token is the target, bool."""


def target_loss(
    hidden_ND: torch.Tensor,
    head_VD: torch.Tensor,
    bias_V: torch.Tensor | None,
    targets_N: torch.Tensor,
    *,
    logit_scale: float = 1.0,
    softcap: float | None = None,
) -> TargetLoss:
    """Sum of negative log-likelihoods of the targets under head(hidden), with what it is made of.

    logit_scale  multiplies the logits (Granite, Cohere); softcap: Gemma-2's softcap * tanh(logits / softcap).
    The caller has selected the rows: every one of the N counts.
    """
    values = _HeadAndCrossEntropy.apply(hidden_ND, head_VD, bias_V, targets_N, logit_scale, softcap)  # type: ignore[no-untyped-call]
    return TargetLoss(*values)


class _HeadAndCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: torch.Tensor,
        head_VD: torch.Tensor,
        bias_V: torch.Tensor | None,
        targets_N: torch.Tensor,
        logit_scale: float,
        softcap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        need_hidden, need_head, need_bias = ctx.needs_input_grad[:3]
        nll_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        correct_N = torch.empty(len(targets_N), dtype=torch.bool, device=hidden_ND.device)
        grad_hidden = torch.empty_like(hidden_ND) if need_hidden else None
        grad_head = torch.zeros_like(head_VD, dtype=torch.float32) if need_head else None
        grad_bias = torch.zeros_like(bias_V, dtype=torch.float32) if need_bias and bias_V is not None else None
        for start in range(0, len(targets_N), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            x_CD, target_C1 = hidden_ND[rows], targets_N[rows, None]
            logits_CV, slope = _logits(x_CD, head_VD, bias_V, logit_scale, softcap)
            most_C1, predicted_C1 = logits_CV.max(-1, keepdim=True)
            target_logit_C1 = logits_CV.gather(1, target_C1)
            exp_CV = logits_CV.sub_(most_C1).exp_()
            sum_C1 = exp_CV.sum(-1, keepdim=True)
            nll_N[rows] = (most_C1 + sum_C1.log() - target_logit_C1)[:, 0]
            correct_N[rows] = (predicted_C1 == target_C1)[:, 0]
            if not (need_hidden or need_head or need_bias):
                continue
            grad_CV = exp_CV.div_(sum_C1)  # softmax; minus one at the target is d nll / d logits
            grad_CV.scatter_add_(1, target_C1, grad_CV.new_full(target_C1.shape, -1.0))
            if slope is not None:
                grad_CV.mul_(slope)
            if logit_scale != 1.0:
                grad_CV.mul_(logit_scale)
            grad_CV = grad_CV.to(head_VD.dtype)
            if grad_hidden is not None:
                torch.mm(grad_CV, head_VD, out=grad_hidden[rows])
            if grad_head is not None:
                grad_head += grad_CV.t() @ x_CD
            if grad_bias is not None:
                grad_bias += grad_CV.sum(0)
        ctx.save_for_backward(grad_hidden, grad_head, grad_bias)
        ctx.dtypes = (head_VD.dtype, None if bias_V is None else bias_V.dtype)
        ctx.mark_non_differentiable(nll_N, correct_N)
        # float64 for the sum of up to millions of terms; the result is a float32 like any loss
        return nll_N.double().sum().float(), nll_N, correct_N

    @staticmethod
    def backward(ctx: Any, grad_sum: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_head, grad_bias = ctx.saved_tensors
        head_dtype, bias_dtype = ctx.dtypes
        return (
            None if grad_hidden is None else grad_hidden * grad_sum.to(grad_hidden.dtype),
            None if grad_head is None else (grad_head * grad_sum).to(head_dtype),
            None if grad_bias is None else (grad_bias * grad_sum).to(bias_dtype),
            None,
            None,
            None,
        )


def _logits(
    x_CD: torch.Tensor, head_VD: torch.Tensor, bias_V: torch.Tensor | None, scale: float, softcap: float | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Logits [C, V] in float32, and d logits / d (scaled product) where a softcap bends them."""
    logits = torch.mm(x_CD, head_VD.t())
    if bias_V is not None:
        logits += bias_V
    logits = logits.float()
    if scale != 1.0:
        logits *= scale
    if softcap is None:
        return logits, None
    bent = torch.tanh(logits / softcap)
    return bent * softcap, 1 - bent.square()

"""What a job will cost on this machine: two timed matrix products, and the arithmetic of cost.py. Loads no weights."""

from __future__ import annotations

from pathlib import Path

import torch

from tunesmith import cost
from tunesmith.cost import Estimate, Machine, Survey
from tunesmith.engine.device import Device, Precision, probe
from tunesmith.engine.memory import host_bytes
from tunesmith.spec import TuningPlan


def estimate(plan: TuningPlan, base_folder: Path, survey: Survey) -> Estimate:
    """Time and memory of the whole job. Times are wall seconds on this machine while nothing else runs on it."""
    return cost.estimate(plan, cost.read_dimensions(base_folder), survey, machine(plan.spec.precision))


def machine(precision: Precision = "auto") -> Machine:
    """What a job of that precision runs on here, measured now."""
    return machine_of(probe(precision))


def machine_of(device: Device) -> Machine:
    """The device as cost.py reckons with it."""
    if device.is_cuda:
        memory_bytes = int(torch.cuda.get_device_properties(device.torch_device).total_memory)
    else:
        memory_bytes = host_bytes()
    return Machine(
        name=device.name,
        dtype="bfloat16" if device.dtype == torch.bfloat16 else "float32",
        is_cuda=device.is_cuda,
        peak_flops=device.peak_flops,
        bfloat16_gain=device.bfloat16_gain,
        memory_bytes=memory_bytes,
    )

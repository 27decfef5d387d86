"""What a time depends on: the device, and how fast its clock was."""

import statistics
from pathlib import Path

import torch

from prune.store.environment import BF16, cpu_model, vectors


def device_name(device: torch.device) -> str:
    """The name its maker gave it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_model() or device.type


def best_device() -> torch.device:
    """The GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def emulates_bf16() -> bool:
    """Whether bf16 is computed in software here: many times slower than fp32."""
    found = vectors()
    return not torch.cuda.is_available() and found is not None and found not in BF16


def clock_mhz(device: torch.device) -> float:
    """Of the device now, the mean of its cores; 0 where nothing says so."""
    if device.type == "cuda":
        try:
            return float(torch.cuda.clock_rate(device))
        except (RuntimeError, ModuleNotFoundError):  # without NVIDIA's management library
            return 0.0
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return 0.0
    clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return round(statistics.fmean(clocks), 1) if clocks else 0.0

"""Where a job goes: a free slot, and on a machine with accelerators one with the memory it needs.

Without devices a slot is a share of the processor. With devices, several jobs share one as long as
their memory fits; a job whose need is not known yet has a device to itself, and so has one that
must be alone.
"""

from dataclasses import dataclass, replace
from typing import final

RESERVE = 0.05  # of a device's memory: fragments, and what the driver takes


@dataclass(frozen=True)
class Device:
    """An accelerator, or a MIG slice of one. `id` is what CUDA_VISIBLE_DEVICES gets."""

    id: str
    memory_mb: float


@dataclass(frozen=True)
class Held:
    device: Device | None
    memory_mb: float | None  # None: all of it
    alone: bool = False


@final
class Slots:
    """At most `count` jobs at once."""

    def __init__(self, count: int, devices: list[Device] | None = None) -> None:
        self.count, self.devices = count, devices or []
        self.held: dict[int, Held] = {}

    def fits(self, memory_mb: float | None, alone: bool = False) -> bool:
        return self._choose(memory_mb, alone) is not None

    def take(self, memory_mb: float | None, alone: bool = False) -> tuple[int, Device | None]:
        """A slot and its device (None: the processor). Only if it fits."""
        held = self._choose(memory_mb, alone)
        assert held is not None, "asked for a slot where there is none"
        return self._hold(held), held.device

    def adopt(self, device_id: str = "") -> int:
        """A slot for a job that runs already, on this device; there may be more than `count`."""
        known = {device.id: device for device in self.devices}
        return self._hold(Held(known.get(device_id), None))

    def learn(self, slot: int, memory_mb: float) -> None:
        """What a job that had a device to itself really needs."""
        held = self.held[slot]
        if held.device and not held.alone and held.memory_mb is None:
            self.held[slot] = replace(held, memory_mb=memory_mb)

    def release(self, slot: int) -> None:
        del self.held[slot]

    def free_mb(self, device: Device) -> float:
        """What is left of it for a job whose need is known; 0 if a job has it to itself."""
        here = [held.memory_mb for held in self.held.values() if held.device == device]
        used = sum(device.memory_mb if mb is None else mb for mb in here)
        return max(0.0, device.memory_mb * (1 - RESERVE) - used)

    def _hold(self, held: Held) -> int:
        slot = min(set(range(len(self.held) + 1)) - set(self.held))
        self.held[slot] = held
        return slot

    def _choose(self, memory_mb: float | None, alone: bool) -> Held | None:
        if len(self.held) >= self.count:
            return None
        if not self.devices:
            shared = any(held.alone for held in self.held.values())
            return None if shared or (alone and self.held) else Held(None, None, alone)
        largest = max(device.memory_mb for device in self.devices) * (1 - RESERVE)
        if alone or memory_mb is None or memory_mb > largest:
            taken = {held.device for held in self.held.values()}
            empty = next((device for device in self.devices if device not in taken), None)
            return Held(empty, None, alone) if empty else None
        roomy = max(self.devices, key=self.free_mb)
        return Held(roomy, memory_mb) if self.free_mb(roomy) >= memory_mb else None

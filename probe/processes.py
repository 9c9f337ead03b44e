"""The processes that train together, as a launcher started them; mostly one."""

from __future__ import annotations

from typing import Any


def processes(device: str | None) -> Any:
    """Accelerate's state, set up for the device that is trained on.

    The first call in a process decides: without a GPU, it must know so to see the
    others.

    Args:
        device: As `checkpoints.place`.

    Raises:
        ConfigError: There is no such device.
    """
    from accelerate import PartialState

    from probe.models import checkpoints

    on_cpu = checkpoints.place(device, "float32").device.type == "cpu"
    # Given only where true: what was set up may not be contradicted.
    return PartialState(cpu=True) if on_cpu else PartialState()

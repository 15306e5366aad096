"""Devices that a step can be compiled for without having them, with their data sheets' figures."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from gdmethods._engine.hyperparameters import choice


@dataclasses.dataclass(frozen=True)
class TPU:
    """A chip of a slice.

    Attributes:
      name: the compiler's name.
      slices: by its number of chips, each slice as the compiler writes it.
    """

    name: str
    slices: Mapping[int, str]

    platform = "tpu"

    def topology(self, devices: int) -> dict[str, Any]:
        """The arguments of `jax.experimental.topologies.get_topology_desc`."""
        chips = min((n for n in self.slices if n >= devices), default=None)
        if chips is None:
            raise ValueError(
                f"sharding has a mesh of {devices} devices, and the largest slice of {self.name} "
                f"that step_bytes knows has {max(self.slices)}."
            )
        return {"topology_name": f"{self.name}:{self.slices[chips]}"}


@dataclasses.dataclass(frozen=True)
class GPU:
    """A GPU, at most eight in a host; the figures are from its data sheet.

    Attributes:
      name: NVIDIA's name.
      capability: major and minor.
      multiprocessors, lanes: how many, and how many float32 operations each
        does in a clock.
      clock: in GHz.
      bandwidth: of the device's memory, in bytes a second.
      memory, cache: bytes of the device's memory, and of its L2 cache.
      shared: bytes of shared memory in a multiprocessor.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    lanes: int
    clock: float
    bandwidth: float
    memory: int
    cache: int
    shared: int

    platform = "cuda"

    def topology(self, devices: int) -> dict[str, Any]:
        """The arguments of `jax.experimental.topologies.get_topology_desc`."""
        hosts = math.ceil(devices / 8)
        return {
            "topology_name": self.name,
            "topology": f"1x{hosts}x{min(devices, 8)}",
            "target_config": self._config(),
        }

    def _config(self) -> str:
        """XLA's GpuTargetConfigProto; the plain numbers are the same for all of these GPUs."""
        major, minor = self.capability
        return f"""
            gpu_device_info {{
              threads_per_block_limit: 1024
              threads_per_warp: 32
              threads_per_core_limit: 2048
              registers_per_block_limit: 65536
              registers_per_core_limit: 65536
              block_dim_limit_x: 2147483647
              block_dim_limit_y: 65535
              block_dim_limit_z: 65535
              shared_memory_per_block: 49152
              shared_memory_per_block_optin: {self.shared - 1024}
              shared_memory_per_core: {self.shared}
              core_count: {self.multiprocessors}
              fpus_per_core: {self.lanes}
              clock_rate_ghz: {self.clock}
              memory_bandwidth: {self.bandwidth:.0f}
              device_memory_size: {self.memory}
              l2_cache_size: {self.cache}
              cuda_compute_capability {{ major: {major} minor: {minor} }}
            }}
            platform_name: "CUDA"
            dnn_version_info {{ major: 9 minor: 8 patch: 0 }}
            device_description_str: "{self.name}"
        """


_FLAT = {
    4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16",
}  # fmt: skip
_SOLID = {
    4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8",
    512: "8x8x8",
}  # fmt: skip
_KB, _MB, _GB = 2**10, 2**20, 2**30

DEVICES: Mapping[str, TPU | GPU] = {
    "v5e": TPU("v5e", _FLAT),
    "v5p": TPU("v5p", _SOLID),
    "v6e": TPU("v6e", _FLAT),
    "a100": GPU("NVIDIA A100", (8, 0), 108, 64, 1.41, 2.039e12, 80 * _GB, 40 * _MB, 164 * _KB),
    "h100": GPU("NVIDIA H100", (9, 0), 132, 128, 1.98, 3.352e12, 80 * _GB, 50 * _MB, 228 * _KB),
    "h200": GPU("NVIDIA H200", (9, 0), 132, 128, 1.98, 4.8e12, 141 * _GB, 50 * _MB, 228 * _KB),
}


def device_of(name: str) -> TPU | GPU:
    """The device of this name; raises an error for an unknown name."""
    return DEVICES[choice("device", name, tuple(DEVICES))]

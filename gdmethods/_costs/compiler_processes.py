"""The compilers of devices that are not here, each in a process that stays for the next step.

Each has its own process, because JAX finds its devices once in a process, from environment
variables. The caller's environment does not change.
"""

import atexit
import contextlib
import functools
import importlib.metadata
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import jax

from gdmethods._costs.compile_step import Program

_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    # libtpu needs a slice to run on; each step has the slice that it is compiled for.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_PIECES = {
    "tpu": ("tpu", ["libtpu", "flatbuffers"]),
    "cuda": (
        "cuda13-local",
        ["jax-cuda13-plugin", "jax-cuda13-pjrt", "nvidia-cuda-nvcc", "nvidia-nvvm", "flatbuffers"],
    ),
}
"""For each platform: the extra of JAX that pins its compiler, and all packages that it needs."""


@functools.cache
def compiler(platform: str, device: str) -> "_Compiler":
    """The compiler for a device, started at the first call.

    Raises:
      ImportError: it is not installed, or does not fit this JAX.
    """
    _require(platform)
    return _Compiler(device)


class _Compiler:
    def __init__(self, device: str) -> None:
        self._device, self._lock = device, threading.Lock()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the process
        program = Path(__file__).with_name("compile_step.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | _ENVIRONMENT,
        )
        atexit.register(self._end)

    def __call__(self, **request: Any) -> Program:
        """The program that `compile_step` returns for a request, in that process."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            with self._lock:
                pickle.dump(request, stdin)
                stdin.flush()
                complaint, *answer = pickle.load(stdout)
        except (EOFError, OSError):
            self._end()
            compiler.cache_clear()
            self._log.seek(0)
            complaint = "it ended: " + self._log.read()[-2000:].strip()
        if complaint:
            raise RuntimeError(f"The compiler for {self._device} failed: {complaint}")
        return answer[0], answer[1]

    def _end(self) -> None:
        atexit.unregister(self._end)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # of a request that it did not read
                    pipe.close()  # ends the process
        self._process.wait()


def _require(platform: str) -> None:
    extra, pieces = _PIECES[platform]
    missing = [piece for piece in pieces if _version(piece) is None]
    if missing:
        raise ImportError(
            f"To compile for {platform}, {', '.join(missing)} must be installed beside jax "
            f'{jax.__version__}: pip install "jax[{extra}]=={jax.__version__}" '
            f"{' '.join(piece for piece in pieces if piece not in _pinned(extra))}. The extra "
            "accelerators of gdmethods installs the compilers of all devices."
        )
    for piece, wanted in _pinned(extra).items():
        if not str(_version(piece)).startswith(wanted):
            raise ImportError(
                f"{piece} {_version(piece)} does not fit jax {jax.__version__}, which needs "
                f'{wanted}: pip install "jax[{extra}]=={jax.__version__}".'
            )


def _pinned(extra: str) -> dict[str, str]:
    """The compiler that an extra of this JAX requires, and how its version begins."""
    requirements = importlib.metadata.requires("jax") or []
    pins = (
        re.match(rf"([\w-]+)(?:==|<=)([\d.]+?)(?:\.\*)?[,; ].*extra == .{extra}.$", text)
        for text in requirements
        if not text.startswith("jaxlib")
    )
    return {pin.group(1): pin.group(2) for pin in pins if pin}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None

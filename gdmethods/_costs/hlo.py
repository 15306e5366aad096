"""The bytes that an optimised program of XLA moves, read from its text.

A kernel reads its operands and writes its results once, and a cache holds nothing from one kernel
to the next. Scalars do not count, nor do arrays on the chip (memory space 1 and above). An array
that is copied there slice by slice is read once.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](\{[^}]*\})?")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_NO_KERNEL = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier",
    "partition-id", "replica-id", "add-dependency",
}  # fmt: skip
_IN_THE_BACKGROUND = {"copy-start", "slice-start"}
_JOINS_SLICES = (
    'custom_call_target="ConcatBitcast"'  # slices that lie one after another on the chip
)
_OPERAND = re.compile(r"%([\w.\-]+)")
_COLLECTIVE = re.compile("all-reduce|all-gather|reduce-scatter|all-to-all|ragged-all|collective-")


class Traffic(NamedTuple):
    """The traffic of one run of a program on each device."""

    kernels: int = 0
    moved: int = 0
    communicated: int = 0
    cycles: int = 0

    def times(self, n: int) -> "Traffic":
        return Traffic(*(n * x for x in self))

    def plus(self, other: "Traffic") -> "Traffic":
        return Traffic(*map(sum, zip(self, other, strict=True)))


class _Instruction(NamedTuple):
    """An instruction of a computation.

    Attributes:
      operation: its name in XLA.
      result: bytes, wherever they lie.
      read, written: bytes of its operands and its result in the device's memory.
      scalar: whether it has no array.
      line: its text in the program.
    """

    operation: str
    result: int
    read: int
    written: int
    scalar: bool
    line: str


def traffic(text: str) -> Traffic:
    """The traffic of an optimised program's entry, and of all that it calls."""
    computations, entry = _computations(text)

    def of(name: str) -> Traffic:
        total = Traffic()
        for instruction in _instructions(computations[name]):
            total = total.plus(of_one(instruction))
        return total

    def of_one(it: _Instruction) -> Traffic:
        called = {
            key: re.findall(r"[\w.\-]+", names.replace("%", ""))
            for key, names in re.findall(r"(\w+)=(\{[^{}]*\}|%[\w.\-]+)", it.line)
        }
        if it.operation == "call":
            return of(*called["to_apply"])
        if it.operation == "conditional":
            branches = called.get("branch_computations") or [
                *called["true_computation"],
                *called["false_computation"],
            ]
            return max(map(of, branches), key=lambda branch: branch.moved)
        if it.operation == "while":
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', it.line)
            return of(*called["body"]).times(int(trips.group(1)) if trips else 1)
        # A transfer in the background is read when it starts, and written when it is done.
        done = it.operation.endswith("-done")
        started = it.operation.endswith("-start")
        cycles = re.search(r'"estimated_cycles":"(\d+)"', it.line)
        return Traffic(
            kernels=0 if it.scalar or done or it.operation in _IN_THE_BACKGROUND else 1,
            moved=(0 if started else it.written) + (0 if done else it.read),
            communicated=it.result if _COLLECTIVE.match(it.operation) and not started else 0,
            cycles=int(cycles.group(1)) if cycles else 0,
        )

    return of(entry)


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    found: dict[str, list[str]] = {}
    lines, entry = [], ""
    for line in text.splitlines():
        if (start := _COMPUTATION.match(line)) and " = " not in line.partition("->")[0]:
            lines = found[start.group(2)] = []
            entry = start.group(2) if start.group(1) else entry
        elif line.startswith("  "):
            lines.append(line)
    return found, entry


def _instructions(lines: list[str]) -> Iterator[_Instruction]:
    """The instructions that move data."""
    types: dict[str, str] = {}
    for line in lines:
        if not (parts := _INSTRUCTION.match(line)):
            continue
        name, types[name], operation, rest = parts[1], parts[2], parts[3], parts[4]
        if operation in _NO_KERNEL or _JOINS_SLICES in rest:
            continue
        operands = " ".join(types.get(x, "") for x in _OPERAND.findall(_until_closed(rest)))
        result, read = _ARRAY.findall(types[name]), _in_memory(operands)
        if operation == "slice-start" and read:
            read = result[1:2]  # of the whole array, the slice and a context
        yield _Instruction(
            operation,
            _bytes(result),
            _bytes(read),
            _bytes(_in_memory(types[name])),
            not any(shape for _, shape, _ in _ARRAY.findall(f"{operands} {types[name]}")),
            line,
        )


def _until_closed(rest: str) -> str:
    depth = 1
    for at, character in enumerate(rest):
        depth += (character == "(") - (character == ")")
        if not depth:
            return rest[:at]
    return rest


def _in_memory(types: str) -> list[tuple[str, str, str]]:
    """The arrays that are not scalars and not on the chip."""
    return [
        (dtype, shape, layout)
        for dtype, shape, layout in _ARRAY.findall(types)
        if shape and not re.search(r"S\([1-9]", layout)
    ]


def _bytes(arrays: list[tuple[str, str, str]]) -> int:
    return sum(
        math.ceil(_bits(dtype) * math.prod(map(int, filter(None, shape.split(",")))) / 8)
        for dtype, shape, _ in arrays
    )


def _bits(dtype: str) -> int:
    if dtype == "pred":
        return 8
    digits = re.match(r"[a-z]+(\d+)", dtype)
    return int(digits.group(1)) if digits else 0

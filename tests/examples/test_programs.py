"""How the programs behave: their help, their refusals, their files, their progress, their ends."""

import io
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.programs import orbax_writes
from gdmethods._programs.endings import INTERRUPTED, UNREAD
from gdmethods._programs.files import whole
from gdmethods._programs.progress import Progress

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = [
    "mnist",
    "playground",
    *(
        path.stem
        for path in (REPOSITORY / "examples").glob("*.py")
        if f"python -m examples.{path.stem}" in path.read_text()
    ),
]
INTERRUPTIBLE = """  # also where a shell in the background has its children ignore the signal
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
"""


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that a program is in, and 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def status(program: str, *arguments: str) -> Any:
    """Of `python -m examples.PROGRAM`, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [program, *arguments])
        try:
            runpy.run_module(f"examples.{program}", run_name="__main__")
        except SystemExit as exit_:
            return exit_.code
    return 0


def test_every_example_of_the_list_is_a_program() -> None:
    listed = (REPOSITORY / "examples" / "README.md").read_text()
    for program in PROGRAMS:
        assert f"[`{program}`](" in listed
    assert len(PROGRAMS) == 22


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_does_no_work_and_fits_a_terminal(
    program: str, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(program, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert lines[0].startswith("usage: ") or len(lines) == 1
    assert max(map(len, lines)) <= 80
    assert list(nowhere.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_option_is_refused_in_one_line(
    program: str, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(program, "--faster") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--faster" in line or "run it without arguments" in line
    assert list(nowhere.iterdir()) == []


def write(path: Path, content: str, error: BaseException | None = None) -> None:
    with whole(path) as unfinished:
        unfinished.write_text(content)
        if error:
            raise error


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(KeyboardInterrupt):
        write(path, "o", KeyboardInterrupt())
    assert not path.exists()
    write(path, "old")
    with pytest.raises(OSError, match=f"{path} cannot be written .*No space left"):
        write(path, "n", OSError(28, "No space left on device"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_a_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole(path) as one, whole(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # which was left last
    assert list(tmp_path.iterdir()) == [path]


def orbax(complaint: str) -> None:
    with orbax_writes(Path("results")):
        raise ValueError(complaint)


def test_a_full_disk_is_an_oserror_of_orbax_too() -> None:
    with pytest.raises(OSError, match=r"results cannot be written .*No space left"):
        orbax("RESOURCE_EXHAUSTED: Failed to write: No space left on device")
    with pytest.raises(ValueError, match="another"):
        orbax("another")


def test_a_bar_keeps_the_time_left_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    what = "Rprop, full batches: pass 15 of 15, cost 0.2563"
    with Progress(10) as progress:
        progress.tell(what, done=5)
    text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", terminal.getvalue())
    *_, line = re.split(r"[\r\n]+", text.strip())
    assert re.fullmatch(rf"\d:\d\d:\d\d left ━+ {what}", line)
    assert len(line) <= 80


def test_a_pipe_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Progress(20) as progress:
        for second in range(1, 11):
            now[0] = 5.0 * second
            progress.tell(f"step {second}", done=1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" left, ")[2] for line in lines] == ["step 5", "step 10"]


@pytest.mark.parametrize(
    ("redirection", "status", "line"),
    [
        ("> /dev/full", 1, "[Errno 28] No space left on device\n"),
        ("| true", UNREAD, "Nobody reads the output any more.\n"),
    ],
)
def test_output_that_cannot_be_written_ends_in_a_line(
    redirection: str, status: int, line: str
) -> None:
    command = f"set -o pipefail; {sys.executable} -m examples.state_table {redirection}"
    process = subprocess.run(
        ["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (status, line)


def test_an_interrupt_where_python_ignores_what_is_raised() -> None:
    program = """
import signal, time
from gdmethods._programs import endings
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in INTERRUPTIBLE
class Garbage:
    def __del__(self):
        raise KeyboardInterrupt
endings.start()
Garbage()
time.sleep(60)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "Interrupted.\n")


def test_an_interrupt_ends_in_a_line(tmp_path: Path) -> None:
    """While the program is at work: JAX would make a traceback of 150 lines of it."""
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "examples.checkpoint", "--checkpoints", tmp_path],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "step 20\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (INTERRUPTED, "Interrupted.\n")
    half_written = ".orbax-checkpoint-tmp"  # Orbax' own name, which it does not restore from
    assert all(path.name.partition(half_written)[0].isdigit() for path in tmp_path.iterdir())

"""What the gallery's programs share."""

from pathlib import Path
from types import ModuleType

import pytest

from examples import bfloat16, gains, porting, ravine, schedules, tsne


@pytest.mark.parametrize("program", [ravine, schedules, gains, tsne, bfloat16, porting])
def test_out_that_cannot_be_written_is_refused_before_any_work(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as exit_:
        program.main(["--out", str(tmp_path / "file")])
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"python -m {program.__name__}: --out {tmp_path / 'file'} cannot be written "
        "(File exists); name another directory"
    )

"""Words on the command line: exit code 2, one sentence that names the word or the nearest one, nothing is touched."""

from __future__ import annotations

import pytest

from tests.bad_input.support import Refuse


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["rum"], "did you mean 'run'?"),
        (["resum", "DIR"], "did you mean 'resume'?"),
        (["data", "lits"], "did you mean 'list'?"),
        (["run", "--dryrun"], "--dryrun"),
        (["run", "--cpus", "two"], "'two'"),
        (["run", "--cpus", "0", "--dry-run"], "got '0'"),
        (["run", "--cpus", "-1"], "got '-1'"),
        (["resume"], "DIR"),
        (["train", "coloured_digits", "--epochs", "many"], "'many'"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_word_on_the_command_line(refuse: Refuse, words: list[str], named: str) -> None:
    assert named in refuse(*words)

"""Sweep files that are none, and values that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.support import SWEEP, Refuse


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "nothing"),
        (b"- erm\n- lnl\n", "a list"),
        (b"dataset: {name: coloured_digits\n", "line"),
        (b"dataset:\n\tname: x\n", "line 2"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"methods: [erm]\n", "'dataset'"),
        (b"dataset: {name: coloured_digits}\nmethods: [erm]\n", "'dataset.bias'"),
        (b"dataset: {name: coloured_digits, bias: {color_variance: 1}}\nmethods: []\n", "methods"),
        (b"{a: 1, a: 2}\n!!python/object/apply:os.system ['true']\n", "line 2"),
        (b"? [a, b]\n: 1\n", "line 1"),
        (b"1: 2\n", "'dataset'"),
        (SWEEP.encode() + b"yes: 1\n", "keys must be text, but got True"),
        (SWEEP.encode() + b'"a\\nb": 1\n', "unknown key 'a\\nb'"),
        (SWEEP.encode() + b"seed: 2026-13-45\n", "month must be in 1..12"),
        (SWEEP.encode() + b"seed: !!int x\n", "put quotes around a text"),
        (b"seed: " + b"9" * 5000, "put quotes around a text"),
        (b"a: \x07\n", "control characters"),
        (b"a: {<<: {b: 1}, <<: {b: 2}}\n", "'a.<<' stands twice"),
    ],
)
def test_a_file_that_is_no_sweep(refuse: Refuse, tmp_path: Path, text: bytes, named: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(text)
    assert named in refuse("run", path, "--out", "out")


def test_a_file_that_is_not_there(refuse: Refuse) -> None:
    assert "'missing.yaml'" in refuse("run", "missing.yaml")


def test_a_folder_in_place_of_a_file(refuse: Refuse, tmp_path: Path) -> None:
    assert str(tmp_path) in refuse("run", tmp_path)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("dataset.name=colored_digits", "did you mean 'coloured_digits'?"),
        ("dataset.image_sise=28", "did you mean 'image_size'?"),
        ("dataset.image_size=15", "got 15"),
        ("dataset.image_size=big", "'big'"),
        ("dataset.subset=al", "did you mean 'all'?"),
        ("dataset.bias={rho: [1]}", "'rho'"),
        ("dataset.bias={colour_variance: [1]}", "did you mean 'color_variance'?"),
        ("dataset.bias.color_variance=[.nan]", "nan"),
        ("dataset.bias.color_variance=[-0.1]", "-0.1"),
        ("dataset.bias.color_variance=[1e6]", "1000000"),
        ("dataset.bias.color_variance=[.inf]", "inf"),
        ("dataset.bias.color_variance=[0, -0.0]", "stands twice"),
        ("limits.max_hours=1e400", "must be a finite number, but got inf"),
        ("training.clip_norm=.inf", "must be a finite number, but got inf"),
        ("training.batch_size=99999999999999999999", "less than or equal to 1000000"),
        ("methods=[LNL]", "did you mean 'lnl'?"),
        ("network=PIXEL_FRONT", "did you mean 'pixel_front'?"),
        ("methods.lnl.fixed.MU=1", "did you mean 'mu'?"),
        ("training.optimizer=ADAM", "did you mean 'adam'?"),
        ("methods.lnl.bias=[]", "at least one bias value"),
        ("methods.lnl.bias.color_variance=[]", "at least one bias value"),
        ("methods.\u00b2.name=erm", "no entry '\u00b2'"),
        ("confirm.rules=[val_biased, {rule: val_biased, seeds: 3}]", "'val_biased' stands twice"),
        ("primary={compare: [erm, erm]}", "two different labels"),
        ("primary={compare: [lnl, erm], rule: val_biased}", "one of the rules that are confirmed"),
        ("methods.lnl.space={pretrain_epochs: {uniform: [0, 1]}}", "int: [0, 1]"),
        ("network={name: resnet18, split_at: 3}", "network.split_at must be text"),
        ("network={name: resnet18, weights: 3}", "network.weights must be text"),
        (f"network={{name: resnet18, weights: {'w' * 300}}}", "there is no network.weights"),
        ("dataset.bias.color_variance=[0.1, 0.1]", "0.1"),
        ("dataset.bias.color_variance=[]", "at least one bias value"),
        ("dataset.bias.color_variance=[low]", "'low'"),
        ("methods=[lln]", "did you mean 'lnl'?"),
        ("methods=[erm, erm]", "'erm' stands twice"),
        ("methods.lnl.fixed.lamda=1", "did you mean 'lambda_'?"),
        ("methods.lnl.fixed.lambda_=strong", "'strong'"),
        ("methods.lnl.space={pretrain_epochs: {uniform: [0, 2]}}", "must be less than the 2 epochs"),
        ("methods.lnl.space={mu: {log: [0, 1]}}", "'mu'"),
        ("methods.lnl.space={mu: {uniform: [2, 1]}}", "'mu'"),
        ("methods.lnl.space={mu: {int: [1, 2.5]}}", "2.5"),
        ("methods.lnl.space={mu: {choice: []}}", "'mu'"),
        ("methods.lnl.space={mu: {}}", "exactly one of log, uniform, int, choice"),
        ("network=pixel_frnt", "did you mean 'pixel_front'?"),
        ("network=resnet_18", "did you mean 'resnet18'?"),
        ("network.wdith=3", "'wdith'"),
        ("network.Name=small_cnn", "did you mean 'name'?"),
        ("network=Small_CNN", "did you mean 'small_cnn'?"),
        ("methods=[LNL]", "did you mean 'lnl'?"),
        ("methods.lnl.fixed.LR=0.1", "did you mean 'lr'?"),
        ("training.augmentation=[flipp]", "'flipp'"),
        ("training.batch_size=1", "training.batch_size: input should be greater than or equal to 2, but got 1"),
        ("training.epochs=0", "but got 0"),
        ("training.epoch=first", "'first'"),
        ("training.optimiser=adam", "did you mean 'optimizer'?"),
        ("search.trials=0", "but got 0"),
        ("search.rule=val_reweighted", "'val_reweighted'"),
        ("search.sampler=bayes", "'bayes'"),
        ("confirm.rules=[val_best]", "'val_best'"),
        ("confirm.seeds=0", "but got 0"),
        ("metric=f1", "'f1'"),
        ("primary={compare: [lnl, grl]}", "'grl'"),
        ("resources.gpu=0.3", "0.3"),
        ("name=../elsewhere", "'../elsewhere'"),
        ("name=..", "and not dots alone, but got 2 characters, '..'"),
        (f"name={'n' * 61}", "at most 60 characters"),
        ("methods.lnl.label=a/b", "'a/b'"),
        ('methods.lnl.label="a\\n"', "at most 60 characters"),
        (f"methods.lnl.label={'l' * 300}", "methods.1.label: it must have at most 60 characters"),
        (f"metric={'m' * 100000}", "[... cut from 100002 characters ...]"),
        ("dataset.subset=2026-01-01", "must be text, a number"),
        ("serch.trials=3", "did you mean 'search'?"),
        ("methods.9.label=x", "'9'"),
        ("search.trials", "'search.trials'"),
        ("name: tiny", "'name: tiny'"),
        ("search={trials: [", "'{trials: ['"),
    ],
)
def test_a_bad_value(refuse: Refuse, sweep: Path, tmp_path: Path, override: str, named: str) -> None:
    assert named in refuse("run", sweep, "--out", tmp_path / "out", "--set", override)

from __future__ import annotations

import pytest

from orchestrator.cli import main

DIGITS = ("coloured_digits", "--color_variance", "0.1", "--set", "dataset.subset=development")


def test_a_trial_takes_the_default_length_of_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    # A search of T would reach 5 epochs.
    assert main(["train", *DIGITS, "--method", "jtt", "--epochs", "3"]) == 0
    assert "test_accuracy" in capsys.readouterr().out


def test_a_trial_that_diverges_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *DIGITS, "--epochs", "1", "--set", "lr=1e20"]) == 1
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err == "failed: epoch 1: train_loss is nan\n"


def test_the_smallest_images_get_a_network_that_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("biased_digits", "--rho", "0.9", "--set", "dataset.image_size=14", "--set", "dataset.subset=development")
    assert main(["train", *words, "--epochs", "1"]) == 0
    assert "test_accuracy" in capsys.readouterr().out

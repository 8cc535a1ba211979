"""Weights of a file: where they stand in it, under which prefix, and what is said where they do not fit."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from store.errors import InputError
from trainable.networks.weights import Wanted, fit, load_weights, read_weights, remarks


class Tiny(nn.Module):
    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)


def saved(classes: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return Tiny(classes).state_dict()


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def wanted(content: Any, **changes: Any) -> Wanted:
    return Wanted("net.pt", "tiny", content, **{"last": "fc", **changes})


def refusal(content: Any, **changes: Any) -> str:
    with pytest.raises(InputError) as refused:
        fit(Tiny(), wanted(content, **changes))
    return str(refused.value)


@pytest.mark.parametrize("entry", ["", "state_dict", "model", "model_state_dict", "net", "teacher", "ema", "mine"])
@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "backbone.", "_orig_mod.", "module._orig_mod.", "trunk.x."]
)
def test_weights_are_found_in_an_entry_and_under_a_prefix(entry: str, prefix: str) -> None:
    state = under(prefix, saved())
    content: Any = (
        {entry: state, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}} if entry else state
    )
    model = Tiny()
    found = load_weights(model, wanted(content))
    assert (found.entry, found.prefix, found.unused) == (entry, prefix, ())
    assert torch.equal(model.conv.weight, saved()["conv.weight"])
    assert torch.equal(model.norm.running_var, saved()["norm.running_var"])


def test_the_last_layer_alone_may_differ() -> None:
    model = Tiny()
    before = model.fc.weight.clone()
    load_weights(model, wanted(saved(classes=5)))
    assert torch.equal(model.fc.weight, before)
    load_weights(model, wanted({name: value for name, value in saved().items() if not name.startswith("fc")}))
    load_weights(model, wanted(saved(classes=2)))
    assert torch.equal(model.fc.weight, saved(classes=2)["fc.weight"])


def test_a_file_of_a_part_fits_the_model_that_holds_it() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
            self.fc = nn.Linear(4, 2)

    model = Holder()
    found = load_weights(model, wanted({"encoder.0.weight": torch.ones(4, 3, 3, 3), **under("encoder.", _bare())}))
    assert (found.prefix, found.added) == ("encoder.", "backbone.")
    assert bool((model.backbone[0].weight == 1).all())


def _bare() -> dict[str, Tensor]:
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    return {name: value for name, value in state.items() if name != "0.weight"}


def test_what_does_not_fit_is_named_in_one_sentence() -> None:
    state = saved()
    del state["norm.weight"], state["norm.bias"]
    state["conv.weight"] = torch.zeros(4, 1, 3, 3)
    state["decoder.weight"] = torch.zeros(1)
    assert refusal({"state_dict": under("trunk.", state)}) == (
        "the weights in net.pt do not fit network tiny (3 of 6 tensors fit, after the prefix 'state_dict.trunk'): "
        "2 are missing (norm.weight, norm.bias), "
        "1 have another shape (conv.weight [4, 1, 3, 3] instead of [4, 3, 3, 3]), "
        "1 of the file are left over (trunk.decoder.weight); "
        "give weights of this very network, in which the last layer alone may differ"
    )


def test_many_names_are_bounded() -> None:
    message = refusal({f"layer{i}.{'x' * 500}": torch.zeros(1) for i in range(500)})
    assert "6 are missing (conv.weight, conv.bias, norm.weight and 3 more)" in message
    assert "500 of the file are left over" in message and len(message) < 800


def test_of_several_that_fit_the_usual_one_is_taken_and_two_unknown_are_refused() -> None:
    both = {"model": saved(), "model_ema": {name: value + 1 for name, value in saved().items()}}
    assert fit(Tiny(), wanted(both)).entry == "model"
    message = refusal({"first": saved(), "second": saved()})
    assert "holds weights of tiny several times, under 'first' and 'second'" in message


def test_weights_that_are_no_numbers_or_of_another_kind_are_refused() -> None:
    assert "must be finite, but conv.weight is not" in refusal(
        {**saved(), "conv.weight": torch.full((4, 3, 3, 3), torch.nan)}
    )
    assert "have another shape (conv.weight [4, 3, 3, 3] torch.complex64 instead" in refusal(
        {**saved(), "conv.weight": torch.zeros(4, 3, 3, 3, dtype=torch.complex64)}
    )
    assert "holds no tensor" in refusal({"epoch": 3})


def test_half_precision_is_read_and_the_colours_are_summed_for_a_model_that_sees_grey() -> None:
    model = Tiny()
    load_weights(model, wanted({name: value.half() for name, value in saved().items()}))
    assert model.conv.weight.dtype == torch.float32
    grey = Tiny()
    grey.conv = nn.Conv2d(1, 4, 3)
    load_weights(grey, wanted(saved(), grey="conv.weight"))
    x = torch.rand(2, 1, 8, 8)
    load_weights(model, wanted(saved()))
    assert torch.allclose(grey.conv(x), model.conv(x.expand(-1, 3, -1, -1)), atol=1e-5)


def test_what_was_not_used_is_told() -> None:
    found = fit(Tiny(), wanted({"teacher": {**saved(), "head.weight": torch.ones(1)}, "student": {"x": torch.ones(1)}}))
    assert remarks(found, "net.pt") == [
        "the weights are those of 'teacher' in net.pt",
        "1 tensor of net.pt is not used (head.weight)",
    ]


def test_files_are_read_without_running_code(tmp_path: Path) -> None:
    torch.save({"state_dict": saved(), "hyper_parameters": Namespace(lr=1)}, tmp_path / "lightning.ckpt")
    with pytest.raises(InputError, match=r"without running code.*argparse.Namespace.*save its state_dict"):
        read_weights("tiny", tmp_path / "lightning.ckpt")
    torch.save(Tiny(), tmp_path / "whole.pt")
    with pytest.raises(InputError, match="without running code"):
        read_weights("tiny", tmp_path / "whole.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds a list"):
        read_weights("tiny", tmp_path / "list.pt")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read"):
        read_weights("tiny", tmp_path / "torn.safetensors")
    safetensors.torch.save_file(saved(), tmp_path / "net.safetensors")
    assert load_weights(Tiny(), wanted(read_weights("tiny", tmp_path / "net.safetensors"))).fits

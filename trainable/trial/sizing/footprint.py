"""Memory that a trial needs on a card, found by training one epoch of it."""

from __future__ import annotations

import gc

from trainable.spec import TrialSpec


def card() -> tuple[int, str] | None:
    """Memory in bytes, and name, of the card that torch uses first.

    None where torch can use no card.
    """
    import torch

    from trainable.trial.provenance import device_name

    if not torch.cuda.is_available():
        return None
    return torch.cuda.mem_get_info()[1], device_name(torch.device("cuda")) or "GPU"


def footprints(specs: list[TrialSpec]) -> tuple[list[int], int, str] | None:
    """Train one epoch of each trial on the card, alone, and look at what it took.

    The allocator keeps what a trial once had, so that what is taken at its end is its peak; it gives that back before
    the next one. The context and the libraries, which every process needs once more, are in it.

    Args:
        specs: Trials, with test images where those of the confirm phase are to fit too.

    Returns:
        The need of each and the card's memory, in bytes, and the card's name; None where torch can use no card.
    """
    import torch

    from trainable.trial.machine.process_state import kept
    from trainable.trial.trainer import Trainer

    there = card()
    if there is None:
        return None
    needs = []
    for spec in specs:
        with kept():
            trainer: Trainer | None = Trainer(spec, "cuda")
            assert trainer is not None
            trainer.train_epoch()
        torch.cuda.synchronize()
        free, total = torch.cuda.mem_get_info()
        needs.append(total - free)
        trainer = None
        gc.collect()
        torch.cuda.empty_cache()
    return needs, *there

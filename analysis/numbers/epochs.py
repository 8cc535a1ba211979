"""Value of reading the figure off another epoch: the highest on test, the last, or one chosen on validation.

The seed study (G. Peretz 2020) reports the highest of its epochs' test accuracies. That is an optimum over a noisy
sequence on the very images it speaks about; here it stands beside the two honest readings, to be looked at.
"""

from __future__ import annotations

import pandas as pd

from analysis.loading import load, load_history
from store.columns import BIAS, bias_parameters
from store.errors import InputError
from store.open import Location


def epoch_choice(directory: Location, rule: str = "val_biased") -> pd.DataFrame:
    """Compute the test accuracy of each confirm trial at three epochs, averaged over seeds.

    Args:
        directory: A sweep's folder.
        rule: The validation column by which an epoch is chosen.

    Returns:
        One row per (label, bias values), weak bias first: ``label``, each bias parameter of the data set, ``n_seeds``,
        ``highest_on_test``, ``chosen_on_validation`` (the earliest of the best), ``last_epoch``.

    Raises:
        InputError: Not a sweep's folder, no finished confirm trial in it, or no such column.

    Example:
        >>> import analysis
        >>> table = analysis.epoch_choice(analysis.example_folder())
        >>> erm = table[(table["label"] == "erm") & (table["rho"] == 1) & (table["gamma"] == 0)]
        >>> erm[["highest_on_test", "last_epoch"]].round(2).to_dict("records")
        [{'highest_on_test': 0.64, 'last_epoch': 0.62}]
    """
    trials, history = load(directory), load_history(directory)
    if rule not in history:
        raise InputError(f"the history has no column '{rule}': give a selection rule, e.g. val_biased")
    confirm = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
    epochs = history[history["trial_id"].isin(confirm["trial_id"]) & history["test_accuracy"].notna()]
    if epochs.empty:
        raise InputError("no confirm trial has finished yet: an epoch's test accuracy is known of those alone")
    by_trial = epochs.sort_values(["trial_id", "epoch"]).groupby("trial_id", sort=False)
    # Of equal values the earliest epoch: later ones have trained longer for nothing.
    best = epochs.sort_values([rule, "epoch"], ascending=[False, True]).groupby("trial_id", sort=False)
    accuracies = pd.DataFrame(
        {
            "highest_on_test": by_trial["test_accuracy"].max(),
            "chosen_on_validation": best["test_accuracy"].first(),
            "last_epoch": by_trial["test_accuracy"].last(),
        }
    )
    places = [name for name in bias_parameters(confirm.columns) if confirm[f"{BIAS}{name}"].notna().any()]
    confirm = confirm.assign(**{name: confirm[f"{BIAS}{name}"] for name in places})
    rows = confirm.set_index("trial_id")[["label", "bias_strength", *places]].join(accuracies, how="inner")
    grouped = rows.groupby(["label", "bias_strength", *places], sort=True)
    table = grouped.mean().assign(n_seeds=grouped.size()).reset_index().drop(columns="bias_strength")
    return table[["label", *places, "n_seeds", *accuracies.columns]]

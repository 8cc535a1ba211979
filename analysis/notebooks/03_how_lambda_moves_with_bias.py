# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. How λ moves with bias
#
# The weight λ (and the reversal strength μ) decides how hard a method pushes the bias out of its features. Too little
# leaves the bias in; too much takes what the diagnosis needs. Which value is right depends on how strong the bias is.
# All of this notebook is read from *search* rows: validation images only, no test image.

# %% tags=["parameters"]
DIR = None  # a sweep's folder, an s3:// address, or a zip file of `lnl-sweep pack`; None = the example

# %%
import itertools
import json
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import display

import analysis
from analysis.figures.style import axis, layout
from analysis.points.points import facets
from analysis.selection import candidates_of, objective, rule_name

warnings.filterwarnings("ignore", message="IProgress not found")  # a progress bar that nobody asked for
import optuna

optuna.logging.set_verbosity(logging.WARNING)
directory = DIR or analysis.example_folder()
config = analysis.load_config(directory)
trials = analysis.load(directory)

candidates = analysis.lambda_map(trials)
rule = trials["headline_rule"].iloc[0]
facet = facets(trials).sort_values().iloc[0]  # where the sweep varies a second bias: its first value
weights = {
    label: [name for name in ("lambda_", "mu") if rows[name].nunique() > 1]
    for label, rows in candidates.groupby("label", sort=False)
}
weights = {label: names for label, names in weights.items() if names}  # a control with fixed weights has no search
searched = candidates[candidates["label"].isin(weights)]
print(f"Validation value: {rule_name(rule)}. Searched: {weights or 'no method has a weight that was searched'}.")

# %% [markdown]
# ## The map
#
# One mark per search trial: the place on the axis, the weight that was tried, and, as colour, the validation value that
# it gave. The chosen one is ringed. A weight of 0 on the bottom line is the anchor, plain training with the same
# network; a ring there means that the rule preferred no debiasing.

# %%
for label, names in weights.items():
    for name in names:
        analysis.plot_lambda_map(trials, label, name).show()

# %% [markdown]
# ## What was chosen
#
# `gain` is the validation value of the chosen trial minus that of the anchor. It is optimistic: the chosen one is the
# best of several noisy values. Where the learning rate is searched too, it is not the weights' alone: the anchor has
# the method's default, and the chosen one the best that was found.

# %%
anchors = searched[(searched[["lambda_", "mu"]].fillna(0) == 0).all(axis=1)]
anchors = anchors.set_index(["label", "facet", "bias_value"])["validation"].rename("anchor")
chosen = searched[searched["chosen"]].join(anchors, on=["label", "facet", "bias_value"])
chosen = chosen.assign(gain=chosen["validation"] - chosen["anchor"])
chosen[["label", "facet", "bias_value", "lambda_", "mu", "lr", "validation", "anchor", "gain"]].round(3)

# %% [markdown]
# Does the chosen weight move with the bias? Spearman's rank correlation between bias strength and chosen weight. Places
# where every draw gave the same validation value are left out (without bias there is nothing to unlearn: the choice is
# a tie, decided by the order of the draws). `p` comes from all orderings of the bias values: how many give a
# correlation at least as far from 0? It corrects neither for several weights nor for the noise of a single seed per
# search trial. What was chosen by a rise of the validation value of less than that noise moves for no reason.

# %%
places = ["label", "facet", "bias_value"]
told_apart = chosen.join(searched.groupby(places)["validation"].agg(np.ptp).rename("range"), on=places)
told_apart = told_apart[(told_apart["range"] > 0) & (told_apart["facet"] == facet)]
rows = []
for label, names in weights.items():
    for name in names:
        own = told_apart[told_apart["label"] == label].dropna(subset=[name])
        by_value = own.groupby("bias_strength")[name].mean().rank()  # several repeats: their mean
        if by_value.nunique() > 1 and len(by_value) <= 8:
            strengths = np.arange(len(by_value))
            rank = np.corrcoef(strengths, by_value)[0, 1]
            orders = np.array([np.corrcoef(strengths, order)[0, 1] for order in itertools.permutations(by_value)])
            p = np.mean(np.abs(orders) >= abs(rank) - 1e-9)
            found = {"label": label, "weight": name, "bias values": len(by_value)}
            rows.append(found | {"rank correlation": rank, "p": p})
display(pd.DataFrame(rows).round(3)) if rows else print("The chosen weight is the same everywhere, or there is none.")

# %% [markdown]
# ## What one λ for all bias values would cost
#
# Where the sampler tried the same draws at every bias value (random and quasi-random search do), each draw is a
# hyperparameter setting that could be used everywhere. The table shows its validation value at every bias value, beside
# the best at each: the loss in the last column is what not tuning per bias value would have cost on validation images.
# It is never below 0, also where all draws are equally good: the best of several noisy values lies above their mean.


# %%
def name_of(bias_value, facet):
    """A place on the axis, with the value of the second bias where there is one."""
    return f"{bias_value:g}" + (f" ({facet})" if facet else "")


shown = searched.copy()
shown["place"] = [name_of(v, f) for v, f in zip(shown["bias_value"], shown["facet"], strict=True)]
draw = ["lambda_", "mu", "lr"]
shown[draw] = shown[draw].astype(float).round(6).fillna(-1)
for label, rows in shown.groupby("label", sort=False):
    grid = rows.pivot_table(index=draw, columns="place", values="validation", sort=False).dropna()
    if len(grid) < 2 or grid.shape[1] < 2:
        print(f"{label}: its bias values share no two draws (an adaptive search, or one place only).")
        continue
    grid["mean loss"] = (grid.max() - grid).mean(axis=1)
    grid = grid.reset_index().replace({name: {-1: np.nan} for name in draw}).dropna(axis=1, how="all")
    print(f"{label}, {len(grid)} draws tried everywhere, the one with the least mean loss first:")
    display(grid.sort_values("mean loss").round(3).reset_index(drop=True))

# %% [markdown]
# ## Which hyperparameter mattered
#
# Importances from the Optuna studies, one per cell: the share of the variance of the validation value that each
# hyperparameter explains (fANOVA, Hutter et al. 2014). The studies are read from `optuna/journal.log` where the folder
# has one, and built again from the search rows otherwise: the two hold the same trials. (The anchor is in neither: a
# weight of 0 lies outside a logarithmic range.)


# %%
def studies_of_journal(path):
    """The studies of a sweep's journal, by name."""
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)}


def studies_of_rows(trials):
    """The same studies, from the search rows and the spaces in sweep.yaml."""
    spaces = {cell["cell"]: cell.get("space") or {} for cell in config.get("cells") or []}
    done = trials[candidates_of(trials, rule)]
    done = done.assign(value=objective(done, rule)).dropna(subset=["value"])
    studies = {}
    for (cell, repeat), rows in done.groupby(["cell", "repeat"]):
        if not spaces.get(cell):
            continue  # everything was fixed
        ranges = {
            name: optuna.distributions.FloatDistribution(*kinds["log"], log=True)
            for name, kinds in spaces[cell].items()
            if isinstance(kinds, dict) and "log" in kinds
        }
        study = studies[f"{cell}-r{repeat}"] = optuna.create_study(direction="maximize")
        for text, value in zip(rows["hyperparameters"], rows["value"], strict=True):
            parameters = {name: json.loads(text)[name] for name in ranges}
            if all(ranges[name].low <= parameters[name] <= ranges[name].high for name in ranges):
                study.add_trial(optuna.create_trial(params=parameters, distributions=ranges, value=value))
    return studies


journal = None if "://" in str(directory) else Path(directory) / "optuna" / "journal.log"
from_journal = journal is not None and journal.is_file()
studies = studies_of_journal(journal) if from_journal else studies_of_rows(trials)
print(f"{len(studies)} studies, {'from the journal' if from_journal else 'built again from the search rows'}.")

# %% [markdown]
# With few trials a study says little, and fANOVA always divides the whole variance among the hyperparameters, also
# where none of them matters. So each importance stands beside its *chance* range: the middle 95 % of the importances
# after the validation values were shuffled among the trials. An importance inside its chance range is no finding; of
# twenty that are chance, one lies outside. Two hyperparameters share the whole: where one rises, the other falls.

# %%
SHUFFLES = 60
rng = np.random.default_rng(0)


def importances(points, values, ranges):
    """Share of the variance that each hyperparameter explains."""
    study = optuna.create_study(direction="maximize")
    for parameters, value in zip(points, values, strict=True):
        study.add_trial(optuna.create_trial(params=parameters, distributions=ranges, value=float(value)))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=16, seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


cells = {cell["cell"]: cell for cell in config.get("cells") or []}
facet_of = facets(trials).groupby(trials["cell"]).first()
rows = []
for name, study in studies.items():
    cell = cells.get(name.rsplit("-r", 1)[0])
    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    values = np.array([trial.value for trial in done])
    if cell is None or len(done) < 4 or len(done[0].params) < 2 or np.ptp(values) == 0:
        continue  # one hyperparameter explains everything by definition
    points, ranges = [trial.params for trial in done], done[0].distributions
    shuffled = pd.DataFrame([importances(points, rng.permutation(values), ranges) for _ in range(SHUFFLES)])
    for parameter, share in importances(points, values, ranges).items():
        low, high = shuffled[parameter].quantile([0.025, 0.975])
        place = name_of(cell["bias_value"], facet_of.get(cell["cell"], ""))
        where = {"label": cell["label"], "place": place, "strength": cell["bias_strength"]}
        rows.append(where | {"trials": len(done), "hyperparameter": parameter, "importance": share,
                             "chance low": low, "chance high": high, "outside": not low <= share <= high})  # fmt: skip
table = pd.DataFrame(rows)
if table.empty:
    print("No study has four trials and two hyperparameters: no importances.")
else:
    table = table.sort_values(["label", "strength", "hyperparameter"], ignore_index=True)
    display(table.round(2))

# %%
for label, own in table.groupby("label") if len(table) else ():
    figure = go.Figure()
    for number, (parameter, line) in enumerate(own.groupby("hyperparameter")):
        color = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")[number % 6]
        bars = {"type": "data", "symmetric": False, "array": line["chance high"] - line["importance"],
                "arrayminus": line["importance"] - line["chance low"], "color": color, "width": 8}  # fmt: skip
        mark = {"size": 11, "symbol": ("circle", "square", "diamond", "x")[number % 4], "color": color}
        figure.add_trace(go.Scatter(x=line["place"], y=line["importance"], mode="markers", marker=mark, name=parameter,
                                    error_y=bars, offsetgroup=str(number)))  # fmt: skip
    figure.update_layout(**layout(f"{label}: importance, with its chance range as a bar"), scattermode="group")
    figure.update_layout(
        xaxis=axis("bias value (stronger bias →)", type="category"), yaxis=axis("importance", range=[-0.05, 1.05])
    )
    figure.show()

# %% [markdown]
# ## Was the search large enough?
#
# The expected best validation value of the first n trials (Dodge et al. 2019), at the strongest bias. A line that still
# rises at its right end says that more search would have found more; where two lines cross, the answer to "which method
# is better" depends on the budget.

# %%
if len(analysis.expected_validation(trials[facets(trials) == facet])):
    analysis.plot_search_budget(trials[facets(trials) == facet]).update_layout(showlegend=True).show()
else:
    print("No method has two completed search trials.")

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
# # 1. Read a sweep
#
# Load a sweep's folder, draw accuracy against bias strength, print the table. The first cell names the folder; without
# one, the notebook reads the example kept in the package: a real run on synthetic brain slices (no patients), whose
# `README.txt` says what it is. A sweep that is still running can be read too: what has finished is shown.

# %% tags=["parameters"]
DIR = None  # a sweep's folder, an s3:// address, or a zip file of `lnl-sweep pack`; None = the example

# %%
import analysis

directory = DIR or analysis.example_folder()
trials = analysis.load(directory)
predictions = analysis.load_predictions(directory)
curve = analysis.accuracy_vs_bias(trials, predictions)
facet = curve["facet"].iloc[0]  # the sweep may hold a second bias: its first value is drawn, the table has all
analysis.plot_accuracy_vs_bias(curve[curve["facet"] == facet]).show()

# %% [markdown]
# Stronger bias lies to the right. Lines are means over seeds, every seed is a dot; the hyperparameters were chosen on
# validation images by the rule named in the title, then trained again with fresh seeds. `ceiling` was trained without
# the bias: where its line is level, the bias itself costs nothing to it. `erm` is plain training.
#
# The same as a table, mean ± half of the 95 % interval:

# %%
analysis.summary_table(trials, predictions)

# %% [markdown]
# What each interval covers is written beside every point of the curve. Here, for the strongest bias of the figure:

# %%
rule = trials["headline_rule"].iloc[0]
drawn = curve[(curve["facet"] == facet) & (curve["rule"] == rule)]
strongest = drawn[drawn["bias_strength"] == drawn["bias_strength"].max()]
for caption in strongest["caption"]:
    print(caption + ".")

# %% [markdown]
# ## What one row is
#
# `trials` has one row per trial. `search` rows looked for hyperparameters and never saw a test image; `confirm` rows
# trained the chosen ones again, and only they are in the curve. `store/columns.py` explains every column.

# %%
columns = ["phase", "label", "bias_value", "seed", "lambda_", "mu", "val_counterfactual", "test_accuracy", "rules"]
trials.sort_values("bias_strength", kind="stable")[columns].groupby("phase", sort=False).tail(4)

# %% [markdown]
# ## What is won back
#
# (method - erm) / (ceiling - erm): 1 = all that the bias costs, 0 = nothing, below 0 = worse than plain training; "-"
# where the gap between ceiling and erm is too small, against its uncertainty, to divide by.

# %%
won_back = analysis.won_back(trials, predictions, rule=rule)
won_back[["label", "facet", "bias_value", "text", "n_seeds", "band"]]

# %% [markdown]
# ## Other test figures, and what it cost
#
# Means over seeds, each method at the strongest bias it was run at. *Aligned* test images carry the bias of their own
# class, *conflicting* ones that of another class; *flip rate* is the share of test images whose prediction changes with
# the bias alone.

# %%
figures = analysis.test_figures(trials)
figures.drop(columns="sweep").groupby("label").tail(1).round(3)

# %%
analysis.cost(trials).round(3)

# %% [markdown]
# The whole report, as a page that opens offline: `analysis.write_report(directory, "report.html")`.

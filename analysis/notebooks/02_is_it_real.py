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
# # 2. Is it real?
#
# A difference between two curves can come from the seeds that were drawn, from the patients that happen to be in the
# test set, or from the way in which it was looked for. This notebook takes the comparison that the sweep declared
# before its first trial and asks each of these in turn; then it shows what breaks an honest answer. It reads the same
# whether the method wins or loses.

# %% tags=["parameters"]
DIR = None  # a sweep's folder, an s3:// address, or a zip file of `lnl-sweep pack`; None = the example

# %%
import itertools

import numpy as np
import pandas as pd
import plotly.graph_objects as go

import analysis
from analysis.figures.style import axis, layout, styles
from analysis.findings import gather
from analysis.points.points import facets
from analysis.report.primary import answer, descriptive_words, footnote, standing_words
from analysis.report.words import signed
from analysis.selection import rule_name
from analysis.statistics.intervals import t_interval, t_quantile

directory = DIR or analysis.example_folder()
config = analysis.load_config(directory)
trials = analysis.load(directory)
predictions = analysis.load_predictions(directory)
history = analysis.load_history(directory)

rule = trials["headline_rule"].iloc[0]
first, second = (config.get("primary") or {}).get("compare") or ("lnl", "erm")
curve = analysis.accuracy_vs_bias(trials, predictions, rules=[rule])
facet = curve["facet"].iloc[0]  # where the sweep varies a second bias: its first value
line = curve[curve["facet"] == facet]
print(f"Declared comparison: {first} against {second}, chosen by {rule_name(rule)}.")

# %% [markdown]
# ## Seeds
#
# A seed decides initialisation, batch order, which training images carry the bias, and the split into training and
# validation images. It is the same in every method: dots with the same number belong together. How far apart are the
# seeds of one method?

# %%
analysis.plot_accuracy_vs_bias(line[line["label"].isin([first, second, "ceiling"])]).show()

# %%
spread = line[line["label"].isin([first, second])].copy()
spread["seeds, lowest to highest"] = [f"{min(v):.3f} to {max(v):.3f}" for v in spread["values"]]
spread["standard deviation"] = [np.std(v, ddof=1) if len(v) > 1 else np.nan for v in spread["values"]]
shown = ["label", "bias_value", "n_seeds", "n_planned", "mean", "seeds, lowest to highest", "standard deviation"]
spread[shown].round(3)

# %% [markdown]
# ## Two bands
#
# An interval over seeds says what another seed would give *on these test patients*. Whoever wants to know about other
# patients needs an interval over seeds and patients. Half widths of the 95 % intervals:

# %%
keys = ["label", "facet", "bias_value"]
seeds_only = analysis.accuracy_vs_bias(trials, rules=[rule]).set_index(keys)
both = curve.set_index(keys)
widths = pd.DataFrame({"seeds only": (seeds_only["high"] - seeds_only["low"]) / 2})
widths[both["band"].iloc[0]] = (both["high"] - both["low"]) / 2
widths.loc[[key for key in widths.index if key[0] in (first, second)]].round(3)

# %% [markdown]
# ## Pairing
#
# Both methods were trained with the same seeds and tested on the same images. The difference *within* a seed is free of
# what the seed does to both; in each row the last two columns are half widths of an interval for the same difference.

# %%
confirm = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed")]
confirm = confirm[confirm["rules"].map(lambda rules: rule in rules)]
confirm = confirm[confirm["whole_axis"] | (facets(trials).reindex(confirm.index) == facet)]
points = {
    (r["label"], r["bias_value"]): dict(zip(r["seeds"], r["values"], strict=True)) for r in line.to_dict("records")
}


def differences(a, b, value):
    """The difference of two methods at one bias value, one number per common seed."""
    of_a, of_b = points.get((a, value), {}), points.get((b, value), {})
    return np.array([of_a[seed] - of_b[seed] for seed in sorted(of_a.keys() & of_b.keys())])


values = list(line.sort_values("bias_strength")["bias_value"].unique())
rows = []
for value in values:
    d = differences(first, second, value)
    if len(d) > 1:
        halves = [t_interval(list(points[label, value].values())).half for label in (first, second)]
        rows.append({
            "bias value": value, "seeds": len(d), "difference": d.mean(),
            "half width, paired": t_interval(d).half, "half width, not paired": float(np.hypot(*halves)),
        })  # fmt: skip
pd.DataFrame(rows).round(3)

# %% [markdown]
# ## The one test
#
# One comparison was declared before the first trial: which two methods, at which bias. Only this one is tested, in the
# report's own words below; everything else in this notebook describes. Higher or lower means that the 95 % interval of
# the paired difference leaves 0 out, equivalent that its 90 % interval lies within the declared margin; undecided comes
# with the difference that the design could have shown. An exact sign-flip test of K seeds cannot give less than 2/2^K:
# with five seeds that is .0625, so that it cannot reach .05 however large the difference is.

# %%
findings = gather([directory])
sweep = findings.sweeps[0]
print(answer(findings, sweep))
if sweep.primary is not None and not sweep.primary.comparison.reason:
    print(footnote(sweep))
print(descriptive_words(sweep) or standing_words(findings, sweep))

# %% [markdown]
# ## The control
#
# `permuted_bias` is LNL with shuffled bias labels: the same network, losses and pressure, but nothing to learn the bias
# from. If it gained as much as LNL, the gain would not come from knowing the bias. It should fall like plain training.

# %%
rows = []
for value in values:
    for name, against in ((first, second), ("permuted_bias", second)):
        d = differences(name, against, value)
        if len(d) > 1:
            rows.append({"bias value": value, "comparison": f"{name} - {against}", "difference": signed(t_interval(d))})
table = pd.DataFrame(rows).pivot(index="bias value", columns="comparison", values="difference").fillna("not run")
if f"permuted_bias - {second}" not in table:
    print("This sweep ran no control (permuted_bias).")
table.reindex([value for value in values if value in table.index])

# %% [markdown]
# # What breaks an honest answer
#
# ## Few seeds
#
# Suppose only 2, 3, ... of the seeds had been run. Below, for each bias value and each number of seeds, all subsets of
# that size: in how many would the 95 % interval (Student t, over seeds) have lain above zero, in how many below?

# %%
rows = []
for value in values:
    d = differences(first, second, value)
    for k in range(2, len(d) + 1):
        found = [t_interval(d[list(subset)]) for subset in itertools.combinations(range(len(d)), k)]
        above, below = (sum(i.low > 0 for i in found), sum(i.high < 0 for i in found))
        rows.append({"bias value": value, "seeds": k, "text": f"{above} above, {below} below, of {len(found)}"})
few = pd.DataFrame(rows, columns=["bias value", "seeds", "text"])
few.pivot(index="bias value", columns="seeds", values="text").reindex(few["bias value"].unique())

# %% [markdown]
# ## The best seed
#
# "Our best run reached ..." reports a maximum. It grows with the number of runs, whatever the method does.

# %%
best = line.assign(best=[max(v) for v in line["values"]], gain=[max(v) - np.mean(v) for v in line["values"]])
best = best[best["label"].isin([first, second])]
best[["label", "bias_value", "n_seeds", "mean", "best", "gain"]].round(3)

# %% [markdown]
# ## Seeds added until it is significant
#
# Run five seeds; if p is above .05, add three; look again. Simulated here for two methods that do *not* differ: how
# often does each way of stopping find a difference at .05? (Paired differences drawn from a normal distribution; the
# result depends on no other assumption, and not on this sweep.)

# %%
draws = np.random.default_rng(0).standard_normal((40_000, 14))


def significant(d):
    """Whether a paired t test over the columns gives p < .05, row by row."""
    k = d.shape[1]
    return np.abs(d.mean(axis=1)) > t_quantile(k - 1) * d.std(axis=1, ddof=1) / np.sqrt(k)


found = np.zeros(len(draws), dtype=bool)
errors = []
for looks, k in enumerate((5, 8, 11, 14)):
    found |= significant(draws[:, :k])
    errors.append({"seeds added": f"{looks} times" if looks else "never", "seeds at most": k, "error": found.mean()})
pd.DataFrame(errors).round(3)

# %% [markdown]
# A sweep may be extended by seeds, but the extension has to be told: `lnl-sweep resume` records it in `changes.jsonl`,
# and the report says beside the p value when seeds were added and which test results existed by then.
#
# ## An epoch chosen on test images
#
# The curve reports an epoch that was fixed beforehand (or chosen on validation images). Had each run been stopped where
# its *test* accuracy was highest, every method would look better, and a method whose curve swings more would gain more.
# The gain below is made of nothing but looking:

# %%
seen = history.dropna(subset=["test_accuracy"]).groupby("trial_id")["test_accuracy"].max().rename("best_epoch_on_test")
chosen = confirm.merge(seen, left_on="trial_id", right_index=True)
chosen = chosen.assign(gain=chosen["best_epoch_on_test"] - chosen["test_accuracy"])
by_label = chosen.groupby(["label", "bias_value"])[["test_accuracy", "best_epoch_on_test", "gain"]].mean()
by_label.sort_index().round(3)

# %%
look = styles(trials["label"])
figure = go.Figure()
for label, own in chosen.groupby("label", sort=False):
    own = own.sort_values("bias_strength")
    places = [f"{value:g}" for value in own["bias_value"]]
    mark = {"color": look[label].color, "symbol": look[label].symbol, "size": 8}
    figure.add_trace(go.Box(x=places, y=own["gain"], name=label, boxpoints="all", pointpos=0, jitter=0.4, marker=mark,
                            line={"width": 1}, fillcolor=look[label].fill(0.1)))  # fmt: skip
figure.update_layout(**layout("Gain from choosing the epoch on test images, one dot per seed"), boxmode="group")
order = [f"{value:g}" for value in chosen.sort_values("bias_strength")["bias_value"].unique()]
figure.update_layout(
    xaxis=axis(f"{line['bias_axis'].iloc[0]} (stronger bias →)", type="category", categoryarray=order),
    yaxis=axis("accuracy gained by looking"),
)
figure.show()

# %% [markdown]
# ## The rule that chose the hyperparameters
#
# Validation images that are as biased as the training images reward a network for reading the bias; unbiased ones (the
# *oracle*) nobody has in practice. If the sweep confirmed several rules, their curves differ by the price of not having
# unbiased validation images.

# %%
rules = analysis.accuracy_vs_bias(trials, predictions)
rules = rules[rules["label"].isin([first, second]) & (rules["facet"] == facet)]
rules = rules.assign(text=[f"{r['mean']:.3f} ({r['n_seeds']} seeds)" for r in rules.to_dict("records")])
rules = rules.assign(rule=rules["rule"].map(rule_name))
if rules["rule"].nunique() == 1:
    print(f"This sweep confirmed one rule only: {rules['rule'].iloc[0]}.")
rules.pivot_table(index=["label", "rule"], columns="bias_value", values="text", aggfunc="first", sort=False)

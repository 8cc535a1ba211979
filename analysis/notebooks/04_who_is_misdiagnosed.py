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
# # 4. Who is misdiagnosed
#
# Accuracy says how many, not who. This notebook reads the predictions of the confirm trials: which class is taken for
# which as the bias grows, whether a prediction changes with the bias alone, and which patients bear the errors. In the
# example the images are synthetic and the "patients" are drawn by a program: the errors are real, the patients are not.

# %% tags=["parameters"]
DIR = None  # a sweep's folder, an s3:// address, or a zip file of `lnl-sweep pack`; None = the example

# %%
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import display

import analysis
from analysis.figures.style import axis, layout, styles
from analysis.numbers.confusion import worst_mistakes
from analysis.points.points import facets
from analysis.selection import rule_name

directory = DIR or analysis.example_folder()
config = analysis.load_config(directory)
trials = analysis.load(directory)
predictions = analysis.load_predictions(directory)

rule = trials["headline_rule"].iloc[0]
first, second = (config.get("primary") or {}).get("compare") or ("lnl", "erm")
info = config.get("dataset_info") or {}
classes = [str(name) for name in info.get("classes") or []]
confusion = analysis.confusion_by_strength(trials, predictions, rule)
variants = sorted(predictions["variant"].unique())
print(f"{first} and {second}, chosen by {rule_name(rule)}; test variants: {', '.join(variants)}.")

# %% [markdown]
# ## Which class is taken for which
#
# Rows are the true class, columns the predicted one; each row adds up to 1; means over seeds, on unbiased test images.
# Plain training first. A class that was always seen with an annotation is missed once the annotation is absent: look
# for a row that empties its diagonal towards the right.

# %%
analysis.plot_confusion(confusion, second, rule, classes).show()

# %%
analysis.plot_confusion(confusion, first, rule, classes).show()

# %% [markdown]
# The most frequent mistake of each at every bias value, as a share of the images of the true class (95 % over seeds):

# %%
worst = worst_mistakes(confusion[confusion["label"].isin([first, second])], classes)
worst[["label", "facet", "bias_value", "true", "predicted", "share", "low", "high", "n_seeds", "n_images"]].round(3)

# %% [markdown]
# ## Does the prediction follow the bias?
#
# The flip rate is the share of test images whose predicted class changes when nothing but the bias is changed on them.
# A network that does not read the bias has a flip rate near 0; it says nothing about whether the prediction is right.
# (`ceiling` saw no bias in training, so that it had no chance to learn to leave it aside.)

# %%
if trials["flip_rate"].notna().any():
    flips = analysis.accuracy_vs_bias(trials, column="flip_rate", rules=[rule])
    title = "Share of predictions that change with the bias alone"
    flips = flips[flips["facet"] == flips["facet"].iloc[0]]  # where the sweep varies a second bias: its first value
    analysis.plot_accuracy_vs_bias(flips, metric="flip rate", title=title).show()
else:
    print("This sweep has no flip rate (no renderer for its data).")

# %% [markdown]
# The same images, each carrying the bias of *another* class: what does the network answer at the strongest bias?
# `follows` is the share of images that were given the class which the painted attribute goes with on aligned images
# (missing where it goes with none).

# %%
attributes = [str(name) for name in info.get("attributes") or []]
confirm = trials[(trials["phase"] == "confirm") & (trials["status"] == "completed") & ~trials["superseded"]]
confirm = confirm[confirm["rules"].map(lambda rules: rule in rules)]
axis_rows = confirm[~confirm["whole_axis"] & confirm["label"].isin([first, second])]
strongest = axis_rows[axis_rows["bias_strength"] == axis_rows["bias_strength"].max()]
facet = facets(trials)[strongest.index[0]]
place = f"{strongest['bias_axis'].iloc[0]} = {strongest['bias_value'].iloc[0]:g}" + (f", {facet}" if facet else "")
told = predictions.merge(strongest[["trial_id", "label", "seed"]], on="trial_id", suffixes=("", "_of_method"))
told = told.rename(columns={"label": "true", "label_of_method": "method"})
if {"aligned", "conflicting"} <= set(variants):
    aligned = told[told["variant"] == "aligned"]
    stands_for = aligned.groupby("attribute")["true"].agg(lambda true: true.mode().iloc[0])
    against = told[told["variant"] == "conflicting"]
    against = against.assign(
        correct=against["predicted"] == against["true"],
        follows=(against["predicted"] == against["attribute"].map(stands_for)).astype(float),
    )
    against.loc[~against["attribute"].isin(stands_for.index), "follows"] = np.nan
    against["attribute"] = [attributes[a] if a < len(attributes) else a for a in against["attribute"]]
    against["true"] = [classes[c] if c < len(classes) else c for c in against["true"]]
    shares = against.groupby(["method", "true", "attribute"])
    table = shares[["correct", "follows"]].mean().assign(images=shares["image"].nunique())
    print(f"Conflicting test images at {place}, means over seeds:")
    display(table.round(3))
else:
    print("This sweep has no conflicting test images.")

# %% [markdown]
# ## Patient by patient
#
# At the strongest bias: for each test patient, the share of right answers over all of the patient's unbiased images and
# all seeds. Patients are sorted by how plain training does. Marks far apart are patients for whom the choice of method
# decides; marks together at the bottom are hard for both.

# %%
unit = "patient" if predictions["patient"].notna().all() else "image"
own = told[told["variant"] == "unbiased"]
own = own.assign(correct=(own["predicted"] == own["true"]).astype(float))
per_patient = own.pivot_table(index=[unit, "true"], columns="method", values="correct", aggfunc="mean")
per_patient = per_patient.reset_index().sort_values(["true", second, first], ignore_index=True)
per_patient["class"] = [classes[c] if c < len(classes) else str(c) for c in per_patient["true"]]
look = styles(trials["label"])
figure = go.Figure()
between = per_patient[[second, first]].assign(gap=np.nan).to_numpy().ravel()
grey = {"width": 1, "color": "#b0b0b0"}
figure.add_trace(go.Scatter(x=np.repeat(per_patient.index, 3), y=between, mode="lines", line=grey,
                            showlegend=False, hoverinfo="skip"))  # fmt: skip
for label in (second, first):
    open_mark = look[label].symbol + ("-open" if label == second else "")  # both are seen where they coincide
    mark = {"size": 12 if label == second else 8, "color": look[label].color, "symbol": open_mark}
    mark["line"] = {"width": 2, "color": look[label].color}
    figure.add_trace(go.Scatter(x=per_patient.index, y=per_patient[label], mode="markers", name=label, marker=mark,
                                text=per_patient["class"], hovertemplate="%{text}: %{y:.2f}"))  # fmt: skip
for name, group in per_patient.groupby("class", sort=False):
    figure.add_vline(x=group.index[0] - 0.5, line={"width": 1, "dash": "dot", "color": "#808080"})
    figure.add_annotation(x=group.index[0] - 0.4, y=1.1, text=name, showarrow=False, xanchor="left")
figure.update_layout(**layout(f"Share of right answers of each test {unit} at {place}"))
figure.update_layout(
    xaxis=axis(f"test {unit}s, by class and by {second}", showticklabels=False),
    yaxis=axis("right answers", range=[-0.05, 1.16], tickvals=[0, 0.25, 0.5, 0.75, 1]),
)
figure.show()

# %% [markdown]
# How many are diagnosed wrongly more often than not, and how many change sides between the two methods? (Counts of the
# test patients of this sweep; they carry no interval and make no claim about other patients.)

# %%
wrong = per_patient[[second, first]] < 0.5
counts = pd.DataFrame({
    "class": per_patient["class"], unit + "s": 1,
    f"wrong by {second}": wrong[second], f"wrong by {first}": wrong[first],
    f"only by {second}": wrong[second] & ~wrong[first], f"only by {first}": wrong[first] & ~wrong[second],
})  # fmt: skip
counts = counts.groupby("class", sort=False).sum()
counts.loc["all"] = counts.sum()
counts

# %% [markdown]
# The ones for whom the two methods differ most, by the keyed hash that stands for the patient (no name ever leaves the
# preparation of the data):

# %%
most = per_patient.assign(difference=per_patient[first] - per_patient[second])
most = most.loc[most["difference"].abs().sort_values(ascending=False, kind="stable").index]
most[[unit, "class", second, first, "difference"]].head(8).round(3)

"""The report's sections, each from the findings to HTML."""

from __future__ import annotations

import re

from analysis import markup as m
from analysis import report_words as words
from analysis.errors import InputError
from analysis.figures import plot_accuracy_vs_bias
from analysis.figures_search import plot_lambda_map, plot_learning_curves, plot_search_budget
from analysis.load import section
from analysis.report_data import Findings
from analysis.selection import rule_name
from analysis.tables import cost

_PRESSURES = ("lambda_", "mu")


def rule_buttons(findings: Findings) -> str:
    """Buttons that switch every curve and table to another rule; none where there is one rule only."""
    if len(findings.rules) < 2:
        return ""
    buttons = "".join(
        f'<button type="button" data-set-rule="{m.text(rule)}" aria-pressed="{str(i == 0).lower()}">'
        f"{m.text(rule_name(rule))}{' (headline)' if i == 0 else ''}</button>"
        for i, rule in enumerate(findings.rules)
    )
    return f'<div class="rules" role="group" aria-label="Selection rule"><span>Chosen by</span> {buttons}</div>'


def curve_section(findings: Findings) -> str:
    """The curve with its buttons, caption and sample images."""
    if not findings.rules:
        text = "No confirm trial has finished yet: there is no curve. Search trials never see test data."
        return m.section("curve", "Accuracy against bias", m.paragraph(text))
    info = section(findings.sweeps[0].config, "dataset_info")
    name = str(findings.curve["bias_axis"].iloc[0])
    axis = findings.sweeps[0].axis(name)
    classes = info.get("classes") or ()
    mixed = findings.curve["dataset"].nunique() > 1 or findings.curve["bias_axis"].nunique() > 1
    figures, summaries, captions = {}, {}, {}
    for rule in findings.rules:
        captions[rule] = m.paragraph(words.curve_caption(findings, rule))
        summaries[rule] = words.curve_summary(findings, rule)
        try:
            figures[rule] = plot_accuracy_vs_bias(
                findings.curve,
                rule=rule,
                x="bias_strength" if mixed else "bias_value",
                axis_title=str(axis.get("long_name") or name),
                metric=f"{findings.metric} on unbiased test images",
                unbiased_at=axis.get("unbiased_at"),
                chance=1 / len(classes) if findings.metric == "accuracy" and len(classes) > 1 else None,
                title="",
                names=findings.names(),
            )
        except InputError:
            summaries[rule] = captions[rule]
    notes = [str(section(s.config, "dataset_info").get("note") or "") for s in findings.sweeps]
    notes.append(str(section(findings.sweeps[0].config, "network").get("note") or ""))
    return m.section(
        "curve",
        f"{words.upper_first(findings.metric)} against bias",
        "".join(m.paragraph(f"Note: {note}.".replace("..", "."), "note") for note in dict.fromkeys(notes) if note),
        rule_buttons(findings),
        m.plot("figure-curve", figures, summaries, m.per_rule(captions)) if figures else "",
        m.bullets(words.coincidences(findings)),
        strip(findings),
    )


def strip(findings: Findings) -> str:
    """The same images at every bias strength, weak to strong, under the axis."""
    parts = []
    for sweep in findings.sweeps:
        boxes = "".join(
            f"<figure>{m.image(s.png, f'{sweep.alt}, {s.caption}')}"
            f"<figcaption>{m.text(s.caption)}</figcaption></figure>"
            for s in sweep.strips
        )
        if boxes:
            parts.append(
                f'<div class="strip-title"><span>The same images, weak bias</span><span>stronger bias →</span></div>'
                f'<div class="strip">{boxes}</div>'
            )
    return "".join(parts)


def hyperparameter_section(findings: Findings) -> str:
    """What each rule chose in each cell."""
    rows = findings.selected
    if rows.empty:
        return ""
    known = ["sweep", "rule", "label", "facet", "method", "cell", "repeat", "bias_value", "bias_strength", "validation"]
    names = [str(c) for c in rows if c not in [*known, "candidates", "anchor", "trial_id"] and rows[c].notna().any()]
    fixed = [name for name in names if len(rows) > 1 and rows[name].notna().all() and rows[name].nunique() == 1]
    names = [name for name in names if name not in fixed]
    same = ", ".join(f"{name} {m.cell_text(m.short(rows[name].iloc[0]))}" for name in fixed)
    parts = {}
    for rule in findings.rules:
        chosen = rows[rows["rule"] == rule].sort_values(["sweep", "label", "facet", "bias_strength"])
        lines = [
            [
                m.label(r),
                f"{r['bias_value']:g}",
                f"{r['validation']:.3f}",
                r["candidates"],
                *(m.short(r[name]) for name in names),
            ]
            for r in chosen.to_dict("records")
        ]
        anchors = [f"{m.label(r)} at {r['bias_value']:g}" for r in chosen.to_dict("records") if r["anchor"]]
        words_ = [f"Chosen by {rule_name(rule)}.", f"The same everywhere: {same}." if same else ""]
        words_.append(f"No debiasing was preferred (all its weights are 0): {', '.join(anchors)}." if anchors else "")
        headers = ["method", str(findings.trials["bias_axis"].iloc[0]), "validation", "candidates"]
        caption = " ".join(word for word in words_ if word)
        parts[rule] = m.table([*headers, *(n.rstrip("_") for n in names)], lines, caption)
    return m.section("hyperparameters", "Selected hyperparameters", m.per_rule(parts))


def search_section(findings: Findings) -> str:
    """Maps of the search over (bias, weight), and what a larger search would give."""
    plots = []
    search = findings.trials[(findings.trials["phase"] == "search") & (findings.trials["status"] == "completed")]
    for label, rows in search.groupby("label", sort=False):
        for parameter in (p for p in _PRESSURES if rows[p].nunique() > 1):
            try:
                figure = plot_lambda_map(findings.trials, str(label), parameter, findings.headline, title="")
            except InputError:
                continue
            symbol = parameter.rstrip("_")
            caption = (
                f"{label}: validation value of every search trial over bias and {symbol}, by "
                f"{rule_name(findings.headline)}; the chosen one is ringed, {symbol} = 0 is no debiasing."
            )
            identifier = re.sub(r"\W+", "-", f"figure-map-{label}-{parameter}")
            plots.append(m.heading(f"{label}: {symbol} against bias"))
            plots.append(m.plot(identifier, {"": figure}, {"": caption}, m.paragraph(caption)))
            break
    budget = ""
    try:
        figure = plot_search_budget(findings.trials, findings.headline, title="")
        caption = (
            f"Expected best validation value ({rule_name(findings.headline)}) of the first n search trials at the "
            "strongest bias: does a method win only with a large search?"
        )
        budget = m.heading("What a larger search gives") + m.plot(
            "figure-budget", {"": figure}, {"": caption}, m.paragraph(caption)
        )
    except InputError:
        pass
    return m.section("search", "Search", *plots, budget)


def learning_section(findings: Findings) -> str:
    """Learning curves of the confirm trials at the strongest bias."""
    figures, summaries = {}, {}
    for rule in findings.rules:
        try:
            figures[rule] = plot_learning_curves(findings.trials, findings.history, rule, title="")
        except InputError:
            continue
        summaries[rule] = f"Test accuracy by epoch at the strongest bias, chosen by {rule_name(rule)}."
    if not figures:
        return ""
    caption = m.paragraph(
        "Unbiased test accuracy by epoch at the strongest bias, a line per seed. To look at, never to choose: "
        "the reported epoch is fixed beforehand or chosen on validation."
    )
    return m.section("learning", "Learning curves", m.plot("figure-learning", figures, summaries, caption))


def cost_section(findings: Findings) -> str:
    """Trials, epochs and hours of each method."""
    rows = [
        [
            r["label"],
            r["phase"],
            *(int(r[k]) for k in ("trials", "completed", "pruned", "failed", "epochs")),
            f"{r['hours']:.3g}",
        ]
        for r in cost(findings.trials).to_dict("records")
    ]
    headers = ["method", "phase", "trials", "completed", "pruned", "failed", "epochs", "hours of training"]
    totals = []
    for sweep in findings.sweeps:
        seconds, money = sweep.status.get("seconds"), sweep.status.get("cost")
        if isinstance(seconds, (int, float)):
            totals.append(f"{sweep.name}: {seconds / 60:.1f} minutes of wall time in its last run")
        if isinstance(money, (int, float)):
            totals.append(f"{sweep.name}: cost {money:.2f}")
    return m.section("cost", "Cost", m.table(headers, rows), m.bullets(totals))

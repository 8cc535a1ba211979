"use strict";
(() => {
  const narrow = window.matchMedia("(max-width: 600px)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const plots = [...document.querySelectorAll(".plot")].map((div) => ({
    div,
    byRule: JSON.parse(document.querySelector(`script[data-for="${div.id}"]`).textContent),
  }));
  let rule = document.querySelector("[data-set-rule]")?.dataset.setRule ?? null;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Breaks the first line of an axis title, which may have a second line of its own.
  function wrap(text, width) {
    const [first, ...rest] = text.split("<br>");
    const lines = [""];
    for (const word of first.split(" ")) {
      if (lines.at(-1) && lines.at(-1).length + word.length > width) lines.push("");
      lines.push(`${lines.pop()} ${word}`.trim());
    }
    return [...lines, ...rest].join("<br>");
  }

  // The darkest blue and the faint bands do not show on a dark ground.
  const onDark = (data) => JSON.parse(
    JSON.stringify(data)
      .replaceAll("#0072B2", "#4FA8E8")
      .replaceAll("rgba(0, 114, 178,", "rgba(79, 168, 232,")
      .replaceAll(", 0.16)", ", 0.24)"),
  );

  function layoutFor(figure, height) {
    const layout = structuredClone(figure.layout);
    layout.font.color = color("--text");
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: color("--hover"), font: { size: 12, color: color("--text") } };
    if (narrow.matches) {
      layout.font.size = 11;
      layout.margin = { ...layout.margin, l: 44, r: 8 };
      layout.height = height + 18 * Math.max(0, figure.data.filter((trace) => trace.showlegend !== false).length - 3);
      layout.xaxis.title.text = wrap(layout.xaxis.title.text, 42);
    }
    return layout;
  }

  function draw({ div, byRule }) {
    const figure = byRule[rule] ?? byRule[""] ?? (rule === null ? Object.values(byRule)[0] : undefined);
    div.closest("figure").hidden = figure === undefined;
    if (figure === undefined) return;
    div.setAttribute("aria-label", figure.summary);
    const data = dark.matches ? onDark(figure.data) : structuredClone(figure.data);
    Plotly.react(div, data, layoutFor(figure, Number(div.dataset.height)), {
      responsive: true,
      displaylogo: false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      displayModeBar: narrow.matches ? false : "hover",
    });
  }

  function show(next) {
    rule = next;
    for (const element of document.querySelectorAll("[data-rule]")) element.hidden = element.dataset.rule !== rule;
    for (const button of document.querySelectorAll("[data-set-rule]")) {
      button.setAttribute("aria-pressed", String(button.dataset.setRule === rule));
    }
    plots.forEach(draw);
  }

  for (const button of document.querySelectorAll("[data-set-rule]")) {
    button.addEventListener("click", () => show(button.dataset.setRule));
  }
  for (const query of [narrow, dark]) query.addEventListener("change", () => plots.forEach(draw));
  window.addEventListener("beforeprint", () => plots.forEach(({ div }) => Plotly.Plots.resize(div)));
  plots.forEach(draw);
})();

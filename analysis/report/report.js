"use strict";
(() => {
  const narrow = window.matchMedia("(max-width: 600px)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Views after the first hold what differs from it (switches.py), traces by their uid.
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  function merged(base, change) {
    const whole = Array.isArray(base) ? [...base] : { ...base };
    for (const [name, value] of Object.entries(change)) {
      if (value === null) delete whole[name];
      else if (isObject(value) && "[]" in value) whole[name] = merged(whole[name], value["[]"]);
      else whole[name] = isObject(value) && isObject(whole[name]) ? merged(whole[name], value) : value;
    }
    return whole;
  }
  function expanded([first, ...others]) {
    const traces = Object.fromEntries(first.data.map((trace) => [trace.uid, trace]));
    const views = [first, ...others.map((view) => ({
      ...view,
      layout: merged(first.layout, view.layout),
      data: view.data.map((trace) => merged(traces[trace.uid ?? ""] ?? {}, trace)),
    }))];
    return views.map((view) => ({ ...view, data: view.data.map(({ uid, ...trace }) => trace) }));
  }

  const plots = [...document.querySelectorAll(".plot")].map((div) => ({
    div,
    views: expanded(JSON.parse(document.querySelector(`script[data-for="${div.id}"]`).textContent)),
  }));
  const buttons = [...document.querySelectorAll("button[data-switch]")];
  const state = {};
  for (const { dataset } of buttons) state[dataset.switch] ??= dataset.value;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Breaks the first line of a title, which may have a second line of its own.
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

  function layoutFor(figure) {
    const layout = structuredClone(figure.layout);
    layout.font.color = color("--text");
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: color("--hover"), font: { size: 12, color: color("--text") } };
    if (!narrow.matches) return layout;
    const shown = figure.data.filter((trace) => trace.showlegend !== false && trace.type === "scatter").length;
    layout.font.size = 11;
    layout.margin = { ...layout.margin, l: 44, r: 8 };
    layout.height += layout.showlegend === false ? 0 : 18 * Math.max(0, shown - 3);
    if (layout.xaxis?.title?.text) layout.xaxis.title.text = wrap(layout.xaxis.title.text, 42);
    if (layout.title?.text) {
      // The second line, a note, is a span: it is broken as a title of its own.
      const [title, note] = layout.title.text.split(/<br>(?=<span)/);
      const words = note ? note.replaceAll("<br>", " ").replace(/<[^>]+>/g, "") : "";
      const lines = [...wrap(title, 40).split("<br>"), ...(words ? wrap(words, 52).split("<br>") : [])];
      layout.title.text = [
        wrap(title, 40),
        ...(words ? [`<span style='font-size:11px'>${wrap(words, 52)}</span>`] : []),
      ].join("<br>");
      layout.title = { ...layout.title, font: { size: 14 }, yanchor: "top" };
      layout.margin.t = 32 + 18 * lines.length;
      layout.height += 18 * (lines.length - 1);
    }
    const { height, top, annotations, data, ...axes } = figure.layout.meta?.narrow ?? {};
    layout.margin.t += top ?? 0;
    for (const [name, change] of Object.entries(axes)) layout[name] = { ...layout[name], ...change };
    for (const [i, change] of (annotations ?? []).entries()) Object.assign(layout.annotations[i], change);
    if (height) layout.height = height + (layout.margin.t ?? 0);
    if (layout.title?.text) layout.title.y = 1 - 18 / layout.height;
    return layout;
  }

  // The legend of plotly answers to the pointer only.
  function openLegend(div) {
    const entries = [...div.querySelectorAll(".legend .traces")];
    for (const [i, entry] of entries.entries()) {
      const trace = entry.__data__?.[0]?.trace;
      if (!trace || div.layout.showlegend === false) continue;
      const visible = trace.visible === true;
      entry.setAttribute("tabindex", "0");
      entry.setAttribute("role", "checkbox");
      entry.setAttribute("aria-checked", String(visible));
      entry.setAttribute("aria-label", entry.textContent.trim());
      entry.onkeydown = (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        const group = div.data.flatMap((other, k) =>
          (trace.legendgroup ? other.legendgroup === trace.legendgroup : k === trace.index) ? [k] : []);
        Plotly.restyle(div, { visible: visible ? "legendonly" : true }, group)
          .then(() => div.querySelectorAll(".legend .traces")[i]?.focus());
      };
    }
  }

  const holds = (when) => Object.entries(when).every(([name, value]) => !(name in state) || state[name] === value);

  function draw({ div, views }) {
    const figure = views.find((view) => holds(view.when));
    div.closest("figure").hidden = figure === undefined;
    if (figure === undefined) return;
    document.getElementById(`${div.id}-words`).textContent = figure.summary;
    const data = dark.matches ? onDark(figure.data) : structuredClone(figure.data);
    const changes = narrow.matches ? figure.layout.meta?.narrow?.data ?? [] : [];
    for (const [i, change] of changes.entries()) data[i] = merged(data[i], change);
    const layout = layoutFor(figure);
    div.style.minHeight = `${layout.height}px`;
    Plotly.react(div, data, layout, {
      responsive: true,
      displaylogo: false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      displayModeBar: narrow.matches ? false : "hover",
    });
    if (!div.dataset.drawn) div.on("plotly_afterplot", () => openLegend(div));
    div.dataset.drawn = "true";
    openLegend(div);
  }

  function set(name, value) {
    state[name] = value;
    for (const element of document.querySelectorAll("[data-switch-of]")) {
      if (element.dataset.switchOf === name) element.hidden = element.dataset.value !== value;
    }
    for (const button of buttons) {
      if (button.dataset.switch === name) button.setAttribute("aria-pressed", String(button.dataset.value === value));
    }
    plots.filter(({ views }) => views.some(({ when }) => name in when)).forEach(draw);
  }

  for (const button of buttons) button.addEventListener("click", () => set(button.dataset.switch, button.dataset.value));
  for (const query of [narrow, dark]) query.addEventListener("change", () => plots.forEach(draw));
  window.addEventListener("beforeprint", () => plots.forEach(({ div }) => Plotly.Plots.resize(div)));
  plots.forEach(draw);
})();

"use strict";
// Draws the plots in the colours of the page, again when these change, and filters the lists.
(() => {
  const CONFIG = { responsive: true, displayModeBar: false };
  const plots = [...document.querySelectorAll(".plot")];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function axis(given) {
    return { automargin: true, gridcolor: colour("--grid"), linecolor: colour("--line"), tickcolor: colour("--line"), ...given };
  }

  function styled(layout) {
    const shapes = (layout.shapes || []).map((shape) =>
      shape.name === "margin"
        ? { ...shape, layer: "below", line: { width: 0 }, fillcolor: colour("--band") }
        : { ...shape, layer: "below", line: { width: 1, color: colour("--zero") } });
    return {
      ...layout,
      shapes,
      autosize: true,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--text"), size: 12 },
      hoverlabel: { bgcolor: colour("--back"), bordercolor: colour("--soft"), font: { color: colour("--text") } },
      margin: { l: 56, r: 14, t: 14, b: 44 },
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
    };
  }

  const given = new Map(plots.map((plot) => [plot, JSON.parse(plot.querySelector("script").textContent)]));

  async function drawAll() {
    for (const [plot, { data, layout }] of given) {
      await Plotly.newPlot(plot, data, styled(layout), CONFIG);
      await new Promise((done) => setTimeout(done)); // the page stays usable meanwhile
    }
    document.documentElement.dataset.drawn = String(plots.length);
  }

  function restyle(width, shrink = 1) {
    for (const [plot, { layout }] of given) {
      if (plot.classList.contains("js-plotly-plot")) {
        Plotly.relayout(plot, width
          ? { ...styled(layout), autosize: false, width, height: layout.height * shrink }
          : { ...styled(layout), width: undefined });
      }
    }
  }

  dark.addEventListener("change", () => restyle());
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((each) => { each.open = true; });
    document.documentElement.classList.add("printing"); // paper is white, whatever the screen is
    restyle(330, 0.75); // two beside each other on a sheet
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    restyle();
  });

  for (const form of document.querySelectorAll("[data-filters]")) {
    const rows = [...document.getElementById(form.dataset.filters).tBodies[0].rows];
    const fields = [...form.querySelectorAll("[data-column]")];
    const told = form.querySelector("output");
    for (const field of fields.filter((each) => each.tagName === "SELECT")) {
      for (const value of new Set(rows.map((row) => row.dataset[field.dataset.column]))) {
        field.add(new Option(value, value));
      }
    }
    const filter = () => {
      let shown = 0;
      for (const row of rows) {
        row.hidden = !fields.every((field) => {
          const value = field.value;
          if (!value) return true;
          if (field.dataset.column) return row.dataset[field.dataset.column] === value;
          return row.textContent.toLowerCase().includes(value.toLowerCase());
        });
        shown += row.hidden ? 0 : 1;
      }
      told.textContent = `${shown} of ${rows.length} shown`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    filter();
  }

  for (const box of document.querySelectorAll("[data-differences]")) {
    box.addEventListener("change", () => {
      for (const row of document.querySelectorAll(`#${box.dataset.differences} tbody tr:not(.group)`)) {
        row.hidden = box.checked && !row.classList.contains("differs");
      }
    });
  }

  drawAll();
})();

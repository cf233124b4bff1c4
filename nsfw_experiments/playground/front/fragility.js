// Scores after each transformation: a row for each, a dot for each picture.

const CHART = { left: 82, right: 14, top: 8, row: 14 };

function chartOf(reports, width) {
  const names = reports[0].scores.map(({ name }) => name);
  const { left, right, top, row } = CHART;
  const height = top + row * names.length + 22;
  const x = (score) => left + score * (width - left - right);
  const y = (index) => top + row * (index + 0.5);
  const summary = reports.map(({ label, score, number }) => `${label}: score ${digits(score)}, fragility ${number.toFixed(2)}`).join("; ");
  const chart = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Scores after ${names.length} transformations. ${summary}` });
  for (const score of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    chart.append(drawn("line", { x1: x(score), x2: x(score), y1: top, y2: height - 20, class: "grid" }));
    chart.append(drawn("text", { x: x(score), y: height - 6, "text-anchor": "middle" }, String(score)));
  }
  names.forEach((name, index) => chart.append(drawn("text", { x: left - 8, y: y(index) + 4, "text-anchor": "end" }, name)));
  reports.forEach((report, series) => {
    chart.append(drawn("line", { x1: x(report.score), x2: x(report.score), y1: top, y2: height - 20, class: `own series-${series}` }));
    report.scores.forEach(({ name, score }, index) => {
      const dot = drawn("circle", { cx: x(score), cy: y(index), r: 4.5, class: `series-${series}` });
      dot.append(drawn("title", {}, `${report.label}, ${name}: ${digits(score)}`));
      chart.append(dot);
    });
  });
  return chart;
}

function showFragility(page) {
  const { parts, model } = page;
  const { error, running, reports = [] } = model.get("fragility");
  showError(parts["fragility-error"], error);
  parts.measure.disabled = Boolean(running);
  if (reports.length === 0) {
    parts.chart.replaceChildren();
    parts["fragility-note"].textContent = running ? "measuring …" : "Change its score first to compare both.";
    return;
  }
  parts["fragility-note"].textContent = running ? "measuring …" : "Lines are the scores as they are, dots those after each change.";
  const key = document.createElement("ul");
  key.className = "key";
  reports.forEach(({ label, score, number }, series) => {
    const item = document.createElement("li");
    item.className = `series-${series}`;
    item.textContent = `${label}: score ${digits(score)}, fragility ${number.toFixed(2)}`;
    key.append(item);
  });
  parts.chart.replaceChildren(key, chartOf(reports, parts.chart.clientWidth || 560));
}

function makeFragility(page) {
  page.parts.measure.addEventListener("click", () => page.send("measure"));
  page.on("fragility", () => showFragility(page));
}

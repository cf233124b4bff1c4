// The painting that evolves.

function showPainting(page) {
  const { parts, model } = page;
  const state = model.get("painting");
  showError(parts["painting-error"], state.error);
  const painted = state.image !== undefined;
  parts["stop-painting"].disabled = !state.running;
  parts.paint.disabled = Boolean(state.running);
  parts.paint.textContent = painted && !state.running ? "Go on" : "Paint";
  for (const name of ["save-png", "save-svg", "anew"]) parts[name].disabled = !painted;
  showBytes(parts.painted, state.image);
  parts["painting-empty"].hidden = painted;
  if (!painted && state.running) parts["painting-empty"].textContent = "The best of many random paintings is looked for …";
  if (!painted) return;
  const value = state.label === "PSNR" ? `${state.value.toFixed(2)} dB like the picture` : `score ${digits(state.value)}`;
  parts["painting-facts"].textContent = `${value} · generation ${state.generation} · ${state.evaluations} evaluations`;
  parts["painting-facts"].setAttribute("aria-busy", Boolean(state.running));
  parts["painting-facts"].dataset.generation = state.generation;
}

function makePainting(page) {
  const { parts, send } = page;
  const paint = (anew) => send("paint", { shapes: parts.shapes.value, aim: parts.aim.value, anew });
  const { shape, aim } = page.model.get("painting"); // of a page that was opened again
  if (aim) {
    parts.shapes.value = shape;
    parts.aim.value = aim;
  }
  parts.paint.addEventListener("click", () => paint(false));
  parts.anew.addEventListener("click", () => paint(true));
  parts["stop-painting"].addEventListener("click", () => send("stop"));
  parts["save-png"].addEventListener("click", () => send("save", { what: "png" }));
  parts["save-svg"].addEventListener("click", () => send("save", { what: "svg" }));
  page.on("painting", () => showPainting(page));
}

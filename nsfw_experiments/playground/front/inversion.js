// The slider to any score, and the change that it makes.

function showInversion(page, scale) {
  const { parts, model } = page;
  const state = model.get("inversion");
  showError(parts["inversion-error"], state.error);
  parts["stop-inversion"].disabled = !state.running;
  parts["save-inversion"].disabled = !state.done;
  if (state.target !== undefined) showTarget(parts, state.target);
  const found = state.after !== undefined;
  parts.triple.hidden = !found;
  parts["inversion-empty"].hidden = found;
  parts["inversion-facts"].textContent = factsOf(state);
  parts["inversion-facts"].setAttribute("aria-busy", Boolean(state.running)); // only the end is read aloud
  if (!found) {
    scale.show(undefined);
    return;
  }
  scale.show(state.score);
  Object.assign(parts["inversion-facts"].dataset, { score: state.score, rate: state.rate });
  for (const name of ["before", "after", "difference"]) showBytes(parts[name], state[name]);
  parts["after-caption"].textContent = `changed, ${digits(state.score)}`;
  parts["difference-caption"].textContent = state.largest ? `difference, × ${state.factor.toPrecision(3)}` : "no difference";
}

function factsOf(state) {
  if (state.evaluations === undefined) return state.running ? "beginning …" : "";
  const change = state.psnr == null ? "unchanged" : `PSNR ${state.psnr.toFixed(1)} dB`;
  const end = state.running ? `, ${state.rate.toFixed(0)} a second` : state.reached ? " · there" : " · stopped short of the target";
  return `score now ${digits(state.score)} · ${change} · ${state.evaluations} evaluations${end}`;
}

// The slider is where the search goes, also on a page that was opened again; not while somebody holds it.
function showTarget({ target, "target-number": number }, score) {
  if (document.activeElement !== target) target.value = score;
  number.textContent = target.valueAsNumber.toFixed(2);
}

function makeInversion(page) {
  const { parts, send } = page;
  const scale = makeScale(parts["target-scale"], "Score of the changed picture");
  const slide = () => send("slide", { target: parts.target.valueAsNumber });
  const slideSoon = thinned(150, slide);
  parts.target.addEventListener("input", () => {
    parts["target-number"].textContent = parts.target.valueAsNumber.toFixed(2);
    slideSoon();
  });
  parts.invert.addEventListener("click", slide);
  parts["stop-inversion"].addEventListener("click", () => send("stop"));
  parts["save-inversion"].addEventListener("click", () => send("save", { what: "inversion" }));
  page.on("inversion", () => showInversion(page, scale));
}

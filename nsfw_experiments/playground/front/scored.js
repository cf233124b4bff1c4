// The picture with its score, and over it the map of what raises and lowers it.

const METHOD_NAMES = {
  "class-activation-map": "class activation map",
  occlusion: "occlusion (seconds)",
  "integrated-gradients": "integrated gradients (slow)",
  "grad-cam": "Grad-CAM",
  "smooth-grad": "SmoothGrad (seconds)",
  "input-gradient": "input gradient",
};

function showScored(page, scale) {
  const { parts, model } = page;
  const state = model.get("scored");
  showError(parts["source-error"], state.error);
  parts.stage.classList.toggle("waiting", Boolean(state.running));
  parts["why-note"].textContent = state.running ? "computing …" : "";
  if (state.score === undefined) return;
  parts.placeholder.hidden = true;
  parts.name.textContent = state.name;
  parts.size.textContent = `${state.width} × ${state.height}`;
  parts.score.textContent = digits(state.score);
  parts.score.dataset.score = state.score;
  parts.verdict.textContent = wordFor(state.score);
  parts.why.disabled = parts.method.disabled = false;
  showBytes(parts.picture, state.image, `${state.name}, score ${digits(state.score)}`);
  showBytes(parts.map, state.map, `What raises the score of ${state.name} in red, what lowers it in blue, by ${METHOD_NAMES[state.method]}`);
  scale.show(state.score);
  if (parts.method.options.length !== state.methods.length)
    parts.method.replaceChildren(...state.methods.map((name) => new Option(METHOD_NAMES[name] ?? name, name)));
  parts.method.value = state.wanted;
  for (const button of parts.thumbnails.children)
    button.setAttribute("aria-pressed", button.dataset.name === state.name);
}

function makeScored(page) {
  const { parts, send } = page;
  const scale = makeScale(parts.scale, "Score");
  const toggle = (pressed) => {
    parts.why.setAttribute("aria-pressed", pressed);
    parts.why.textContent = pressed ? "Hide why" : "Show why";
    parts.stage.classList.toggle("explained", pressed);
  };
  parts.why.addEventListener("click", () => toggle(parts.why.getAttribute("aria-pressed") === "false"));
  parts.method.addEventListener("change", () => {
    toggle(true);
    send("explain", { method: parts.method.value });
  });
  page.on("scored", () => showScored(page, scale));
}

// The page: its parts are put together, Python is told what people do, and its answers are shown.

const SILENCE = 10000; // milliseconds after which Python is taken to be gone
let pages = 0;

function makeTabs(parts, root) {
  const id = `nsfw-playground-${(pages += 1)}`;
  const tabs = [...parts.tabs.children];
  const panels = [...root.querySelectorAll("[data-panel]")];
  const select = (tab) => {
    for (const other of tabs) {
      other.setAttribute("aria-selected", other === tab);
      other.tabIndex = other === tab ? 0 : -1;
    }
    for (const panel of panels) panel.hidden = panel.dataset.panel !== tab.dataset.tab;
  };
  tabs.forEach((tab, index) => {
    const [panel] = panels.filter((one) => one.dataset.panel === tab.dataset.tab);
    tab.id = `${id}-tab-${index}`;
    panel.id = `${id}-panel-${index}`;
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      select(next);
      next.focus();
    });
  });
  select(tabs[0]);
}

// Each message has a number, and Python says which it heard.
function makeConnection(model, onSilence, onVoice) {
  let number = 0;
  const unheard = new Map();
  const hear = (message, buffers) => {
    if (message.file) saveBytes(message.file, buffers[0]);
    if (message.heard === undefined) return;
    clearTimeout(unheard.get(message.heard));
    unheard.delete(message.heard);
    onVoice();
  };
  model.on("msg:custom", hear);
  const send = (what, values = {}, buffers = []) => {
    number += 1;
    unheard.set(number, setTimeout(onSilence, SILENCE));
    try {
      model.send({ do: what, number, ...values }, undefined, buffers);
    } catch {
      onSilence();
    }
  };
  const end = () => {
    model.off("msg:custom", hear);
    for (const timer of unheard.values()) clearTimeout(timer);
  };
  return { send, end };
}

// JupyterLab says which theme it has; anywhere else the system does.
function followTheme(root) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const { dataset } = document.body;
  const follow = () => {
    const isLab = dataset.jpThemeLight !== undefined && dataset.voila === undefined;
    const dark = isLab ? dataset.jpThemeLight === "false" : system.matches;
    root.classList.toggle("dark", dark);
  };
  const observer = new MutationObserver(follow);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  system.addEventListener("change", follow);
  follow();
  return () => {
    observer.disconnect();
    system.removeEventListener("change", follow);
  };
}

function showNetwork(page) {
  const { parts, model } = page;
  const { error, ready } = model.get("network");
  page.root.dataset.ready = ready;
  page.root.querySelector(".columns").inert = !ready;
  if (error) parts.placeholder.textContent = "There is no network.";
  parts.status.classList.toggle("error", Boolean(error));
  parts.status.hidden = !error;
  parts.status.textContent = error;
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "nsfw-playground";
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take keys for its own, arrows among them
  root.innerHTML = model.get("markup");
  el.append(root);
  const parts = partsOf(root);
  const ended = [];
  const connection = makeConnection(
    model,
    () => {
      parts.status.hidden = false;
      parts.status.textContent = "Python does not answer. Run the cell again, or start the page again, to play.";
    },
    () => showNetwork(page),
  );
  const page = {
    root,
    parts,
    model,
    send: connection.send,
    on(name, show) {
      model.on(`change:${name}`, show);
      ended.push(() => model.off(`change:${name}`, show));
      show();
    },
  };
  makeTabs(parts, root);
  page.on("network", () => showNetwork(page));
  makeSource(page);
  makeScored(page);
  makeInversion(page);
  makePainting(page);
  makeFragility(page);
  page.send("hello");
  ended.push(followTheme(root), connection.end);
  return () => ended.forEach((end) => end());
}

export default { render };


"use strict";
const list = document.getElementById("cards");
const cards = [...list.children];
const [find, label, sort, blur] = ["find", "label", "sort", "blur"].map((id) => document.getElementById(id));
const score = (card) => Number(card.dataset.score);
const orders = {
  highest: (a, b) => score(b) - score(a),
  lowest: (a, b) => score(a) - score(b),
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }),
};
const shown = () => [...list.children].filter((card) => !card.hidden);

function filter() {
  const part = find.value.toLowerCase();
  for (const card of cards) {
    const other = label.value && !card.classList.contains(label.value);
    card.hidden = Boolean(other) || !card.dataset.name.toLowerCase().includes(part);
  }
  const count = shown().length;
  document.getElementById("shown").textContent = `${count} of ${cards.length} pictures`;
  document.getElementById("nothing").hidden = count > 0;
}

find.addEventListener("input", filter);
label.addEventListener("change", filter);
sort.addEventListener("change", () => list.append(...cards.sort(orders[sort.value])));
blur.addEventListener("change", () => list.classList.toggle("blurred", blur.checked));
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

// One card is reached by Tab, the others from there by the arrows
list.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
  const step = steps[event.key];
  const visible = shown();
  const next = visible[visible.indexOf(event.target) + step];
  if (step && next) {
    event.preventDefault();
    next.focus();
  }
});
list.addEventListener("focusin", (event) => {
  for (const card of list.querySelectorAll('[tabindex="0"]')) card.tabIndex = -1;
  event.target.tabIndex = 0;
});
function columns() {
  return getComputedStyle(list).gridTemplateColumns.split(" ").length;
}
filter();

// Parts of the page by their names, and what is done to any of them.

function partsOf(root) {
  const found = {};
  for (const element of root.querySelectorAll("[data-part]")) found[element.dataset.part] = element;
  return found;
}

const addresses = new WeakMap();

// Show bytes in an image; what it showed before is given back to the browser.
function showBytes(image, bytes, alt) {
  if (!bytes) {
    image.hidden = true;
    return;
  }
  const former = addresses.get(image);
  const address = URL.createObjectURL(new Blob([bytes]));
  addresses.set(image, address);
  image.src = address;
  if (former) URL.revokeObjectURL(former);
  image.hidden = false;
  if (alt !== undefined) image.alt = alt;
}

function showError(element, text) {
  element.textContent = text || "";
  element.hidden = !text;
}

function saveBytes(name, bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes]));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Call a function at most once in an interval, and always with the last arguments.
function thinned(milliseconds, call) {
  let timer = null;
  let latest = null;
  return (...values) => {
    latest = values;
    timer ??= setTimeout(() => {
      timer = null;
      call(...latest);
    }, milliseconds);
  };
}

function drawn(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Where pictures come from: a file, a drop, the clipboard, the camera, or one of those to begin with.

const PART = 1 << 20; // bytes of a message

async function upload(file, page) {
  const { parts, model, send } = page;
  const largest = model.get("largest_file");
  if (file.size > largest) {
    showError(parts["source-error"], `${file.name}: got ${Math.ceil(file.size / 2 ** 20)} MiB, expected at most ${largest / 2 ** 20} MiB`);
    return;
  }
  showError(parts["source-error"], "");
  parts.stage.classList.add("waiting");
  const bytes = await file.arrayBuffer();
  let start = 0;
  do {
    const end = Math.min(start + PART, bytes.byteLength);
    send("upload", { name: file.name, first: start === 0, last: end === bytes.byteLength }, [bytes.slice(start, end)]);
    start = end;
  } while (start < bytes.byteLength);
}

function takeFiles(input, page) {
  input.addEventListener("change", () => {
    if (input.files.length) upload(input.files[0], page);
    input.value = ""; // so that the same file can be chosen again
  });
}

function takeDrops(stage, page) {
  const within = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  for (const name of ["dragenter", "dragover"])
    stage.addEventListener(name, (event) => {
      within(event);
      stage.classList.add("over");
    });
  for (const name of ["dragleave", "drop"])
    stage.addEventListener(name, (event) => {
      within(event);
      stage.classList.remove("over");
    });
  stage.addEventListener("drop", (event) => {
    const [file] = event.dataTransfer.files;
    if (file) upload(file, page);
    else showError(page.parts["source-error"], "Drop: got no file, expected a picture's file");
  });
}

function takePhotographs(page) {
  const { parts } = page;
  const dialog = parts["camera-dialog"];
  if (!navigator.mediaDevices?.getUserMedia) {
    parts.snapshot.hidden = !matchMedia("(pointer: coarse)").matches; // a phone's own camera does without
    return;
  }
  parts.camera.hidden = false;
  let stream = null;
  parts.camera.addEventListener("click", async () => {
    showError(parts["camera-error"], "");
    dialog.showModal();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      parts.video.srcObject = stream;
    } catch (error) {
      showError(parts["camera-error"], `The camera cannot be used: ${error.message}`);
    }
    parts.shoot.disabled = !stream;
  });
  const close = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    if (dialog.open) dialog.close();
  };
  dialog.addEventListener("close", close);
  parts["close-camera"].addEventListener("click", close);
  parts.shoot.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = parts.video.videoWidth;
    canvas.height = parts.video.videoHeight;
    canvas.getContext("2d").drawImage(parts.video, 0, 0);
    canvas.toBlob((blob) => upload(new File([blob], "camera.png"), page));
    close();
  });
}

function showExamples(page) {
  const { parts, model, send } = page;
  const buttons = model.get("examples").map(({ name, caption, image }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.name = name;
    button.setAttribute("aria-label", caption);
    button.title = caption;
    const picture = document.createElement("img");
    showBytes(picture, image, "");
    button.append(picture);
    button.addEventListener("click", () => {
      parts.stage.classList.add("waiting");
      send("choose", { name });
    });
    return button;
  });
  parts.thumbnails.replaceChildren(...buttons);
}

function makeSource(page) {
  const { parts, model } = page;
  takeFiles(parts.file, page);
  takeFiles(parts["snapshot-file"], page);
  takeDrops(parts.stage, page);
  takePhotographs(page);
  page.on("examples", () => showExamples(page));
}

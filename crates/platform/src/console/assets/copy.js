// Copy buttons: `data-copy="text"` or `data-copy-from="#id"`.

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no clipboard interface, except on this machine.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-from]");
  if (!button) return;
  event.preventDefault();
  const source = button.dataset.copyFrom ? document.querySelector(button.dataset.copyFrom) : null;
  const text = source ? (source.value ?? source.textContent) : button.dataset.copy;
  const done = await copied(text);
  const label = button.getAttribute("aria-label");
  button.classList.toggle("done", done);
  button.setAttribute("aria-label", done ? "Copied" : "Copying was refused");
  button.title = done ? "Copied" : "Copying was refused";
  const use = button.querySelector("use");
  const href = use?.getAttribute("href");
  if (done && use) use.setAttribute("href", href.replace(/#.*/, "#check"));
  setTimeout(() => {
    button.classList.remove("done");
    if (label) button.setAttribute("aria-label", label);
    button.title = label ?? "";
    if (use) use.setAttribute("href", href);
  }, 1600);
});

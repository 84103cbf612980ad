// Values that are shown once: a form or button with `data-shows="#dialog"` fills the dialog's `[data-values]` from the
// reply's member `fields`, masked. They go when the dialog is closed, and when the page is left.
import { openById } from "./dialogs.js";
import { toast } from "./toast.js";

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function row(name, value, place) {
  const id = `shown-value-${place}`;
  // A line break would be lost in a line of text; PEM has many.
  const long = value.includes("\n");
  const field = long ? element("textarea", { id, rows: "8" }) : element("input", { id, type: "password" });
  for (const [key, set] of [["readonly", ""], ["autocomplete", "off"], ["spellcheck", "false"], ["data-value", ""]]) field.setAttribute(key, set);
  const masked = "•".repeat(24);
  field.value = long ? masked : value;
  const toggle = element("button", { type: "button", class: "button small", "aria-pressed": "false", "aria-controls": id }, "Show");
  toggle.addEventListener("click", () => {
    const shown = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", String(shown));
    toggle.textContent = shown ? "Hide" : "Show";
    if (long) field.value = shown ? value : masked;
    else field.type = shown ? "text" : "password";
  });
  const copy = element("button", { type: "button", class: "button small" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(value);
      copy.textContent = "Copied";
      copy.disabled = true;
    } catch {
      toast("The browser refused to copy; show it and copy it by hand.", { tone: "bad" });
    }
  });
  const label = element("label", { for: id }, name);
  return element("div", { class: "field" }, label, field, element("div", { class: "actions" }, toggle, copy));
}

function wipe(dialog) {
  const values = dialog.querySelector("[data-values]");
  if (!values) return;
  for (const field of values.querySelectorAll("[data-value]")) field.value = "";
  values.replaceChildren();
}

const dialogs = () => [...document.querySelectorAll("dialog:has([data-shown-once])")];

document.addEventListener("aim:done", (event) => {
  const target = event.target.dataset?.shows;
  if (!target) return;
  const reply = event.detail;
  const dialog = document.querySelector(target);
  if (!reply?.fields || !dialog) {
    toast("It was asked for: another administrator has to approve it.");
    return;
  }
  wipe(dialog);
  const rows = Object.entries(reply.fields).map(([name, value], place) => row(name, value, place));
  dialog.querySelector("[data-values]").replaceChildren(...rows);
  event.target.closest("dialog")?.close();
  openById(dialog.id);
});

for (const dialog of dialogs()) dialog.addEventListener("close", () => { wipe(dialog); location.reload(); });
addEventListener("pagehide", () => dialogs().forEach(wipe));

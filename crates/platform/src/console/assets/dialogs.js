// Dialogs, drawers and menus. `<dialog>` keeps the focus inside and gives it back.

/** Opens the dialog or drawer of that id. */
export function openById(id) {
  const dialog = document.getElementById(id);
  if (!(dialog instanceof HTMLDialogElement) || dialog.open) return;
  dialog.showModal();
  dialog.querySelector("[autofocus], .field input, .field textarea, .field select")?.focus();
}

let asking = null;

function askingDialog() {
  if (asking) return asking;
  asking = document.createElement("dialog");
  asking.className = "dialog";
  asking.setAttribute("aria-labelledby", "confirm-title");
  asking.innerHTML = `<form method="dialog"><header><h2 id="confirm-title"></h2></header>
    <div class="field" hidden><label for="confirm-word"></label><input id="confirm-word" autocomplete="off"></div>
    <div class="form-actions"><button class="button" value="no" type="button">Cancel</button><button class="button primary" value="yes">Confirm</button></div></form>`;
  asking.querySelector("[value=no]").addEventListener("click", () => asking.close("no"));
  document.body.append(asking);
  return asking;
}

/** Asks whether to go on; with a word, that has to be typed. */
export function confirmed(question, word, danger) {
  const dialog = askingDialog();
  const field = dialog.querySelector(".field");
  const input = dialog.querySelector("input");
  const yes = dialog.querySelector("[value=yes]");
  dialog.querySelector("h2").textContent = question;
  field.hidden = !word;
  input.value = "";
  yes.disabled = Boolean(word);
  yes.classList.toggle("danger", Boolean(danger));
  if (word) field.querySelector("label").textContent = `Type ${word} to confirm`;
  input.oninput = () => { yes.disabled = Boolean(word) && input.value !== word; };
  dialog.returnValue = "no";
  dialog.showModal();
  (word ? input : yes).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

document.addEventListener("click", (event) => {
  const target = event.target;
  const opener = target.closest?.("[data-open]");
  if (opener) {
    event.preventDefault();
    opener.closest("details.menu")?.removeAttribute("open");
    openById(opener.dataset.open);
    return;
  }
  if (target.closest?.("[data-close]")) {
    const dialog = target.closest("dialog");
    if (dialog) dialog.close();
    else history.back();
    return;
  }
  // A click on the backdrop closes a drawer; a form may hold what was typed, so it stays.
  if (target instanceof HTMLDialogElement && target.classList.contains("drawer")) target.close();
  for (const menu of document.querySelectorAll("details.menu[open], details.nav-menu[open]")) {
    if (!menu.contains(target)) menu.removeAttribute("open");
  }
});

// `close` does not rise, but can be caught on its way down.
document.addEventListener("close", (event) => {
  if (event.target.dataset?.reload !== undefined) location.reload();
}, true);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open], details.nav-menu[open]")) {
    menu.removeAttribute("open");
    menu.querySelector("summary")?.focus();
  }
});

// An address can name a dialog that is to be open: `#new-agent`.
const named = location.hash.slice(1);
if (/^[\w-]+$/.test(named)) openById(named);
for (const dialog of document.querySelectorAll("dialog[data-open-now]")) openById(dialog.id);

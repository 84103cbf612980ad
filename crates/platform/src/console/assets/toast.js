// Short words at the edge of the page, with Undo where something can be undone.

/** Shows a toast: `{tone, undo, seconds}`. */
export function toast(message, { tone, undo, seconds = 6 } = {}) {
  const place = document.querySelector(".toasts");
  if (!place) return;
  const box = document.createElement("div");
  box.className = tone === "bad" ? "toast bad" : "toast";
  const text = document.createElement("p");
  text.textContent = message;
  box.append(text);
  let timer;
  const remove = () => { clearTimeout(timer); box.remove(); };
  const wait = () => { timer = setTimeout(remove, seconds * 1000); };
  const button = (label, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", act);
    box.append(made);
  };
  if (undo) button("Undo", () => { remove(); undo(); });
  button("Dismiss", remove);
  box.addEventListener("pointerenter", () => clearTimeout(timer));
  box.addEventListener("pointerleave", wait);
  box.addEventListener("focusin", () => clearTimeout(timer));
  place.append(box);
  wait();
}

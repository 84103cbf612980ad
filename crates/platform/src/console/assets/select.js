// Tables whose rows can be chosen: a box for all of them, and a bar that says how many.

function boxes(table) {
  return [...table.querySelectorAll("tbody input[type=checkbox]:not(:disabled)")];
}

function show(table) {
  const all = boxes(table);
  const chosen = all.filter((box) => box.checked);
  const head = table.querySelector("thead input[type=checkbox]");
  if (head) {
    head.checked = all.length > 0 && chosen.length === all.length;
    head.indeterminate = chosen.length > 0 && chosen.length < all.length;
  }
  const scope = table.closest("form") ?? document;
  for (const bar of scope.querySelectorAll("[data-selection]")) {
    bar.hidden = chosen.length === 0;
    for (const count of bar.querySelectorAll("[data-count]")) count.textContent = String(chosen.length);
    // What is about to happen is named, not only counted.
    for (const names of bar.querySelectorAll("[data-names]")) names.textContent = chosen.map((box) => box.dataset.name ?? "").filter(Boolean).join(", ");
  }
  const form = table.closest("form");
  if (form) form.dataset.count = String(chosen.length);
}

for (const table of document.querySelectorAll("table[data-select]")) {
  const cell = table.querySelector("thead th.select");
  if (cell && !cell.querySelector("input")) {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", "Select all");
    cell.textContent = "";
    cell.append(box);
  }
  table.addEventListener("change", (event) => {
    if (event.target.closest("thead")) for (const box of boxes(table)) box.checked = event.target.checked;
    show(table);
  });
  show(table);
}

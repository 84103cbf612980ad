// Filters live in the URL: a choice applies at once, and what is empty stays out of the address.

// Whether a field's times are in UTC: the viewer's are, or those of this field (`data-utc`) always.
const utc = (field) => "utc" in field.dataset || document.documentElement.dataset.time === "utc";

function apply(form) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (typeof value !== "string" || value === "") continue;
    const field = form.elements.namedItem(name);
    const isLocal = field?.type === "datetime-local";
    query.append(name, isLocal ? new Date(utc(field) ? `${value}Z` : value).toISOString() : value);
  }
  const text = query.toString();
  location.assign(text === "" ? form.getAttribute("action") || location.pathname : `${form.getAttribute("action") || location.pathname}?${text}`);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches?.("form.filters")) return;
  event.preventDefault();
  apply(form);
});
document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.matches("form.filters") && (event.target.tagName === "SELECT" || event.target.type === "checkbox")) apply(form);
});
// A moment in the address is UTC; the field shows it as the viewer reads times.
for (const field of document.querySelectorAll("input[type=datetime-local][data-time]")) {
  const moment = new Date(field.dataset.time);
  if (!Number.isNaN(moment.getTime())) field.value = new Date(moment - (utc(field) ? 0 : moment.getTimezoneOffset() * 60000)).toISOString().slice(0, 16);
}

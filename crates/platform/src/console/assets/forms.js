// Forms and buttons that call the API: `data-api="POST /api/v1/…"`. What goes wrong is shown at the field that
// the problem names, and what was typed stays.
import { toast } from "./toast.js";
import { confirmed, openById } from "./dialogs.js";

/** Calls the API; answers `{ok, status, body}`. Never throws. */
export async function call(method, path, body) {
  const headers = { accept: "application/json" };
  const request = { method, headers, credentials: "same-origin", redirect: "error" };
  if (body !== undefined && method !== "GET" && method !== "DELETE" || (method === "DELETE" && body !== undefined && Object.keys(body).length > 0)) {
    headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(path, request);
    const text = await response.text();
    let parsed = null;
    try { parsed = text === "" ? null : JSON.parse(text); } catch { parsed = null; }
    return { ok: response.ok, status: response.status, body: parsed };
  } catch {
    const problem = { title: "AIM could not be reached", detail: "Check the connection and try again. Nothing may have been changed.", code: "network" };
    return { ok: false, status: 0, body: problem };
  }
}

/** What is wrong, in words for people. */
export function words(problem) {
  if (!problem) return "Something went wrong.";
  const text = problem.detail || problem.title || "Something went wrong";
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.?!]$/.test(sentence) ? sentence : `${sentence}.`;
}

const skip = Symbol("skip");

function converted(field, raw) {
  const kinds = (field.dataset.type || "string").split(/\s+/);
  if (kinds.includes("omit-empty") && (raw === "" || raw === undefined || raw === null)) return skip;
  if (kinds.includes("null-empty") && raw.trim() === "") return null;
  for (const kind of kinds) {
    switch (kind) {
      case "int": return /^-?\d+$/.test(raw.trim()) ? Number(raw) : raw === "" ? null : raw;
      case "number": return raw.trim() === "" || Number.isNaN(Number(raw)) ? (raw === "" ? null : raw) : Number(raw);
      case "bool": return raw === true || raw === "true";
      case "list": return raw.split(/[\n,]/).map((item) => item.trim()).filter((item) => item !== "");
      case "json":
        if (raw.trim() === "") return kinds.includes("omit-empty") ? skip : null;
        return JSON.parse(raw);
      case "base64": return btoa(String.fromCharCode(...new TextEncoder().encode(raw)));
      case "time": return raw === "" ? null : new Date(document.documentElement.dataset.time === "utc" ? `${raw}Z` : raw).toISOString();
      default:
    }
  }
  return raw;
}

function put(target, path, value) {
  const parts = path.split(".");
  const last = parts.pop();
  let place = target;
  for (const part of parts) place = place[part] ??= {};
  place[last] = value;
}

/** The fields of a form as the JSON that the API takes. Throws `{field, message}` for JSON that is none. */
export function collect(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled || field.type === "submit" || field.type === "button" || field.closest("[data-skip]")) continue;
    const kinds = (field.dataset.type || "").split(/\s+/);
    if (field.type === "radio" && !field.checked) continue;
    if (field.type === "checkbox") {
      if (kinds.includes("bool")) {
        put(body, field.name, field.checked);
      } else {
        // Boxes of one name are a list, even when none of them is checked.
        const path = field.name;
        const present = path.split(".").reduce((place, part) => place?.[part], body);
        const list = Array.isArray(present) ? present : [];
        if (field.checked) list.push(kinds.includes("int") ? Number(field.value) : field.value);
        put(body, path, list);
      }
      continue;
    }
    if (field.multiple && field.selectedOptions) {
      put(body, field.name, [...field.selectedOptions].map((option) => option.value));
      continue;
    }
    let value;
    try {
      value = converted(field, field.value);
    } catch (error) {
      throw { field: field.name, message: `This is not valid JSON: ${error.message}` };
    }
    if (value !== skip) put(body, field.name, value);
  }
  return body;
}

function fieldNamed(form, name) {
  if (!name) return null;
  const exact = form.elements.namedItem(name);
  if (exact) return exact instanceof RadioNodeList ? exact[0] : exact;
  // `tags[1]` and `scope.resources[0].pattern` belong to the nearest field above them.
  const above = name.replace(/\[[^\]]*\]$/, "").replace(/\.[^.[]+$/, (tail) => (form.elements.namedItem(name.replace(/\[.*$/, "")) ? tail : ""));
  const shorter = above === name ? name.replace(/\[.*$/, "") : above;
  return shorter !== name && shorter !== "" ? fieldNamed(form, shorter) : null;
}

function clear(form) {
  form.querySelector(":scope > .form-error")?.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const words of form.querySelectorAll(".field-error")) {
    words.hidden = true;
    words.textContent = "";
  }
}

function showProblem(form, problem, status) {
  const field = status === 403 ? null : fieldNamed(form, problem?.field);
  const said = words(problem);
  if (field) {
    field.setAttribute("aria-invalid", "true");
    const place = document.getElementById(`${field.id}-error`) ?? field.closest(".field")?.querySelector(".field-error");
    if (place) {
      place.textContent = said;
      place.hidden = false;
      field.focus();
      return;
    }
  }
  const box = document.createElement("div");
  box.className = "form-error";
  box.setAttribute("role", "alert");
  const title = document.createElement("strong");
  title.textContent = said;
  const detail = document.createElement("p");
  detail.textContent = problem?.remedy ?? "";
  box.append(title, detail);
  if (problem?.request_id && status >= 500) {
    const id = document.createElement("p");
    id.className = "quiet";
    id.textContent = `Request id ${problem.request_id}`;
    box.append(id);
  }
  form.prepend(box);
  box.tabIndex = -1;
  box.focus();
}

const member = (value, path) => path.split(".").reduce((place, part) => place?.[part], value);
const filled = (text, reply) => text.replace(/\{([\w.]+)\}/g, (_, path) => encodeURIComponent(member(reply, path) ?? ""));
const filledWords = (text, reply) => text.replace(/\{([\w.]+)\}/g, (_, path) => member(reply, path) ?? "");

/** Fills what is marked with `data-reply="member"` from a reply; a `data-rows="member"` holds a template that is repeated. */
export function fill(place, reply) {
  for (const rows of place.querySelectorAll("[data-rows]")) {
    const template = rows.querySelector(":scope > template");
    rows.replaceChildren(template);
    for (const entry of member(reply, rows.dataset.rows) ?? []) {
      const row = template.content.cloneNode(true);
      fill(row, entry);
      rows.append(row);
    }
  }
  for (const element of place.querySelectorAll("[data-reply]")) {
    // Of an entry, and filled already.
    if (element.closest("[data-rows]")) continue;
    const value = member(reply, element.dataset.reply);
    const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
    if ("value" in element && element.tagName !== "LI" && element.tagName !== "BUTTON") element.value = text;
    else element.textContent = text;
    const copier = element.parentElement?.querySelector(":scope > [data-copy]");
    if (copier) copier.dataset.copy = text;
  }
}

const WAITING = "aim.toast";

/** A toast that outlives the page that is left; `undo` is `{method, path, body, until}`. */
function toastLater(message, undo) {
  try { sessionStorage.setItem(WAITING, JSON.stringify({ message, undo })); } catch { /* private mode: then without */ }
}

const leaves = (then) => (then || "reload").split("|").some((step) => /^\s*(reload|goto:)/.test(step));
/** As {@link filledWords}, for JSON: `{member}` that is a list or an object becomes one. */
const filledJson = (text, reply) => text.replace(/"?\{([\w.]+)\}"?/g, (_, path) => JSON.stringify(member(reply, path) ?? null));

function follow(element, then, reply) {
  const steps = (then || "reload").split("|").map((step) => step.trim());
  const leaving = leaves(then);
  for (const step of steps) {
    const [kind, rest] = [step.split(":", 1)[0], step.slice(step.indexOf(":") + 1)];
    if (kind === "toast") (leaving ? (text) => toastLater(text) : toast)(filledWords(rest, reply));
    if (kind === "show") {
      const shown = document.querySelector(rest);
      if (!shown) continue;
      fill(shown, reply);
      element.closest("dialog")?.close();
      if (shown instanceof HTMLDialogElement) openById(shown.id);
      else shown.hidden = false;
    }
    if (kind === "reset" && element.reset) element.reset();
    if (kind === "close") element.closest("dialog")?.close();
    if (kind === "reload") location.reload();
    if (kind === "goto") location.assign(filled(rest, reply));
  }
}

function split(api) {
  const at = api.indexOf(" ");
  return [api.slice(0, at).toUpperCase(), api.slice(at + 1).trim()];
}

function busy(element, on) {
  const buttons = element.tagName === "FORM" ? element.querySelectorAll("button[type=submit], button:not([type])") : [element];
  for (const button of buttons) {
    button.disabled = on;
    if (on) button.setAttribute("aria-busy", "true");
    else button.removeAttribute("aria-busy");
  }
}

function signedOut(status, path) {
  if (status !== 401 || path.includes("/auth/login") || document.body.classList.contains("bare")) return false;
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  return true;
}

async function takeBack({ method, path, body }) {
  const answer = await call(method, path, body);
  if (!answer.ok) return toast(words(answer.body), { tone: "bad" });
  toastLater("Undone.");
  location.reload();
  return undefined;
}

function offerUndo(element, reply) {
  const { undo, undoBody, undoText, then } = element.dataset;
  if (!undo) return;
  const [method, path] = split(filled(undo, reply));
  const step = { method, path, body: undoBody ? JSON.parse(filledJson(undoBody, reply)) : {}, until: Date.now() + 10_000 };
  const message = filledWords(undoText || "Done.", reply);
  // Where the page is left, the offer goes along.
  if (leaves(then)) toastLater(message, step);
  else toast(message, { undo: () => takeBack(step), seconds: 10 });
}

/** Calls for page after page, as long as there is a `next_cursor`: numbers are added up, lists are those of the first page. */
async function callForAll(method, path, body) {
  const first = await call(method, path, body);
  let page = first;
  while (page.ok && page.body?.next_cursor) {
    page = await call(method, path, { ...body, cursor: page.body.next_cursor });
    if (!page.ok) return page;
    for (const [name, value] of Object.entries(page.body)) if (typeof value === "number") first.body[name] += value;
  }
  return first;
}

async function send(element, method, path, body, then = element.dataset.then) {
  busy(element, true);
  const answer = await ("pages" in element.dataset ? callForAll : call)(method, path, body);
  busy(element, false);
  if (signedOut(answer.status, path)) return;
  const form = element.tagName === "FORM" ? element : null;
  if (!answer.ok) {
    if (form) showProblem(form, answer.body, answer.status);
    else toast(words(answer.body), { tone: "bad" });
    return;
  }
  const go = element.dispatchEvent(new CustomEvent("aim:done", { bubbles: true, cancelable: true, detail: answer.body }));
  if (!go) return;
  offerUndo(element, answer.body);
  follow(element, then, answer.body);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset?.api) return;
  event.preventDefault();
  clear(form);
  let body;
  try {
    body = collect(form);
  } catch (problem) {
    showProblem(form, { field: problem.field, detail: problem.message ?? String(problem) }, 422);
    return;
  }
  // `{name}` in the path is a field of the form, which then is not in the body.
  let [method, path] = split(form.dataset.api);
  path = path.replace(/\{([\w.]+)\}/g, (_, name) => {
    const value = member(body, name);
    delete body[name];
    return encodeURIComponent(value ?? "");
  });
  const { confirm, confirmWord } = form.dataset;
  // A button that has a name says something of its own, such as whether this is a trial.
  const { submitter } = event;
  if (submitter?.name) put(body, submitter.name, converted(submitter, submitter.value));
  const names = [...form.querySelectorAll("input[data-name]:checked")].map((box) => box.dataset.name).join(", ");
  if (confirm && !(await confirmed(confirm.replace("{count}", form.dataset.count ?? "").replace("{names}", () => names), confirmWord))) return;
  await send(form, method, path, body, submitter?.dataset.then);
});

// `<input type="file" data-into="id">` puts a file's text into a field; the file itself is not sent.
document.addEventListener("change", async (event) => {
  const { into } = event.target.dataset ?? {};
  const [file] = event.target.files ?? [];
  if (!into || !file) return;
  const field = document.getElementById(into);
  field.value = await file.text();
  field.dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-api]");
  if (!button || button.tagName === "FORM") return;
  event.preventDefault();
  const { api, body, confirm, confirmWord } = button.dataset;
  if (confirm && !(await confirmed(confirm, confirmWord, button.classList.contains("danger")))) return;
  const [method, path] = split(api);
  await send(button, method, path, body ? JSON.parse(body) : method === "DELETE" ? undefined : {});
});

document.addEventListener("input", (event) => {
  const field = event.target;
  if (field.getAttribute?.("aria-invalid") !== "true") return;
  field.removeAttribute("aria-invalid");
  const place = document.getElementById(`${field.id}-error`);
  if (place) place.hidden = true;
});

try {
  const waiting = sessionStorage.getItem(WAITING);
  if (waiting) {
    sessionStorage.removeItem(WAITING);
    const { message, undo } = JSON.parse(waiting);
    const seconds = undo ? (undo.until - Date.now()) / 1000 : 0;
    if (seconds > 0) toast(message, { undo: () => takeBack(undo), seconds });
    else toast(message);
  }
} catch { /* private mode: nothing was kept */ }

// Pages on which agents' keys are made: registration, a first signed action, rotation and replacement.

import { call as send, words as inWords } from "./forms.js";
import { AgentKey, download, isSupported, keyFileName } from "./signing.js";

const supported = isSupported();

/** A refusal: of the API (RFC 9457 problem details), or ours in the same form. */
class Refusal extends Error {
  constructor(problem) {
    super(inWords(problem));
    this.problem = problem;
  }
}

/** Calls the API in the user's session; throws what it refuses. */
async function call(method, path, body) {
  const answer = await send(method, path, body);
  if (!answer.ok) throw new Refusal(answer.body ?? { detail: `the server answered ${answer.status}` });
  return answer.body;
}

/** Puts what went wrong at the field that it names, else into the form's summary. */
function tell(form, error) {
  const problem = error instanceof Refusal ? error.problem : { detail: error.message };
  const said = inWords(problem);
  const name = problem.field?.replace(/\[\d+\]$/, "");
  const field = name && form.querySelector(`[name="${CSS.escape(name)}"]`);
  const place = field && document.getElementById(field.getAttribute("aria-describedby")?.split(" ").pop());
  const shown = place ?? form.querySelector("[data-summary]");
  shown.textContent = problem.request_id && !place ? `${said} Request id ${problem.request_id}.` : said;
  shown.hidden = false;
  field?.setAttribute("aria-invalid", "true");
  (field ?? shown).focus();
}

function forget(form) {
  for (const shown of form.querySelectorAll(".field-error, [data-summary]")) shown.hidden = true;
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

/** Runs `work` for each submission of the form, one at a time. */
function onSubmit(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = [...form.querySelectorAll("button[type=submit]")];
    if (buttons.some((button) => button.disabled)) return;
    forget(form);
    for (const button of buttons) button.disabled = true;
    form.setAttribute("aria-busy", "true");
    try {
      await work(new FormData(form));
    } catch (error) {
      tell(form, error);
    } finally {
      for (const button of buttons) button.disabled = false;
      form.removeAttribute("aria-busy");
    }
  });
}

const words = (value) => (value ?? "").split(/[\n,]/).map((word) => word.trim()).filter(Boolean);

/** The form when keys can be made here, the fallback when they cannot. */
async function choose(root) {
  const able = await supported;
  for (const part of root.querySelectorAll("[data-when-supported]")) part.hidden = !able;
  for (const part of root.querySelectorAll("[data-when-unsupported]")) part.hidden = able;
}

/** Fills the elements that show a part of what was made. */
function fill(root, values) {
  for (const place of root.querySelectorAll("[data-show]")) {
    const value = values[place.dataset.show];
    if (value === undefined) continue;
    if (place.dataset.template) {
      place.textContent = place.dataset.template.replaceAll(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
    } else {
      place.textContent = value;
    }
  }
  for (const place of root.querySelectorAll("[data-fill]")) {
    place.textContent = place.dataset.fill.replaceAll(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  }
  for (const link of root.querySelectorAll("a[data-href]")) {
    link.href = link.dataset.href.replaceAll(/\{(\w+)\}/g, (whole, name) => encodeURIComponent(values[name] ?? whole));
  }
}

/** Keeps the user from leaving before the private key is saved. */
function guard(root) {
  const state = { saved: false };
  const ask = (event) => {
    if (!state.saved) event.preventDefault();
  };
  globalThis.addEventListener("beforeunload", ask);
  const dialog = root.closest("dialog");
  dialog?.addEventListener("cancel", (event) => {
    if (!state.saved) event.preventDefault();
  });
  return {
    done() {
      state.saved = true;
      globalThis.removeEventListener("beforeunload", ask);
      for (const part of root.querySelectorAll("[data-when-saved]")) part.hidden = false;
      for (const part of root.querySelectorAll("[data-until-saved]")) part.hidden = true;
    },
  };
}

/** Offers a private key as a download, in both forms. */
function offer(root, key, name, agentId) {
  const guarded = guard(root);
  for (const button of root.querySelectorAll("[data-download]")) {
    button.addEventListener("click", async () => {
      if (button.dataset.download === "pem") download(`${name}.pem`, await key.pem());
      else download(keyFileName(name), await key.keyFile(name, agentId));
      guarded.done();
    });
  }
}

/** Sends a first action that this page signs. */
function offerAction(root, key) {
  const form = root.querySelector("form[data-act]");
  if (!form) return;
  const shown = form.querySelector("[data-verdict]");
  onSubmit(form, async (data) => {
    const { status, body } = await key.verify(data.get("action"), data.get("resource"));
    const verdict = body.status ?? body.code ?? String(status);
    shown.hidden = false;
    shown.dataset.status = verdict;
    shown.className = `verdict tone-${{ approved: "good", pending: "warn" }[verdict] ?? "bad"}`;
    const why = body.denial_reason ?? body.detail ?? (body.reasons ?? []).map((reason) => reason.message).join("; ");
    shown.querySelector("[data-verdict-status]").textContent = verdict;
    shown.querySelector("[data-verdict-why]").textContent = why || "";
    shown.querySelector("[data-verdict-id]").textContent = body.id ? `Decision ${body.id}` : "";
  });
}

/** Registration: pair, challenge, proof, and then the way to a first action. */
function registration(root) {
  choose(root);
  const form = root.querySelector("form[data-register]");
  const result = root.querySelector("[data-registered]");
  onSubmit(form, async (data) => {
    const key = await AgentKey.generate();
    const { challenge } = await call("POST", "/api/v1/agents/challenges");
    const body = {
      name: data.get("name").trim(),
      description: data.get("description").trim(),
      agent_type: data.get("agent_type").trim(),
      tags: words(data.get("tags")),
      talks_to: words(data.get("talks_to")),
      public_key: key.spkiBase64(),
      challenge,
      proof: await key.proof("register", challenge),
    };
    const shown = data.get("display_name").trim();
    if (shown) body.display_name = shown;
    const agent = await call("POST", "/api/v1/agents", body);
    fill(result, {
      id: agent.id,
      name: agent.name,
      fingerprint: key.fingerprint,
      origin: location.origin,
      authority: location.host,
      file: keyFileName(agent.name),
    });
    offer(result, key, agent.name, agent.id);
    offerAction(result, key);
    for (const part of root.querySelectorAll("[data-before]")) part.hidden = true;
    result.hidden = false;
    result.querySelector("h3, h2")?.focus();
  });
}

/** Rotation with the present key in hand, or replacement by a manager. */
function renewal(root) {
  choose(root);
  const { agent, name, fingerprint } = root.dataset;
  const form = root.querySelector("form[data-renew]");
  const result = root.querySelector("[data-renewed]");
  onSubmit(form, async (data) => {
    const base = `/api/v1/agents/${agent}/key-vault`;
    const reason = data.get("reason").trim();
    let present = null;
    if (form.dataset.renew === "rotate") {
      const file = data.get("present_key");
      if (!file?.size) throw new Refusal({ field: "present_key", detail: "choose the file of the present private key" });
      try {
        present = await AgentKey.read(await file.text());
      } catch (error) {
        throw new Refusal({ field: "present_key", detail: error.message });
      }
      if (present.fingerprint !== fingerprint) {
        const detail = `this is another key (${present.fingerprint}); the present one is ${fingerprint}`;
        throw new Refusal({ field: "present_key", detail });
      }
    }
    const next = await AgentKey.generate();
    const { challenge } = await call("POST", `${base}/challenges`);
    const body = { public_key: next.spkiBase64(), challenge, proof: await next.proof("rotate", challenge) };
    if (reason) body.reason = reason;
    if (present) {
      body.previous_signature = await present.consent(agent, challenge, next);
      if (data.get("grace_hours")) body.grace_hours = Number(data.get("grace_hours"));
    }
    await call("POST", `${base}/${form.dataset.renew}`, body);
    fill(result, { fingerprint: next.fingerprint, id: agent, name, file: keyFileName(name) });
    offer(result, next, name, agent);
    for (const part of root.querySelectorAll("[data-before]")) part.hidden = true;
    result.hidden = false;
    result.querySelector("h3, h2")?.focus();
  });
}

/** Shows one of several forms of the public key. */
function forms(root) {
  const tabs = [...root.querySelectorAll("[role=tab]")];
  const show = (chosen) => {
    for (const tab of tabs) {
      const current = tab === chosen;
      tab.setAttribute("aria-selected", String(current));
      tab.tabIndex = current ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !current;
    }
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => show(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      show(next);
      next.focus();
    });
  }
  root.querySelector("[role=tablist]").hidden = false;
  if (tabs.length) show(tabs[0]);
}

for (const root of document.querySelectorAll("[data-registration]")) registration(root);
for (const root of document.querySelectorAll("[data-renewal]")) renewal(root);
for (const root of document.querySelectorAll("[data-key-forms]")) forms(root);

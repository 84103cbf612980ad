// The ways in. A token comes in the address' fragment, which no server and no log sees; it is taken out of
// the address at once, so that it stays out of the history too.
import { call, words } from "./forms.js";

const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) history.replaceState(null, "", location.pathname + location.search);
// A link that is opened while this very page is shown changes the fragment alone.
addEventListener("hashchange", () => { if (location.hash.includes("token=")) location.reload(); });

const setUp = document.getElementById("set-up");
if (setUp && token) {
  const field = setUp.elements.namedItem("token");
  field.value = token;
  field.closest(".field").hidden = true;
  setUp.elements.namedItem("organization").focus();
}
// What is wrong with the token must be seen, even when the link filled it in.
setUp?.addEventListener("focusin", (event) => {
  if (event.target.name === "token") event.target.closest(".field").hidden = false;
});

const signIn = document.getElementById("sign-in");
if (signIn && token) {
  const state = document.getElementById("link-state");
  state.hidden = false;
  const [method, path] = signIn.dataset.linkApi.split(" ");
  const answer = await call(method, path, { token });
  if (answer.ok) {
    location.replace(signIn.dataset.then.replace(/^goto:/, "") || "/");
  } else {
    state.textContent = words(answer.body);
    state.className = "form-error";
  }
}

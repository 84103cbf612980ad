// Light or dark, UTC or local: kept in cookies, so that the server sends the page right at once.
import { showTimes } from "./time.js";

function keep(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax${secure}`;
}

function mark() {
  const root = document.documentElement;
  for (const button of document.querySelectorAll("[data-set-theme]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setTheme === root.dataset.theme));
  }
  for (const button of document.querySelectorAll("[data-set-time]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setTime === root.dataset.time));
  }
}

document.addEventListener("click", (event) => {
  const root = document.documentElement;
  const theme = event.target.closest?.("[data-set-theme]");
  if (theme) {
    root.dataset.theme = theme.dataset.setTheme;
    keep("aim_theme", root.dataset.theme);
  }
  const time = event.target.closest?.("[data-set-time]");
  if (time) {
    root.dataset.time = time.dataset.setTime;
    keep("aim_time", root.dataset.time);
    showTimes();
  }
  if (theme || time) mark();
});
mark();

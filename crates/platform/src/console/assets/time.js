// Times: relative ones keep up, exact ones are in the viewer's zone or in UTC, countdowns tick.

const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const utc = () => document.documentElement.dataset.time === "utc";

/** How long ago, or from now on. */
export function relative(moment, now = Date.now()) {
  const seconds = Math.round((now - moment) / 1000);
  const distance = Math.abs(seconds);
  if (distance < 10) return "just now";
  const [unit, size] = UNITS.find(([, length]) => distance >= length);
  const count = Math.floor(distance / size);
  const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds < 0 ? `in ${words}` : `${words} ago`;
}

/** A moment to the second. */
export function exact(moment) {
  const date = new Date(moment);
  if (utc()) return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const offset = -date.getTimezoneOffset();
  const zone = offset === 0 ? "UTC" : `UTC${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

function left(until, now) {
  const seconds = Math.floor((until - now) / 1000);
  if (seconds <= 0) return "over";
  const two = (number) => String(number).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 86400)} d ${clock}`;
}

function set(element, text, title) {
  if (element.textContent !== text) element.textContent = text;
  if (element.title !== title) element.title = title;
}

/** Brings every time in `place` up to date. */
export function showTimes(place = document) {
  const now = Date.now();
  for (const element of place.querySelectorAll("time[datetime]")) {
    const moment = Date.parse(element.dateTime);
    if (Number.isNaN(moment)) continue;
    if ("countdown" in element.dataset) set(element, left(moment, now), exact(moment));
    else if (element.dataset.form === "exact") set(element, exact(moment), relative(moment, now));
    else if (element.dataset.form === "ago") set(element, relative(moment, now), exact(moment));
  }
}

/** Keeps all times up to date from now on. */
export function startTimes() {
  showTimes();
  setInterval(() => {
    if (document.hidden) return;
    if (document.querySelector("[data-countdown]") || Date.now() % 15000 < 1000) showTimes();
  }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) showTimes(); });
}

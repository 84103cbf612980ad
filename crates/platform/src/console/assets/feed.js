// Live lists. `<div data-feed="/api/v1/events/stream">` with `<template data-feed-item>`, `<ol class="feed">`, and if it
// likes `[data-feed-state]`, `[data-feed-pause]` and `[data-feed-more]`. In the template `data-text="member"`,
// `data-moment="member"`, `data-href="/path/{member}"`, `data-level="member"` (severity) and `data-outcome="member"` are filled
// from the event. A link to what the event does not have is none.
import { showTimes } from "./time.js";

const MOST = 50;
const TONES = { approved: "good", denied: "bad", refused: "bad", pending: "warn" };
const member = (value, path) => path.split(".").reduce((place, part) => place?.[part], value);

function made(template, event) {
  const item = template.content.firstElementChild.cloneNode(true);
  const all = [item, ...item.querySelectorAll("*")];
  for (const element of all) {
    const { text, moment, href, level, outcome } = element.dataset;
    if (text) element.textContent = member(event, text) ?? "";
    if (moment) {
      element.setAttribute("datetime", member(event, moment) ?? "");
      element.dataset.form ??= "ago";
    }
    const parts = [...(href ?? "").matchAll(/\{([\w.]+)\}/g)];
    if (href && parts.every(([, path]) => (member(event, path) ?? "") !== "")) {
      element.setAttribute("href", href.replace(/\{([\w.]+)\}/g, (_, path) => encodeURIComponent(member(event, path))));
    }
    if (outcome) {
      const name = String(member(event, outcome) ?? "");
      if (name === "ok" && event.severity) {
        element.className = `badge severity severity-${/^[a-z]+$/.test(event.severity) ? event.severity : "info"}`;
        element.textContent = event.severity.charAt(0).toUpperCase() + event.severity.slice(1);
        continue;
      }
      element.className = `badge tone-${TONES[name] ?? "neutral"}`;
      element.textContent = name === "ok" ? "Event" : name.charAt(0).toUpperCase() + name.slice(1);
    }
    if (level) {
      const name = String(member(event, level) ?? "info");
      element.className = `badge severity severity-${/^[a-z]+$/.test(name) ? name : "info"}`;
      element.textContent = name.charAt(0).toUpperCase() + name.slice(1);
    }
  }
  item.classList.add("new");
  return item;
}

function start(place) {
  const list = place.querySelector("ol.feed, ul.feed");
  const template = place.querySelector("template[data-feed-item]");
  const state = place.querySelector("[data-feed-state]");
  const pause = place.querySelector("[data-feed-pause]");
  const more = place.querySelector("[data-feed-more]");
  if (!list || !template) return;
  let paused = false;
  let waiting = [];
  const say = (name, words) => {
    if (!state) return;
    state.dataset.state = name;
    state.textContent = words;
  };
  const put = (events) => {
    for (const event of events) list.prepend(made(template, event));
    while (list.children.length > MOST) list.lastElementChild.remove();
    place.querySelector("[data-feed-empty]")?.setAttribute("hidden", "");
    showTimes(list);
  };
  const showWaiting = () => {
    if (!more) return;
    more.hidden = waiting.length === 0;
    more.textContent = `${waiting.length === MOST ? `${MOST}+` : waiting.length} new`;
  };
  const release = () => {
    put(waiting);
    waiting = [];
    showWaiting();
  };
  const source = new EventSource(place.dataset.feed);
  const take = (message) => {
    let event;
    try { event = JSON.parse(message.data); } catch { return; }
    const kinds = place.dataset.feedKinds?.split(" ");
    if (kinds && !kinds.includes(event.kind ?? message.type)) return;
    // Whoever reads further down is not pushed away.
    const reading = list.matches(":hover") || list.contains(document.activeElement);
    if (!paused && !reading) return put([event]);
    waiting.push(event);
    waiting = waiting.slice(-MOST);
    return showWaiting();
  };
  source.addEventListener("message", take);
  for (const kind of (place.dataset.feedEvents ?? "").split(" ").filter(Boolean)) source.addEventListener(kind, take);
  source.addEventListener("open", () => { if (!paused) say("live", "Live"); });
  source.addEventListener("error", () => say("lost", source.readyState === EventSource.CLOSED ? "Disconnected; reload the page" : "Reconnecting…"));
  more?.addEventListener("click", release);
  pause?.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    say(paused ? "paused" : "live", paused ? "Paused" : "Live");
    if (!paused) release();
  });
  addEventListener("pagehide", () => source.close());
}

/** Starts every live list of the page. */
export function startFeeds() {
  for (const place of document.querySelectorAll("[data-feed]")) start(place);
}

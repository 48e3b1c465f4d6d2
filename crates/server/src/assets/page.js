// What Cofferdam's pages do beyond links and forms: they stay up to date, they are moved through by keys, they are filtered.
//
// All markup comes from the server, which renders an update with the same code as the page. Here it is only put in its place: an element with an id
// that is there already is replaced where it stands, so nothing jumps; what a person has opened stays open, and what they are typing stays theirs.
"use strict";

document.documentElement.classList.add("scripted");

const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const byId = (id) => document.getElementById(id);

// ---- Times in the reader's own zone ----

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function since(date) {
  const seconds = Math.max(0, (Date.now() - date.getTime()) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

function localise(root) {
  for (const time of all("time[datetime]", root)) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    if (!time.title) time.title = full.format(date);
    const text = time.classList.contains("ago") ? since(date) : time.classList.contains("clock") ? clock.format(date) : dayAndTime.format(date);
    if (time.textContent !== text) time.textContent = text;
  }
}

// ---- Putting an update in its place ----

// Whether somebody is writing in an element, or has written in it.
function isInUse(element) {
  if (element.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return true;
  if (all("select", element).some((field) => field.selectedIndex !== Math.max(0, Array.from(field.options).findIndex((one) => one.defaultSelected)))) return true;
  return all("textarea, input:not([type=hidden])", element).some((field) => field.value !== field.defaultValue);
}

function keepOpen(from, to) {
  const open = new Set(all("details[open][data-key]", from).map((details) => details.dataset.key));
  for (const details of all("details[data-key]", to)) if (open.has(details.dataset.key)) details.open = true;
  const scrolled = all("pre", from);
  all("pre", to).forEach((pre, index) => { pre.dataset.scrolled = scrolled[index]?.scrollTop || ""; });
}

function replace(old, fresh) {
  localise(fresh);
  // Parts that people write in are put together one by one.
  if (fresh.hasAttribute("data-parts") && old.hasAttribute("data-parts")) return parts(old, fresh);
  if (old.dataset.sent === fresh.outerHTML || isInUse(old)) return;
  const sent = fresh.outerHTML;
  keepOpen(old, fresh);
  const focused = old === document.activeElement ? old.id : null;
  const inside = !focused && old.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : null;
  old.replaceWith(fresh);
  fresh.dataset.sent = sent;
  for (const pre of all("pre[data-scrolled]", fresh)) { pre.scrollTop = Number(pre.dataset.scrolled); delete pre.dataset.scrolled; }
  if (focused) fresh.focus({ preventScroll: true });
  if (inside) fresh.querySelector(`[data-key="${CSS.escape(inside)}"] > summary`)?.focus({ preventScroll: true });
}

function parts(old, fresh) {
  const wanted = new Set(Array.from(fresh.children, (child) => child.id));
  for (const child of Array.from(old.children)) if (!wanted.has(child.id)) child.remove();
  for (const child of Array.from(fresh.children)) {
    const known = byId(child.id);
    if (known) replace(known, child);
    else { old.append(child); tell(child.querySelector("h2")?.textContent || ""); }
  }
}

function tell(text) {
  const told = byId("told");
  if (told && text) told.textContent = text;
}

// Puts a piece of markup in its place: `home` takes what has no place yet.
function put(markup, home) {
  const parsed = new DOMParser().parseFromString(markup, "text/html").body;
  const nearEnd = home && window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 120;
  for (const fresh of Array.from(parsed.children)) {
    const old = fresh.id && byId(fresh.id);
    if (fresh.dataset.group) row(fresh, old);
    else if (old) replace(old, fresh);
    else if (home && fresh.matches("li.entry")) { localise(fresh); home.append(fresh); }
  }
  filter();
  // Who reads at the end stays at the end.
  if (nearEnd && home?.classList.contains("timeline")) window.scrollTo({ top: document.documentElement.scrollHeight });
}

// ---- The list of sessions: a row goes to the group that it belongs to ----

function row(fresh, old) {
  localise(fresh);
  const group = byId(`group-${fresh.dataset.group}`);
  if (!group) return;
  if (old && old.parentElement === group) replace(old, fresh);
  else {
    const focused = old?.contains(document.activeElement);
    old?.remove();
    group.prepend(fresh);
    if (focused) fresh.querySelector("a")?.focus({ preventScroll: true });
    if (fresh.dataset.group === "yours") tell(`Waits for you: ${fresh.querySelector("a")?.textContent || ""}`);
  }
  for (const section of all("section[data-rows]")) {
    const count = section.querySelectorAll("li").length;
    section.hidden = count === 0 && section.dataset.rows !== "always";
    const shown = section.querySelector(".count");
    if (shown) shown.textContent = String(count);
  }
}

// ---- Live ----

// Keeps one stream open while the page is seen. It goes on where it was: the server says with each update up to which event it goes.
function live(address, home) {
  let source = null;
  let next = address;
  let wait = 1000;
  const state = byId("live-state");
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(next);
    source.onopen = () => { wait = 1000; if (state) state.hidden = true; };
    source.onmessage = (message) => {
      put(message.data, home);
      if (message.lastEventId) next = address.replace(/after=\d+/, `after=${message.lastEventId}`);
    };
    source.addEventListener("reload", () => location.reload());
    source.onerror = () => {
      // The browser would try again at once and for ever; a server that is being replaced gets time.
      close();
      if (state) state.hidden = false;
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 30000);
    };
  };
  const close = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  open();
}

// ---- Earlier entries, on demand ----

async function earlier(link) {
  const session = link.closest("[data-session]")?.dataset.session;
  const home = byId("timeline");
  if (!session || !home) return;
  link.setAttribute("aria-busy", "true");
  const answer = await fetch(`/sessions/${session}/fragments?before=${link.dataset.earlier}`, { headers: { accept: "text/html" } });
  if (!answer.ok) { location.href = link.href; return; }
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  const height = document.documentElement.scrollHeight;
  const first = home.querySelector("li.entry");
  byId("earlier")?.remove();
  localise(parsed);
  home.prepend(...parsed.children);
  filter();
  first?.focus({ preventScroll: true });
  window.scrollBy({ top: document.documentElement.scrollHeight - height });
}

// ---- Filter ----

function filter() {
  const field = byId("filter");
  if (!field) return;
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  const problems = byId("problems")?.checked;
  let shown = 0;
  for (const item of all(".timeline > .entry, [data-rows] li, .files li")) {
    const text = words.length ? item.textContent.toLowerCase() : "";
    const fits = words.every((word) => text.includes(word)) && (!problems || item.matches(".warn, .bad"));
    item.hidden = !fits;
    if (fits) shown += 1;
  }
  const nothing = byId("nothing");
  if (nothing) nothing.hidden = shown > 0 || !(words.length || problems);
}

// ---- Keys ----

function items() {
  return all(".timeline > .entry, [data-rows] li, .diff-file").filter((item) => !item.hidden && item.offsetParent !== null);
}

function move(by) {
  const list = items();
  if (!list.length) return;
  const at = list.findIndex((item) => item.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by));
  const item = list[next];
  (item.matches("[tabindex]") ? item : item.querySelector("a, summary"))?.focus({ preventScroll: true });
  item.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function fold() {
  const item = items().find((one) => one.contains(document.activeElement));
  const details = item ? (item.matches("details") ? [item] : all("details:not(.why)", item)) : [];
  if (!details.length) { item?.querySelector("a[href]:not(.clock)")?.click(); return; }
  const open = details.some((one) => !one.open);
  for (const one of details) one.open = open;
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  o: fold,
  "/": () => { const field = byId("filter"); field?.focus(); field?.select(); },
  m: () => byId("message")?.focus(),
  g: () => { const list = items(); list.at(-1)?.focus(); list.at(-1)?.scrollIntoView({ block: "end" }); },
  "?": () => byId("keys")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const writes = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (event.key === "Escape" && writes) { writes.blur(); return; }
  if (writes) {
    return;
  }
  const action = document.querySelector("dialog[open]") ? null : keys[event.key];
  if (action) { event.preventDefault(); action(); }
});

// Ctrl+Enter sends what is being written, as everywhere.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.closest?.("textarea")?.form;
  if (form) { event.preventDefault(); form.requestSubmit(form.querySelector("button.primary") || undefined); }
});

document.addEventListener("input", (event) => { if (event.target.matches("#filter, #problems")) filter(); });
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-earlier]");
  if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); earlier(link); }
  for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// A form is sent once.
document.addEventListener("submit", (event) => {
  if (event.target.method === "dialog") return;
  if (event.target.dataset.sending) { event.preventDefault(); return; }
  event.target.dataset.sending = "yes";
});
window.addEventListener("pageshow", () => { for (const form of all("form[data-sending]")) delete form.dataset.sending; });

document.addEventListener("DOMContentLoaded", () => {
  localise(document);
  setInterval(() => localise(document), 30000);
  const place = document.querySelector("[data-live]");
  if (place) live(place.dataset.live, byId("timeline"));
  document.querySelector("form[data-go]")?.requestSubmit();
});

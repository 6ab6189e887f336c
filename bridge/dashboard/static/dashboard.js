// What the pages cannot do by themselves: follow live calls, play recordings from a turn on, and
// show times where the reader is.  Without it everything can still be read, searched and pressed.
"use strict";

// Live pages: the same page is asked for again, and what has changed is put into its place, so that
// focus, scrolling, what is being typed and what a screen reader reads stay where they are.

const live = document.getElementById("live");
const connection = document.getElementById("connection");
const EVERY = 1000 * (live?.dataset.every ?? 1), SLOWEST = 30000;
let failures = 0;

function merge(old, fresh) {
  if (old.hasAttribute("data-keep")) return;
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const byKey = new Map([...old.children].filter(c => c.dataset?.key).map(c => [c.dataset.key, c]));
  const wanted = new Set([...fresh.children].map(c => c.dataset?.key).filter(Boolean));
  let place = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = next.dataset?.key;
    // What is gone is removed, rather than what stays moved: moving would take the focus from it.
    while (place?.dataset?.key && !wanted.has(place.dataset.key)) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    const known = key ? byKey.get(key) : alike(place, next) ? place : null;
    if (!known || known.nodeName !== next.nodeName) {
      old.insertBefore(document.importNode(next, true), place);
      continue;
    }
    if (known !== place) old.insertBefore(known, place);
    else place = place.nextSibling;
    if (known.nodeType === Node.ELEMENT_NODE) merge(known, next);
    else if (known.data !== next.data) known.data = next.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

const alike = (old, fresh) =>
  old && old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && !old.dataset?.key;

async function follow() {
  if (!live?.dataset.live) return;
  try {
    // A server that is gone must not be waited for for ever.
    const answer = await fetch(live.dataset.live, {
      headers: { "X-Requested-With": "dashboard.js" }, signal: AbortSignal.timeout(10000),
    });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    place(fresh);
    document.title = page.title;
    merge(live, fresh);
    prepare();
    failures = 0;
  } catch {
    failures += 1;
  }
  connection.textContent = failures > 1 ? "The server does not answer. Trying again…" : "";
  later();
}

let timer = 0;
function later() {
  clearTimeout(timer);
  // Nobody looks: nothing is asked for until somebody does.
  if (!document.hidden) timer = setTimeout(follow, Math.min(SLOWEST, EVERY * 2 ** failures));
}
document.addEventListener("visibilitychange", later);

// Times where the reader is.

function place(root) {
  for (const time of root.querySelectorAll("time[data-show]")) {
    const options = time.dataset.show === "time" ? { timeStyle: "medium" }
      : { dateStyle: "medium", timeStyle: "short" };
    time.textContent = new Intl.DateTimeFormat(undefined, options).format(new Date(time.dateTime));
  }
  for (const since of root.querySelectorAll("[data-since]")) tick(since);
}

function tick(element) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(element.dataset.since)) / 1000));
  const two = n => String(n).padStart(2, "0"), hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  element.textContent = (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(seconds % 60);
}

for (const offset of document.querySelectorAll("[data-offset]"))
  offset.value = new Date().getTimezoneOffset();

// Recordings: their picture comes after the page; a place in it, or a turn, is listened to.

function prepare() {
  for (const wave of document.querySelectorAll("svg[data-wave]:not([data-ready])")) {
    wave.dataset.ready = "";
    const section = wave.closest("section"), audio = section.querySelector("audio");
    const seconds = +wave.dataset.seconds;
    draw(wave);
    wave.addEventListener("click", event => {
      const box = wave.getBoundingClientRect();
      listen(audio, (event.clientX - box.left) / box.width * seconds);
    });
    const head = wave.querySelector(".head"), scroll = wave.closest(".scroll");
    audio.addEventListener("timeupdate", () => {
      const share = audio.currentTime / seconds;
      head.setAttribute("x1", 100 * share + "%");
      head.setAttribute("x2", 100 * share + "%");
      const seen = share * wave.getBoundingClientRect().width - scroll.scrollLeft;
      if (!audio.paused && (seen < 0 || seen > scroll.clientWidth)) scroll.scrollLeft += seen - 60;
      for (const turn of document.querySelectorAll("li[data-from]"))
        turn.classList.toggle("now", audio.currentTime >= +turn.dataset.from
          && audio.currentTime < +turn.dataset.to);
    });
  }
}

async function draw(wave) {
  const answer = await fetch(wave.dataset.wave, { headers: { "X-Requested-With": "dashboard.js" } });
  if (!answer.ok) return;
  const drawn = await answer.json();
  for (const side of ["caller", "agent"]) {
    const box = wave.querySelector("svg." + side);
    box.setAttribute("viewBox", `0 0 ${drawn.columns} 100`);
    box.firstElementChild.setAttribute("d", drawn[side]);
  }
}

function listen(audio, at) {
  audio.currentTime = at;
  audio.play();
}

document.addEventListener("click", event => {
  const button = event.target.closest("[data-listen]");
  if (button) listen(document.querySelector(".recording audio"), +button.dataset.listen);
});

place(document);
setInterval(() => document.querySelectorAll("[data-since]").forEach(tick), 1000);
prepare();
later();

// A cue's page: two pictures kept on the same frame, the take's sound, and what people decide.
import { Timeline } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const desk = $("desk"), panel = $("panel"), said = $("said");
const original = $("original"), made = $("made"), voice = $("voice");
const cue = encodeURIComponent(desk.dataset.cue);
const by = $("by");
const DRIFT = 1.2; // frames by which the second picture may lag before it is put right
const SPEEDS = [1, 1.5, 2, 4];

let data = null, take = null, moved = false, loop = false;
let hear = "made", direction = 0, backing = 0;

// --- time: frames are counted from the first that is shown

const fps = () => data.rate[0] / data.rate[1];
const timeOf = (frame) => (frame + 0.5) / fps(); // the middle of a frame, never its edge
const offset = () => data.cueIn / fps(); // where a take's sound begins, seconds
const hasPicture = () => original.dataset.ready || made.dataset.ready;
const master = () => original.dataset.ready ? original : made.dataset.ready ? made : voice;
const now = () => master() === voice ? voice.currentTime + offset() : master().currentTime;
const frameNow = () => Math.floor(now() * fps() + 1e-4);
const length = () => {
  const seconds = master().duration || 0;
  return master() === voice ? seconds + offset() : seconds;
};

function label(frame) {
  let n = Math.max(0, data.startFrame + frame);
  const { nominal, drop } = data;
  if (drop) { // labels that drop-frame leaves out: 2 (or 4) a minute but not in each tenth
    const skip = nominal / 15, ten = nominal * 600 - 9 * skip, one = nominal * 60 - skip;
    const tens = Math.floor(n / ten), rest = n % ten;
    n += 9 * skip * tens + (rest >= skip ? skip * Math.floor((rest - skip) / one) : 0);
  }
  const two = (x) => String(Math.floor(x)).padStart(2, "0");
  return `${two(n / (nominal * 3600) % 24)}:${two(n / (nominal * 60) % 60)}:${two(n / nominal % 60)}${drop ? ";" : ":"}${two(n % nominal)}`;
}

const timeline = new Timeline($("canvas"), {
  onSeek: (t) => { pause(); seek(t); },
  onMoved: () => { moved = true; $("moved").hidden = false; },
});

// --- playing

function seek(seconds) {
  const t = Math.min(Math.max(0, seconds), Math.max(0, length() - 0.5 / fps()));
  if (original.dataset.ready) original.currentTime = t;
  if (made.dataset.ready) made.currentTime = Math.min(t, made.duration || t);
  voice.currentTime = Math.min(Math.max(0, t - offset()), voice.duration || 0);
  if (master() !== voice || t >= offset()) timeline.at(t);
  show(t);
}

const step = (frames) => { pause(); seek(timeOf(frameNow() + frames)); };

function show(t = now()) {
  const frame = Math.floor(t * fps() + 1e-4);
  $("tc").textContent = label(frame);
  $("frame").textContent = `frame ${frame - data.cueIn}`;
  $("frame").title = "counted from the in point";
  timeline.at(t);
}

function play(speed) {
  stopBack();
  direction = speed;
  if (now() >= length() - 1 / fps()) seek(0);
  for (const one of [original, made]) {
    if (!one.dataset.ready) continue;
    one.playbackRate = speed;
    one.play().catch(() => {});
  }
  voice.playbackRate = speed;
  carryVoice();
  $("play").classList.add("going");
  $("speed").textContent = speed === 1 ? "" : `${speed}×`;
  requestAnimationFrame(tick);
}

function pause() {
  stopBack();
  direction = 0;
  for (const one of [original, made, voice]) one.pause();
  $("play").classList.remove("going");
  $("speed").textContent = "";
}

function back(speed) { // browsers do not play backwards: step, as often as frames go by
  pause();
  direction = -speed;
  $("speed").textContent = `−${speed}×`;
  let at = now(), last = performance.now();
  const tickBack = () => {
    const t = performance.now();
    at -= ((t - last) / 1000) * speed;
    last = t;
    if (at <= 0) { seek(0); return pause(); }
    seek(timeOf(Math.floor(at * fps())));
    backing = requestAnimationFrame(tickBack);
  };
  backing = requestAnimationFrame(tickBack);
}
function stopBack() { cancelAnimationFrame(backing); backing = 0; }

function faster(sign) {
  const same = Math.sign(direction) === sign;
  const at = same ? SPEEDS.indexOf(Math.abs(direction)) : -1;
  const speed = SPEEDS[Math.min(at + 1, SPEEDS.length - 1)];
  if (sign > 0) play(speed); else back(speed);
}

function carryVoice() { // the take's own sound, where the picture beside it does not have it
  if (made.dataset.take === take?.id && made.dataset.ready) { voice.pause(); return; }
  if (!hasPicture()) { if (direction > 0) voice.play().catch(() => {}); return; }
  const t = now() - offset();
  const inside = t >= 0 && t < (voice.duration || 0);
  if (!inside) { voice.pause(); return; }
  if (Math.abs(voice.currentTime - t) > 0.06) voice.currentTime = t;
  if (direction > 0 && voice.paused) voice.play().catch(() => {});
}

function tick() {
  if (direction <= 0) return;
  const lead = master();
  if (lead === original && made.dataset.ready && Math.abs(made.currentTime - lead.currentTime) * fps() > DRIFT)
    made.currentTime = lead.currentTime;
  carryVoice();
  show();
  const out = (data.cueOut ?? Infinity) / fps();
  if (loop && now() >= Math.min(out, length() - 1 / fps())) { seek(timeOf(data.cueIn)); play(direction); return; }
  if (lead.ended || now() >= length() - 0.5 / fps()) { pause(); show(); return; }
  requestAnimationFrame(tick);
}

function listen(to) {
  hear = to;
  for (const button of document.querySelectorAll("[data-hear]"))
    button.setAttribute("aria-pressed", String(button.dataset.hear === to));
  const own = made.dataset.take === take?.id && made.dataset.ready; // the shot has this take in it
  original.muted = to !== "original";
  made.muted = to === "original" || !own;
  voice.muted = to === "original" || Boolean(own);
}

// --- loading

async function load() {
  data = await (await fetch(`/api/cue/${cue}`)).json();
  put(original, data.original);
  await choose(take?.id ?? data.chosen ?? data.takes[0]?.id);
  if (data.original.state === "making" || data.shot.state === "making") setTimeout(load, 700);
}

function put(video, picture) { // address, or what to say instead
  const veil = video.parentElement.querySelector(".veil");
  veil.hidden = picture.state === "ready";
  veil.textContent = { none: "no picture", making: "preparing the picture …", failed: picture.why }[picture.state] ?? "";
  if (picture.state !== "ready" || video.dataset.url === picture.url) return;
  video.dataset.url = video.src = picture.url;
  video.addEventListener("loadeddata", () => {
    video.dataset.ready = "1";
    listen(hear);
    timeline.set({ duration: length() || 1 });
    if (video === master()) seek(timeOf(data.cueIn));
    else seek(now());
    desk.dataset.ready = "1";
  }, { once: true });
}

async function choose(id) {
  const found = data.takes.find((t) => t.id === id);
  const other = found?.id !== take?.id;
  take = found ?? null;
  for (const card of panel.querySelectorAll(".take")) card.classList.toggle("now", card.dataset.take === take?.id);
  const own = take !== null && take.id === data.chosen && data.shot.state !== "none";
  // Another take than the rendered one is heard over the original picture.
  const picture = own ? data.shot : data.original;
  made.dataset.take = own ? take.id : "";
  if (made.dataset.url !== picture.url) delete made.dataset.ready;
  put(made, picture);
  $("which").textContent = take?.id ?? "";
  $("how").textContent = take === null ? "" : own ? "rendered" : data.original.state === "none" ? "sound alone" : "voice over the original picture";
  if (take?.audio && voice.dataset.url !== take.audio) voice.dataset.url = voice.src = take.audio;
  if (other) putBack();
  listen(hear);
  outlines();
}

function putBack() {
  moved = false;
  $("moved").hidden = true;
  const copy = (spans) => (spans ?? []).map((s) => [...s]);
  timeline.set({
    words: copy(take?.words), phones: copy(take?.phones), takeDuration: take?.duration,
    editable: take !== null && take.id === data.chosen, offset: offset(), cueIn: data.cueIn / fps(),
    cueOut: data.cueOut === null ? null : data.cueOut / fps(),
    label: (t) => label(Math.round(t * fps())),
    ...(hasPicture() ? {} : { duration: (take?.duration ?? 1) + offset() }),
  });
}

const known = new Map();
async function outline(address) {
  if (!known.has(address)) {
    const answer = await fetch(address);
    if (!answer.ok) return null;
    known.set(address, await answer.json());
  }
  return known.get(address);
}

async function outlines() {
  const mine = take?.id;
  if (data.original.state === "ready")
    timeline.set({ original: await outline(`/api/cue/${cue}/outline/original`) });
  if (take === null) return;
  const drawn = await outline(`/api/cue/${cue}/outline/take/${encodeURIComponent(take.id)}`);
  if (take?.id === mine) timeline.set({ take: drawn });
}

// --- deciding

function tell(words, bad = false) {
  said.textContent = words;
  said.classList.toggle("bad", bad);
}

async function send(what, body) {
  if (!by.value.trim()) {
    tell("Please write your name first (below the list).", true);
    by.focus();
    return false;
  }
  const answer = await fetch(`/api/cue/${cue}/${what}`, {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ by: by.value.trim(), ...body }),
  });
  const words = await answer.json().catch(() => ({ error: "that did not work" }));
  tell(words.said ?? words.error, !answer.ok);
  await refresh();
  return answer.ok;
}

async function refresh() {
  const answer = await fetch(`/cue/${cue}/panel`);
  if (!answer.ok) return;
  const held = document.activeElement.closest(".take")?.dataset.take;
  panel.innerHTML = await answer.text();
  if (held) card(held)?.focus({ preventScroll: true });
  for (const card of panel.querySelectorAll(".take")) card.classList.toggle("now", card.dataset.take === take?.id);
}

const card = (id) => panel.querySelector(`.take[data-take="${CSS.escape(id ?? "")}"]`);
const circle = (id) => send("decision", { take: id, circled: !card(id).classList.contains("circled") });
const rate = (id, n) => send("decision", { take: id, rating: n });
const approve = (id) => send("decision", { take: id, approved: !card(id).querySelector(".approve").classList.contains("yes") });

async function comment() {
  const field = $("comment");
  if (field.value.trim() && take && await send("decision", { take: take.id, comment: field.value })) $("comment").value = "";
}

async function wish() {
  const words = $("line").value.trim();
  const body = { note: $("note").value };
  if (words && words !== (take?.text ?? "")) body.text = words;
  if (await send("wish", body)) $("note").value = "";
}

async function sendPhones() {
  const phones = timeline.state.phones.map(([, start, end]) => [start, end]);
  if (await send("wish", { take: take.id, phones, note: $("note").value })) { moved = false; $("moved").hidden = true; }
}

const other = (by) => {
  const at = data.takes.findIndex((t) => t.id === take?.id) + by;
  if (data.takes[at]) choose(data.takes[at].id);
};
const go = (id) => { if (id) location.href = `/cue/${encodeURIComponent(id)}`; };

const deeds = {
  start: () => { pause(); seek(timeOf(data.cueIn)); },
  back: () => step(-1), on: () => step(1),
  play: () => direction ? pause() : play(1),
  loop: () => { loop = !loop; $("loop").setAttribute("aria-pressed", String(loop)); },
  help: () => $("help").showModal(),
  wish, "send-phones": sendPhones, "undo-phones": putBack,
  circle: (at) => circle(at.closest(".take").dataset.take),
  rate: (at) => rate(at.closest(".take").dataset.take, Number(at.dataset.n)),
  approve: (at) => approve(at.closest(".take").dataset.take),
};

document.addEventListener("click", (event) => {
  const at = event.target.closest("[data-do], [data-hear]");
  if (at?.dataset.hear) return listen(at.dataset.hear);
  if (at) return deeds[at.dataset.do]?.(at);
  const chosen = event.target.closest(".take");
  if (chosen) choose(chosen.dataset.take);
});

const keys = {
  " ": deeds.play, k: pause, j: () => faster(-1), l: () => faster(1),
  ArrowLeft: (e) => step(e.shiftKey ? -10 : -1), ArrowRight: (e) => step(e.shiftKey ? 10 : 1),
  Home: deeds.start, End: () => { pause(); seek(timeOf((data.cueOut ?? length() * fps()) - 1)); },
  o: deeds.loop, a: () => listen(hear === "made" ? "original" : "made"),
  "[": () => other(-1), "]": () => other(1), c: () => take && circle(take.id),
  m: () => $("comment").focus(), e: () => $("line").focus(),
  "+": () => timeline.zoom(1 / 1.5), "=": () => timeline.zoom(1 / 1.5), "-": () => timeline.zoom(1.5),
  ArrowUp: () => go(desk.dataset.before), ArrowDown: () => go(desk.dataset.after), "?": deeds.help,
};
for (const n of [1, 2, 3, 4, 5]) keys[n] = () => take && rate(take.id, n);

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    if (event.key === "Enter" && event.target.id === "comment") comment();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if ((event.key === " " || event.key === "Enter") && event.target.matches("button")) return;
  const deed = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (deed && data) { event.preventDefault(); deed(event); }
});

document.addEventListener("cues-changed", async () => { await refresh(); if (!direction && !moved) load(); });
load();

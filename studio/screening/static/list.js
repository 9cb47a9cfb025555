// The list of cues: find, remember who is here, follow the batch.
const find = document.getElementById("find");
const by = document.getElementById("by");
const items = [...document.querySelectorAll("#cues li")];

find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of items) item.hidden = !words.every((w) => item.dataset.words.includes(w));
});

by.value = localStorage.getItem("wildline-by") ?? "";
by.addEventListener("change", () => localStorage.setItem("wildline-by", by.value.trim()));

const here = items.find((item) => item.dataset.cue === document.getElementById("desk")?.dataset.cue);
here?.classList.add("here");
here?.scrollIntoView({ block: "center" });

let known = null;
async function follow() {
  try {
    const answer = await fetch("/api/cues", { headers: known ? { "If-None-Match": known } : {} });
    if (answer.status === 200) {
      const tag = answer.headers.get("etag");
      if (known && tag !== known) show(await answer.json());
      known = tag;
    }
  } catch { /* the server is being started again */ }
  setTimeout(follow, document.hidden ? 15000 : 3000);
}

function show(rows) {
  const lights = new Map(rows.map((r) => [r.id, r]));
  for (const item of items) {
    const row = lights.get(item.dataset.cue);
    if (row) item.querySelector(".light").className = `light ${row.light || row.status}`;
  }
  document.dispatchEvent(new CustomEvent("cues-changed"));
}
follow();

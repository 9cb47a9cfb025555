// A test viewer's page: wait for both clips, play one at a time, send the answers.
const pair = document.getElementById("pair");
const sheet = document.getElementById("sheet");
const said = document.getElementById("said");
const videos = [...document.querySelectorAll("video")];
const cue = encodeURIComponent(pair.dataset.cue);

async function ready() {
  const answer = await fetch(`/audience/state/${cue}`);
  const { state } = await answer.json();
  if (state === "ready") {
    for (const video of videos) {
      video.src = video.dataset.src;
      video.parentElement.querySelector(".veil").hidden = true;
    }
  } else if (state === "failed") {
    for (const veil of document.querySelectorAll(".veil")) veil.textContent = "This clip cannot be shown.";
  } else setTimeout(ready, 700);
}
ready();

for (const video of videos)
  video.addEventListener("play", () => videos.forEach((other) => other !== video && other.pause()));

function answersOf(n, form) {
  const own = {};
  for (const [name, value] of form) {
    const match = name.match(/^own-(.+)-(\d)$/);
    if (match && Number(match[2]) === n) own[match[1]] = value === "yes" || value === "no" ? value === "yes" : Number(value);
  }
  return {
    believable: Number(form.get(`believable-${n}`)), moved: Number(form.get(`moved-${n}`)),
    noticed: form.get(`noticed-${n}`) === "yes", remark: form.get(`remark-${n}`) ?? "", own,
  };
}

sheet.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(sheet);
  const groups = new Set([...sheet.querySelectorAll("input[type=radio]")].map((i) => i.name));
  const missing = [...groups].find((name) => !form.has(name));
  if (missing) {
    said.textContent = "Please answer every question.";
    sheet.querySelector(`[name="${CSS.escape(missing)}"]`).closest("fieldset").scrollIntoView({ block: "center", behavior: "smooth" });
    return;
  }
  const answer = await fetch(`/audience/answer/${cue}`, {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ answers: [answersOf(1, form), answersOf(2, form)], prefer: form.get("prefer") }),
  });
  if (answer.ok) location.href = "/audience/next";
  else said.textContent = (await answer.json()).error ?? "That did not work; please try again.";
});

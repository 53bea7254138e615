"use strict";
// Texts and labels are always inserted as text, never as HTML.
const at = (id) => document.getElementById(id);
let answer = null;
let asked = 0;

function element(name, content, label) {
  const made = document.createElement(name);
  made.append(...content);
  if (label !== undefined) made.style.setProperty("--hue", hue(label));
  return made;
}

const known = Array.from(at("labels").children);
const names = known.map((child) => child.textContent);
const hue = (label) => String((137 * names.indexOf(label)) % 360); // as in the page of ner evaluate
for (const child of known) child.style.setProperty("--hue", hue(child.textContent));

const percent = (score) => (score === null ? "" : `${(100 * score).toFixed(1)} %`);

const request = () => {
  const body = { text: at("text").value };
  const language = at("language").value.trim();
  if (language) body.language = language;
  return body;
};

function show() {
  const least = Number(at("least").value);
  at("from").textContent = `${least} %`;
  if (answer === null) return;
  const spans = answer.spans.filter((span) => span.score === null || 100 * span.score >= least);
  const signs = Array.from(answer.text); // positions count code points, as in Python
  const parts = [];
  let place = 0;
  for (const span of spans) {
    const remark = element("small", [`${span.label} ${percent(span.score)}`]);
    parts.push(signs.slice(place, span.start).join(""));
    parts.push(element("mark", [signs.slice(span.start, span.end).join(""), remark], span.label));
    place = span.end;
  }
  parts.push(signs.slice(place).join(""));
  at("marked").replaceChildren(...parts);
  at("list").replaceChildren(...spans.map(row));
  at("result").hidden = false;
  const hidden = answer.spans.length - spans.length;
  at("status").textContent =
    `${spans.length} ${spans.length === 1 ? "entity" : "entities"}` +
    `${hidden ? ` (${hidden} below the minimum score)` : ""}, ` +
    `${answer.tokens.length} ${answer.tokens.length === 1 ? "token" : "tokens"}, ${answer.took} ms`;
}

function row(span) {
  const label = element("span", [span.label], span.label);
  label.className = "label";
  const cells = [[span.text], [label], [percent(span.score)]];
  return element("tr", cells.map((cell) => element("td", cell)));
}

async function ask() {
  const number = ++asked;
  const button = document.querySelector("#form button");
  button.disabled = true;
  at("error").textContent = "";
  at("status").textContent = "…";
  try {
    const began = performance.now();
    const response = await fetch("tag", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request()),
    });
    const got = await response.json();
    if (number !== asked) return;
    if (!response.ok) throw new Error(got.error);
    answer = { ...got, took: Math.round(performance.now() - began) };
    show();
  } catch (error) {
    if (number !== asked) return;
    answer = null;
    at("result").hidden = true;
    at("status").textContent = "";
    at("error").textContent = error.message;
  } finally {
    if (number === asked) button.disabled = false;
  }
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
async function copy(button, text) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Clipboard not available";
  }
  setTimeout(() => (button.textContent = said), 1500);
}

const least = () => Number(at("least").value) / 100;
const enough = (span) => span.score === null || span.score >= least();
at("json").addEventListener("click", (event) => {
  const { took, ...record } = answer;
  const kept = { ...record, spans: record.spans.filter(enough) };
  copy(event.target, JSON.stringify(kept, null, 2));
});
at("curl").addEventListener("click", (event) => {
  const body = JSON.stringify(least() ? { ...request(), min_score: least() } : request());
  const quoted = body.replaceAll("'", "'\\''");
  const url = new URL("tag", location.href).href.split("#")[0];
  copy(event.target, `curl -H 'Content-Type: application/json' ${url} -d '${quoted}'`);
});
at("least").addEventListener("input", show);

// a URL such as #text=...&language=de can be shared
const passed = new URLSearchParams(location.hash.slice(1));
for (const name of ["language", "least", "text"]) {
  if (passed.has(name)) at(name).value = passed.get(name);
}
show();
if (passed.has("text")) ask();

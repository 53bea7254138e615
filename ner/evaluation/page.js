"use strict";
// The error browser. Cases are filtered as numbers and rendered some at a time, as text nodes only.
// The filters are part of the URL (#kind=missed&label=PER), so that a view can be linked.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("filters");
  const list = document.getElementById("list");
  const more = document.getElementById("more");
  const CHUNK = 40;
  const [KIND, GOLD, PREDICTED, BUCKETS] = [0, 1, 2, 3];
  const MATCHED = data.kinds.indexOf("matched");
  let found = [];
  let shown = 0;

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const fill = (select, options) => {
    for (const [value, text, group] of options) {
      let parent = select;
      if (group) {
        parent = [...select.children].find((child) => child.label === group)
          || select.appendChild(element("optgroup", { label: group }));
      }
      parent.append(element("option", { value }, text));
    }
  };

  fill(form.kind, [["", "all errors"], ...data.kinds.map((kind) => [kind, kind]), ["any", "all, including correct"]]);
  fill(form.label, [["", "any"], ...data.labels.map((label) => [label, label])]);
  const NO_SPAN = "(none)";
  for (const select of [form.gold, form.predicted]) {
    fill(select, [["", "any"], ...data.labels.map((label) => [label, label]), [NO_SPAN, "none"]]);
  }
  fill(form.bucket, [["", "any"], ...data.families.flatMap(([family, title, buckets]) =>
    buckets.map((bucket) => [`${family}:${bucket}`, bucket, title]))]);

  const scoreOf = (item) => (item[PREDICTED] ? item[PREDICTED][3] : null);
  const scored = data.sentences.some((sentence) => sentence[3].some((item) => scoreOf(item) !== null));
  if (!scored) {
    for (const label of form.querySelectorAll(".scored")) label.hidden = true;
    form.order.closest("label").hidden = true;
  }

  const number = (field, otherwise) => (field.value === "" ? otherwise : Number(field.value));

  const filter = () => {
    const kind = data.kinds.indexOf(form.kind.value);
    const label = data.labels.indexOf(form.label.value);
    const sides = [[GOLD, form.gold.value], [PREDICTED, form.predicted.value]].filter(([, name]) => name)
      .map(([side, name]) => [side, name === NO_SPAN ? -1 : data.labels.indexOf(name)]);
    const at = form.bucket.value.indexOf(":");
    const family = data.families.findIndex(([name]) => name === form.bucket.value.slice(0, at));
    const bucket = family < 0 ? -1 : data.families[family][2].indexOf(form.bucket.value.slice(at + 1));
    const [low, high] = [number(form.low, -Infinity), number(form.high, Infinity)];
    const byScore = low !== -Infinity || high !== Infinity;
    return (item) => {
      if (kind >= 0 ? item[KIND] !== kind : form.kind.value !== "any" && item[KIND] === MATCHED) return false;
      if (label >= 0 && !((item[GOLD] && item[GOLD][2] === label)
        || (item[PREDICTED] && item[PREDICTED][2] === label))) return false;
      if (!sides.every(([side, wanted]) => (item[side] ? item[side][2] : -1) === wanted)) return false;
      if (family >= 0 && item[BUCKETS][family] !== bucket) return false;
      const score = scoreOf(item);
      return !byScore || (score !== null && score >= low && score <= high);
    };
  };

  const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  const update = () => {
    const matches = filter();
    const words = form.text.value.trim().toLowerCase();
    let cases = 0;
    found = [];
    for (const sentence of data.sentences) {
      if (words && !sentence[0].join(" ").toLowerCase().includes(words)) continue;
      const hits = sentence[3].filter(matches);
      if (!hits.length) continue;
      cases += hits.length;
      found.push([sentence, new Set(hits)]);
    }
    if (form.order.value) {
      const sign = form.order.value === "sure" ? -1 : 1;
      const best = ([, hits]) => Math.min(...[...hits].map((item) =>
        (scoreOf(item) === null ? Infinity : sign * scoreOf(item))));
      found = found.map((one) => [best(one), one]).sort((a, b) => a[0] - b[0] || 0).map(([, one]) => one);
    }
    document.getElementById("found").textContent =
      `${counted(cases, "case")} in ${counted(found.length, "sentence")}`;
    list.replaceChildren();
    shown = 0;
    showMore();
  };

  const showMore = () => {
    const some = found.slice(shown, shown + CHUNK);
    list.append(...some.map(([sentence, hits]) => card(sentence, hits)));
    shown += some.length;
    more.hidden = shown >= found.length;
  };

  const card = ([tokens, glued, where, cases], hits) => {
    const kinds = [...new Set([...hits].map((item) => data.kinds[item[KIND]]))];
    return element("li", {},
      element("p", { class: "where" }, where,
        ...kinds.map((kind) => element("span", { class: `kind ${kind}` }, kind))),
      row("gold", GOLD, tokens, glued, cases, hits),
      row("predicted", PREDICTED, tokens, glued, cases, hits));
  };

  const row = (title, side, tokens, glued, cases, hits) => {
    const text = element("p", { class: "text", dir: "auto" });
    const held = cases.filter((item) => item[side]).sort((a, b) => a[side][0] - b[side][0]);
    const tight = new Set(glued || []);
    let at = 0;
    const words = (from, to) => {
      let said = "";
      for (let n = from; n < to; n++) said += tokens[n] + (n + 1 < to && !tight.has(n) ? " " : "");
      return said;
    };
    const gap = (n) => (n > 0 && n < tokens.length && !tight.has(n - 1) ? " " : "");
    for (const item of held) {
      const [start, end, label, score] = item[side];
      if (start < at) continue; // a span inside another one is not drawn twice
      if (start > at) text.append(gap(at) + words(at, start));
      text.append(gap(start));
      const mark = element("mark", {
        class: (item[KIND] === MATCHED ? "" : "error") + (hits.has(item) ? "" : " aside"),
        title: data.kinds[item[KIND]],
        style: `--hue: ${(label * 137) % 360}`,
      }, words(start, end), element("small", {}, data.labels[label] + (score == null ? "" : ` ${score.toFixed(2)}`)));
      text.append(mark);
      at = end;
    }
    text.append(gap(at) + words(at, tokens.length));
    return element("div", { class: "row" }, element("span", {}, title), text);
  };

  const span = (side) => side && {
    token_start: side[0], token_end: side[1], label: data.labels[side[2]], score: side[3] ?? null,
  };

  const save = () => {
    const lines = found.flatMap(([[tokens, , where], hits]) => [...hits].map((item) => JSON.stringify({
      where, tokens, kind: data.kinds[item[KIND]], gold: span(item[GOLD]), predicted: span(item[PREDICTED]),
    })));
    const address = URL.createObjectURL(new Blob([lines.map((line) => `${line}\n`).join("")]));
    element("a", { href: address, download: "cases.jsonl" }).click();
    setTimeout(() => URL.revokeObjectURL(address));
  };

  const fromAddress = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const known = [...wanted.keys()].filter((key) => form.elements[key]);
    if (!known.length) return false;
    form.reset();
    for (const key of known) form.elements[key].value = wanted.get(key);
    document.getElementById("browser").scrollIntoView();
    return true;
  };

  const toAddress = () => {
    const said = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    history.replaceState(null, "", said.size ? `#${said}` : location.pathname + location.search);
  };

  let waiting = 0;
  for (const event of ["input", "change"]) {
    form.addEventListener(event, () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { toAddress(); update(); }, 120);
    });
  }
  document.getElementById("save").addEventListener("click", save);
  form.addEventListener("reset", () => setTimeout(() => { toAddress(); update(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", showMore);
  addEventListener("hashchange", () => { if (fromAddress()) update(); });
  if ("IntersectionObserver" in window) {
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && !more.hidden) showMore();
    }, { rootMargin: "600px" }).observe(more);
  }
  fromAddress();
  update();
})();

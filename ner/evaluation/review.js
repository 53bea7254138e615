"use strict";
// Accept or reject suspects. Decisions are kept by the browser until they are saved.
(() => {
  const suspects = JSON.parse(document.getElementById("data").textContent);
  const list = document.getElementById("list");
  const key = `ner suspects ${document.title}`;
  const form = (one) => JSON.stringify([one.sentence, one.gold, one.suggestion]);
  let decisions = {};
  let current = 0;
  try { decisions = JSON.parse(localStorage.getItem(key)) || {}; } catch { /* nothing was kept */ }

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const row = (title, span, tokens, other) => {
    const text = element("p", { class: "text", dir: "auto" });
    if (span) {
      text.append(tokens.slice(0, span.start).join(" "), " ",
        element("mark", { style: `--hue: ${other ? 150 : 20}` }, tokens.slice(span.start, span.end).join(" "),
          element("small", {}, span.label)), " ", tokens.slice(span.end).join(" "));
    } else {
      text.append(element("em", {}, "no entity"));
    }
    return element("div", { class: "row" }, element("span", {}, title), text);
  };

  const button = (text, decide) => {
    const made = element("button", { type: "button" }, text);
    made.addEventListener("click", decide);
    return made;
  };

  const cards = suspects.map((one, number) => {
    const place = one.line ? `line ${one.line.toLocaleString("en")}` : `sentence ${one.sentence + 1}`;
    const more = one.repeats.length ? `, and ${one.repeats.length} more like it` : "";
    const card = element("li", {},
      element("p", { class: "where" }, element("span", {}, `${number + 1}.`), one.document || "", place,
        element("span", { class: "kind" }, one.kind), one.probability.toFixed(4), more),
      row("annotation", one.gold, one.tokens, false),
      row("model", one.suggestion, one.tokens, true),
      element("p", { class: "keys" },
        button("Accept", () => decide(number, true)), button("Reject", () => decide(number, false)),
        button("Undo", () => decide(number, undefined))));
    list.append(card);
    return card;
  });

  const show = () => {
    let accepted = 0;
    let decided = 0;
    suspects.forEach((one, number) => {
      const decision = decisions[form(one)];
      accepted += decision === true;
      decided += decision !== undefined;
      cards[number].classList.toggle("accepted", decision === true);
      cards[number].classList.toggle("rejected", decision === false);
      cards[number].classList.toggle("current", number === current);
    });
    document.getElementById("found").textContent =
      `${decided} of ${suspects.length} decided, ${accepted} accepted`;
  };

  const go = (number) => {
    if (!suspects.length) return;
    current = Math.max(0, Math.min(suspects.length - 1, number));
    cards[current].scrollIntoView({ block: "nearest" });
    show();
  };

  const decide = (number, decision) => {
    if (!suspects.length) return;
    decisions[form(suspects[number])] = decision; // undefined is not kept
    try { localStorage.setItem(key, JSON.stringify(decisions)); } catch { /* kept by this page alone */ }
    go(decision === undefined ? number : number + 1);
  };

  const KEYS = {
    a: () => decide(current, true), r: () => decide(current, false), u: () => decide(current, undefined),
    j: () => go(current + 1), ArrowDown: () => go(current + 1),
    k: () => go(current - 1), ArrowUp: () => go(current - 1),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  document.getElementById("save").addEventListener("click", () => {
    const made = suspects.filter((one) => decisions[form(one)] !== undefined)
      .map((one) => ({ accepted: decisions[form(one)], ...one }));
    const address = URL.createObjectURL(new Blob([JSON.stringify(made, null, 1), "\n"]));
    element("a", { href: address, download: "decisions.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address));
  });
  go(0);
})();

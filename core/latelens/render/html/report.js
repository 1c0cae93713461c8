"use strict";
// Makes every report on the page that is not yet alive work; several outputs of a notebook run it each.
(() => {
  const start = (root) => {
    root.dataset.ready = "1";
    const told = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const buttons = [...root.querySelectorAll(".ll-words button")];
    const tip = root.querySelector(".ll-tip");
    const chunks = [...root.querySelectorAll("article")].map((article, i) => prepare(article, told.chunks[i]));
    let chosen = -1;
    const asked = told.asked.some(Boolean) ? told.asked : told.asked.map(() => true);

    // The line that a word matches best, among the words of the query.
    const bestLine = (chunk, word) => {
      let best = -1;
      asked.forEach((is, line) => {
        if (is && (best < 0 || chunk.heat[line][word] > chunk.heat[best][word])) best = line;
      });
      return best;
    };
    const shade = (value) => {
      const share = Math.min(1, Math.max(0, value / 100 / told.top));
      return (Math.max(0, (share - 0.2) / 0.8) ** 1.6).toFixed(3);
    };
    const wonBy = (chunk, word) => told.labels.filter((_, line) => chunk.won[line].has(word));

    const choose = (line) => {
      chosen = line;
      for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.line) === line));
      for (const chunk of chunks) paint(chunk);
    };
    const paint = (chunk) => {
      chunk.pieces.forEach((pieces, word) => {
        const line = chosen < 0 ? bestLine(chunk, word) : chosen;
        const won = chosen < 0 ? chunk.won.some((words) => words.has(word)) : chunk.won[chosen].has(word);
        for (const piece of pieces) {
          piece.style.setProperty("--h", shade(chunk.heat[line][word]));
          piece.classList.toggle("ll-won", won);
        }
      });
      for (const row of chunk.rows) row.classList.toggle("ll-on", Number(row.dataset.line) === chosen);
      chunk.found.textContent = chosen < 0 ? "" : foundIn(chunk);
      if (chosen >= 0) reveal(chunk);
    };
    const foundIn = (chunk) => {
      const row = chunk.rows[chosen];
      return `adds ${row.querySelector("data").textContent}: ${row.querySelector(".ll-matched").textContent}`;
    };
    const reveal = (chunk) => {
      const first = Math.min(...chunk.won[chosen]);
      if (!Number.isFinite(first) || !chunk.pieces[first].length) return;
      const box = chunk.text.getBoundingClientRect();
      const word = chunk.pieces[first][0].getBoundingClientRect();
      if (word.top < box.top || word.bottom > box.bottom) chunk.text.scrollTop += word.top - box.top - box.height / 3;
    };

    const describe = (chunk, word) => {
      const line = chosen < 0 ? bestLine(chunk, word) : chosen;
      const text = chunk.pieces[word].map((piece) => piece.textContent).join("");
      const won = wonBy(chunk, word);
      const match = won.length ? `\nbest match of ${won.join(", ")}` : "";
      return `${text} ↔ ${told.labels[line]}: ${(chunk.heat[line][word] / 100).toFixed(2)}${match}`;
    };
    const show = (piece) => {
      const chunk = chunks.find((one) => one.text.contains(piece));
      tip.textContent = describe(chunk, Number(piece.dataset.word));
      tip.hidden = false;
      const frame = root.getBoundingClientRect();
      const word = piece.getBoundingClientRect();
      const left = Math.min(word.left - frame.left, frame.width - tip.offsetWidth - 4);
      tip.style.left = `${Math.max(4, left)}px`;
      tip.style.top = `${word.bottom - frame.top + 6}px`;
    };
    const pieceAt = (event) => (event.target.closest ? event.target.closest(".ll-w") : null);
    const hide = () => { tip.hidden = true; };

    root.addEventListener("click", (event) => {
      const button = event.target.closest(".ll-words button");
      if (button) choose(Number(button.dataset.line) === chosen ? -1 : Number(button.dataset.line));
    });
    for (const kind of ["mouseover", "focusin"]) {
      root.addEventListener(kind, (event) => (pieceAt(event) ? show(pieceAt(event)) : hide()));
    }
    root.addEventListener("mouseleave", hide);
    root.addEventListener("focusout", hide);
    root.addEventListener("scroll", hide, true);
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { hide(); choose(-1); }
      const piece = pieceAt(event);
      if (piece && !event.altKey && !event.ctrlKey && !event.metaKey) move(event, piece);
    });
    const move = (event, piece) => {
      const chunk = chunks.find((one) => one.text.contains(piece));
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const matches = event.key === "ArrowDown" || event.key === "ArrowUp";
      let word = Number(piece.dataset.word) + step;
      while (chunk.pieces[word] && !stops(chunk, word, matches)) word += step;
      if (!chunk.pieces[word]) return;
      piece.tabIndex = -1;
      chunk.pieces[word][0].tabIndex = 0;
      chunk.pieces[word][0].focus();
    };
    const stops = (chunk, word, matches) =>
      chunk.pieces[word].length && (!matches || chunk.pieces[word][0].classList.contains("ll-won"));

    choose(-1);
    root.querySelector(".ll-words").hidden = false;
  };

  // Gives each word of a text an element of its own; marks may cut a word into several pieces.
  const prepare = (article, { words, heat, won }) => {
    const text = article.querySelector(".ll-text");
    const spans = [];
    for (let i = 0, at = 0; i < words.length; i += 2) {
      const begin = at + words[i];
      at = begin + words[i + 1];
      spans.push([begin, at]);
    }
    const chunk = {
      text, heat,
      won: won.map((list) => new Set(list)),
      pieces: spans.map(() => []),
      rows: [...article.querySelectorAll("tbody tr")],
      found: article.querySelector(".ll-found"),
    };
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    let offset = 0, next = 0;
    for (const node of nodes) {
      const end = offset + node.data.length;
      const content = document.createDocumentFragment();
      let at = offset;
      while (next < spans.length && spans[next][0] < end) {
        const [begin, stop] = spans[next];
        const from = Math.max(begin, at), to = Math.min(stop, end);
        content.append(node.data.slice(at - offset, from - offset));
        const piece = document.createElement("span");
        piece.className = "ll-w";
        piece.dataset.word = next;
        piece.tabIndex = -1;
        piece.textContent = node.data.slice(from - offset, to - offset);
        content.append(piece);
        chunk.pieces[next].push(piece);
        at = to;
        if (stop > end) break;
        next += 1;
      }
      content.append(node.data.slice(at - offset));
      node.replaceWith(content);
      offset = end;
    }
    const matched = chunk.pieces.findIndex((_, word) => chunk.won.some((words) => words.has(word)));
    const first = chunk.pieces[Math.max(matched, 0)];
    if (first && first.length) first[0].tabIndex = 0;
    return chunk;
  };

  document.querySelectorAll('.latelens[data-format="1"]:not([data-ready])').forEach(start);
})();

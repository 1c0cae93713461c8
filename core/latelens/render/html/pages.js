"use strict";
// Makes every report on pages that is not yet alive work: a word of the query shades the words of the pictures.
(() => {
  const start = (root) => {
    root.dataset.ready = "1";
    const told = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const buttons = [...root.querySelectorAll(".ll-words button")];
    const pages = [...root.querySelectorAll(".ll-page")];
    const shade = (value) => {
      const share = Math.min(1, Math.max(0, value / 100 / told.top));
      return (Math.max(0, (share - 0.2) / 0.8) ** 1.6).toFixed(3);
    };
    const shades = pages.map((page, i) =>
      told.pages[i].boxes.map(([word, left, top, width, height]) => {
        const span = document.createElement("span");
        span.className = "ll-shade";
        span.dataset.word = word;
        Object.assign(span.style, { left: `${left / 100}%`, top: `${top / 100}%`, width: `${width / 100}%`, height: `${height / 100}%` });
        page.append(span);
        return [span, word];
      }),
    );
    const choose = (line) => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.line) === line));
      shades.forEach((spans, i) => {
        const { heat, won } = told.pages[i];
        for (const [span, word] of spans) {
          span.style.setProperty("--h", line < 0 ? 0 : shade(heat[line][word]));
          span.classList.toggle("ll-won", line >= 0 && won[line].includes(word));
        }
      });
      for (const mark of root.querySelectorAll(".ll-here")) mark.hidden = line >= 0;
    };
    root.querySelector(".ll-words").hidden = false;
    for (const button of buttons) {
      const line = Number(button.dataset.line);
      button.addEventListener("click", () => choose(button.getAttribute("aria-pressed") === "true" ? -1 : line));
    }
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") choose(-1);
    });
  };
  for (const root of document.querySelectorAll(".ll-onpages:not([data-ready])")) start(root);
})();

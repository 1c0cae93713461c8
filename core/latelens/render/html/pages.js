"use strict";
// Makes every report on pages that is not yet alive work: a word of the query shades the words, or cells, of the pages.
(() => {
  const shade = (share) => Math.max(0, (Math.min(1, share) - 0.2) / 0.8) ** 1.6;
  const place = (element, [left, top, width, height]) =>
    Object.assign(element.style, { left: `${left / 100}%`, top: `${top / 100}%`, width: `${width / 100}%`, height: `${height / 100}%` });
  const add = (page, kind, name, box) => {
    const element = document.createElement(kind);
    element.className = name;
    place(element, box);
    page.append(element);
    return element;
  };
  // Words: a box each, warm as its similarity.
  const words = (page, { boxes, heat, won }, top) => {
    const spans = boxes.map(([word, ...box]) => {
      const span = add(page, "span", "ll-shade", box);
      span.dataset.word = word;
      return [span, word];
    });
    return (line) => {
      for (const [span, word] of spans) {
        span.style.setProperty("--h", line < 0 ? 0 : shade(Math.max(0, heat[line][word]) / 100 / top).toFixed(3));
        span.classList.toggle("ll-won", line >= 0 && won[line].includes(word));
      }
    };
  };
  // Cells: a picture with a pixel a cell, drawn over the page, and frames.
  const cells = (page, { grid: [columns, rows, width, height], heat, won }) => {
    const map = add(page, "canvas", "ll-map", [0, 0, width, height]);
    [map.width, map.height] = [columns, rows];
    let frames = [];
    return (line) => {
      const pen = map.getContext("2d");
      pen.clearRect(0, 0, columns, rows);
      for (const frame of frames) frame.remove();
      frames = [];
      if (line < 0) return;
      const shades = pen.createImageData(columns, rows);
      [...atob(heat[line])].forEach((byte, i) => shades.data.set([240, 140, 30, Math.round(255 * shade(byte.charCodeAt(0) / 255))], 4 * i));
      pen.putImageData(shades, 0, 0);
      frames = won[line].map((box) => add(page, "span", "ll-cell ll-won", box));
    };
  };
  const start = (root) => {
    root.dataset.ready = "1";
    const told = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const buttons = [...root.querySelectorAll(".ll-words button")];
    const shown = [...root.querySelectorAll(".ll-page")].map((page, i) => (told.pages[i].grid ? cells : words)(page, told.pages[i], told.top));
    const choose = (line) => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.line) === line));
      for (const show of shown) show(line);
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

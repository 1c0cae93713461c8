"use strict";
// Adds to every answer on the page what styles alone cannot do; several outputs of a notebook run it each.
(() => {
  const start = (root) => {
    root.dataset.ready = "1";
    const close = () => root.classList.add("ll-closed");
    const open = () => root.classList.remove("ll-closed");
    const citing = (item) => [...root.querySelectorAll(`.ll-cite[data-n="${item.dataset.n}"]`)];
    const light = (item, on) => {
      for (const cite of citing(item)) cite.parentElement.classList.toggle("ll-on", on);
    };

    // A page opens at the sentence that is cited from it. Where it has no height, being hidden, it stays still.
    const place = (frame) => {
      const page = frame.firstElementChild;
      if (!page.offsetHeight) return;
      frame.classList.add("ll-live");
      frame.scrollTop = Number(frame.dataset.at) * page.offsetHeight;
    };
    root.querySelectorAll(".ll-window").forEach(place);

    // On the document: what the pointer shows has no focus, and Escape must close that, too.
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
    root.addEventListener("focusin", open);
    root.addEventListener("mouseover", (event) => { if (event.target.closest(".ll-mark")) open(); });

    // The same output may be on the page twice, with the same ids: a mark leads to its own list.
    root.addEventListener("click", (event) => {
      const mark = event.target.closest('a[href^="#"]');
      if (!mark || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const target = root.querySelector(`[id="${mark.getAttribute("href").slice(1)}"]`);
      if (!target) return;
      event.preventDefault();
      if (!target.matches("a")) target.tabIndex = -1;
      target.querySelectorAll(".ll-window").forEach(place);
      target.focus({ preventScroll: true });
      target.scrollIntoView({ block: "center" });
    });

    for (const item of root.querySelectorAll(".ll-sources > li")) {
      for (const kind of ["mouseenter", "focusin"]) item.addEventListener(kind, () => light(item, true));
      for (const kind of ["mouseleave", "focusout"]) item.addEventListener(kind, () => light(item, false));
    }
  };

  document.querySelectorAll('.latelens[data-format="answer-1"]:not([data-ready])').forEach(start);
})();

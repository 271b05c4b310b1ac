"use strict";
// Values under the pointer (or the arrow keys) in a chart, and open folds on paper. The page reads well without it.
(() => {
  const el = (tag, cls, text) => {
    const node = document.createElement(tag);
    node.className = cls;
    if (text !== undefined) node.textContent = text; // never innerHTML: names come from data
    return node;
  };
  document.querySelectorAll(".plot").forEach((plot) => {
    const data = JSON.parse(plot.dataset.chart);
    if (!data.x.length) return;
    const cursor = el("i", "cursor"), tip = el("div", "tip");
    const dots = data.lines.map((line) => el("i", "dot " + line.style));
    let at = -1;
    const hide = () => { at = -1; plot.classList.remove("live"); };
    const show = (i) => {
      at = i;
      plot.classList.add("live");
      const x = data.x[i];
      cursor.style.left = x + "%";
      tip.replaceChildren(el("b", "", data.days[i]));
      data.lines.forEach((line, k) => {
        dots[k].hidden = line.text[i] === null;
        if (dots[k].hidden) return;
        dots[k].style.left = x + "%";
        dots[k].style.top = line.y[i] + "%";
        const row = el("span", "");
        row.append(el("i", "dot " + line.style), el("span", "", line.name), el("em", "", line.text[i]));
        tip.append(row);
      });
      if (data.low[i] && data.high[i]) {
        const row = el("span", "");
        row.append(el("i", "swatch"), el("span", "", "band"), el("em", "", data.low[i] + " – " + data.high[i]));
        tip.append(row);
      }
      tip.style.left = x > 50 ? "" : "calc(" + x + "% + .8rem)";
      tip.style.right = x > 50 ? "calc(" + (100 - x) + "% + .8rem)" : "";
    };
    const nearest = (event) => {
      const box = plot.getBoundingClientRect();
      const wanted = ((event.clientX - box.left) / box.width) * 100;
      return data.x.reduce((best, x, i) => (Math.abs(x - wanted) < Math.abs(data.x[best] - wanted) ? i : best), 0);
    };
    plot.append(cursor, ...dots, tip);
    plot.addEventListener("pointermove", (event) => show(nearest(event)));
    plot.addEventListener("pointerdown", (event) => show(nearest(event)));
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(Math.min(data.x.length - 1, Math.max(0, (at < 0 ? data.x.length - 1 : at) + step)));
    });
  });
  const folds = document.querySelectorAll("details");
  addEventListener("beforeprint", () => folds.forEach((fold) => { fold.open = true; }));
})();

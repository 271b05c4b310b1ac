"use strict";
// Show only the pipelines that fit the filter. Without it the page shows all of them.
(() => {
  const form = document.querySelector(".filter");
  if (!form) return;
  const rows = [...document.querySelectorAll(".fleet tbody tr[data-text]")];
  const told = form.querySelector("output"), none = document.querySelector("#nothing");
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const owner = form.elements.owner.value, status = form.elements.status.value;
    let shown = 0;
    rows.forEach((row) => {
      const data = row.dataset;
      const fits = words.every((word) => data.text.includes(word)) && (!owner || data.owner === owner) &&
        (!status || (status === "alerted" ? data.alerts !== "0" : data.status === status));
      row.hidden = !fits;
      shown += fits;
    });
    told.textContent = shown + " of " + rows.length + " shown";
    none.hidden = shown > 0;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
})();

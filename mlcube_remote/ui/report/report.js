"use strict";
const table = document.getElementById("jobs");
const body = table.tBodies[0];
const key = (row, at) => row.cells[at].dataset.value;
const compare = (a, b) => {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
};
// A page that loads itself again keeps its order and its filter: they are in its address.
const kept = new URLSearchParams(location.hash.slice(1));
const keep = (name, value) => {
  kept.set(name, value);
  location.replace(`#${kept}`);
};
for (const button of table.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a, head.cellIndex), key(b, head.cellIndex)];
      // Rows without a value come last in both directions.
      return descending && x !== "" && y !== "" ? compare(y, x) : compare(x, y);
    });
    body.append(...rows);
    keep("sort", head.cellIndex);
    keep("order", head.getAttribute("aria-sort"));
  });
}
const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  keep("filter", filter.value);
  const words = filter.value.toLowerCase().split(/\s+/);
  for (const row of body.rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
});
const order = kept.get("order");
const sorted = kept.has("sort") && table.querySelectorAll("th button")[Number(kept.get("sort"))];
for (let clicks = order === "descending" ? 2 : 1; sorted && clicks > 0; clicks -= 1) sorted.click();
if (kept.get("filter")) {
  filter.value = kept.get("filter");
  filter.dispatchEvent(new Event("input"));
}

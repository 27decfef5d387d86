"""The style and the script of the report page: all of it, since the page loads nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #6e7781; --grid: #e7eaee;
  --shade: #f1f4f6; --paper: #ffffff; --raised: #f6f8fa; --accent: #0072b2; --mark: #eaf4fb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #9aa4af; --grid: #2b3138;
    --shade: #1d2228; --paper: #14171b; --raised: #1c2026; --accent: #6cb8ea; --mark: #17303f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; }
p { margin: .25rem 0; }
.soft, small { color: var(--soft); }
code { font: .85em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
a { color: var(--accent); }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { width: 100%; min-width: 40rem; height: auto; display: block; }
.tools { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; margin: 1.25rem 0 .5rem; }
input[type=search] { font: inherit; color: inherit; background: var(--raised); padding: .3rem .6rem;
  border: 1px solid var(--grid); border-radius: 6px; min-width: 16rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.points { width: 100%; font-size: .87rem; }
.points td, .points th { padding: .25rem .55rem; }
th, td { padding: .3rem .7rem; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
th { position: sticky; top: 0; background: var(--paper); font-weight: 600; }
th button { all: unset; cursor: pointer; }
th button:focus-visible, td button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tr.front td { background: var(--mark); }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin-right: .45em; }
td.command { max-width: 26rem; overflow: hidden; text-overflow: ellipsis; }
td button { font: inherit; font-size: .8rem; color: var(--accent); background: none;
  cursor: pointer; border: 1px solid var(--grid); border-radius: 5px; padding: 0 .5rem;
  margin-right: .5rem; }
.budgets { margin: .5rem 0; }
"""

SCRIPT = """
for (const section of document.querySelectorAll("section")) {
  const table = section.querySelector("table.points"), body = table.tBodies[0];
  const search = section.querySelector("input[type=search]");
  const only = section.querySelector("input[type=checkbox]");
  const counter = section.querySelector(".shown");
  const rows = [...body.rows];
  const show = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every(w => text.includes(w));
      row.hidden = !fits || (only.checked && !row.classList.contains("front"));
      shown += !row.hidden;
    }
    counter.textContent = `${shown} of ${rows.length} rows`;
  };
  search.addEventListener("input", show);
  only.addEventListener("change", show);
  show();
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending";
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const d = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -d : d;
    };
    body.append(...rows.sort(order));
  }));
}
document.addEventListener("click", async event => {
  const button = event.target.closest("td button");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1200);
  } catch {
    getSelection().selectAllChildren(code);
  }
});
"""

// The report: one table of points in the page, everything else is computed from it here.
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
// plotly's symbols, drawn again for the lists of the page
const SYMBOLS = { circle: "M8 2a6 6 0 1 0 .01 0Z", square: "M3 3h10v10H3Z",
  "triangle-up": "M8 2l6 11H2Z", diamond: "M8 1l7 7-7 7-7-7Z", "triangle-down": "M8 14L2 3h12Z",
  cross: "M6 2h4v4h4v4h-4v4H6v-4H2V6h4Z", x: "M3 5l2-2 3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3Z",
  pentagon: "M8 1l7 5-3 8H4L1 6Z" };
const LINES = { front: "1 3", dense: "5 3" };
const dark = matchMedia("(prefers-color-scheme: dark)");
const FACTOR = 1.0005;
const state = { task: 0, chosen: null, sort: null, off: new Set() };

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const task = () => DATA.tasks[state.task];
const metric = key => task().metrics[key];
const value = (point, key) => point[key] ?? NaN;
const finite = (point, ...keys) => keys.every(k => Number.isFinite(value(point, k)));
const show = (key, v) => Number.isFinite(v) ? v.toFixed(metric(key).digits) + metric(key).unit : "-";
const element = (tag, text = "", attributes = {}) => {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, v] of Object.entries(attributes)) made.setAttribute(name, v);
  return made;
};

// --- fronts: more is better in both once turned --------------------------------------------------

function front(points, x, y, rule) {
  const sx = metric(x).higher ? 1 : -1, sy = metric(y).higher ? 1 : -1;
  const known = points.filter(p => finite(p, x, y))
    .map(p => ({ p, x: sx * value(p, x), y: sy * value(p, y) }))
    .sort((a, b) => b.x - a.x || b.y - a.y);
  const kept = [];
  let best = -Infinity, last = null;
  for (const one of known) {
    const beats = rule === "staircase"
      ? best === -Infinity || one.y > best + (FACTOR - 1) * Math.abs(best)
      : one.y > best || (last && one.x === last.x && one.y === last.y);
    if (beats) { kept.push(one.p); best = Math.max(best, one.y); last = one; }
  }
  return kept;
}

function overSeeds(points, x, y) {
  const groups = new Map();
  for (const p of points) {
    if (!finite(p, x, y) || !Number.isFinite(p.seed)) continue;
    const key = `${p.variant} ${p.family}`;
    if (!groups.has(key)) groups.set(key, new Map());
    groups.get(key).set(p.seed, p);
  }
  const found = [];
  for (const group of groups.values()) {
    const several = [...group.values()];
    if (several.length < 2) continue;
    const mean = k => several.reduce((sum, p) => sum + p[k], 0) / several.length;
    const deviation = (k, m) => Math.sqrt(
      several.reduce((sum, p) => sum + (p[k] - m) ** 2, 0) / (several.length - 1));
    const mx = mean(x), my = mean(y);
    found.push({ family: several[0].family, n: several.length, x: mx, y: my,
      dx: deviation(x, mx), dy: deviation(y, my) });
  }
  return found;
}

// --- what is shown -------------------------------------------------------------------------------

function chosenPoints() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const exact = ["algorithm", "block", "teacher", "model", "group"]
    .map(key => [key, $(key).value]).filter(([, wanted]) => wanted !== "");
  return task().points.filter(p => p.family !== "dense"
    && !state.off.has(curve(p))
    && exact.every(([key, wanted]) => p[key] === wanted)
    && words.every(w => `${p.run} ${p.family} ${p.command}`.toLowerCase().includes(w)));
}

const curve = p => task().curves.includes(p.family) ? p.family : "other";
const palette = () => DATA.colours[dark.matches ? "dark" : "light"];
const colour = name => name === "other" ? css("--soft")
  : palette()[task().curves.indexOf(name) % palette().length];
const shape = number => Object.keys(SYMBOLS)[number % Object.keys(SYMBOLS).length];
const symbol = name => name === "other" ? "circle" : shape(task().curves.indexOf(name));
const harnesses = () => [...new Set(task().references.map(p => p.harness))].sort();

function drawn(attributes, d) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("class", "mark");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [name, v] of Object.entries({ d, ...attributes })) path.setAttribute(name, v);
  picture.append(path);
  return picture;
}

const filled = name => drawn({ fill: colour(name) }, SYMBOLS[symbol(name)]);
const hollow = number => drawn({ fill: "none", stroke: css("--ink"), "stroke-width": 1.5 }, SYMBOLS[shape(number)]);
const stroke = dash => drawn({ stroke: css("--ink"), "stroke-width": 1.5, "stroke-dasharray": dash }, "M0 8h16");

function hover(p) {
  const lines = [`<b>${p.run}</b> ${escaped(p.family)}`];
  const xy = [$("x").value, $("y").value];
  lines.push(xy.map(k => `${metric(k).label} ${show(k, value(p, k))}`).join(" · "));
  const words = escaped(p.command).split(" ");
  for (let line = ""; words.length;) {
    line += words.shift() + " ";
    if (line.length > 60 || !words.length) { lines.push(line); line = ""; }
  }
  lines.push(escaped(p.evidence));
  return lines.join("<br>");
}

const escaped = text => String(text).replace(/[&<>"]/g,
  c => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function traces(points, best, x, y, shown) {
  const found = [], onFront = new Set(best), rule = $("rule").value;
  const interval = x === "speedup";
  for (const name of [...task().curves, "other"]) {
    const own = points.filter(p => curve(p) === name && finite(p, x, y));
    if (!own.length) continue;
    const line = name === "other" ? [] : front(own, x, y, rule).sort((a, b) => a[x] - b[x]);
    found.push({ x: line.map(p => p[x]), y: line.map(p => p[y]), mode: "lines", hoverinfo: "skip",
      line: { color: colour(name), width: 1.5 } });
    const known = interval && own.some(p => Number.isFinite(value(p, "low")));
    found.push({ x: own.map(p => p[x]), y: own.map(p => p[y]), mode: "markers", name,
      customdata: own.map(p => p.index), text: own.map(hover),
      hovertemplate: "%{text}<extra></extra>",
      marker: { color: colour(name), symbol: symbol(name), size: own.map(p => onFront.has(p) ? 13 : 9),
        opacity: own.map(p => onFront.has(p) || own.length < 60 ? 1 : 0.45),
        line: { color: css("--paper"), width: 0.5 } },
      error_x: known ? { type: "data", symmetric: false, thickness: 1, width: 0,
        color: colour(name), array: own.map(p => p.high - p[x] || 0),
        arrayminus: own.map(p => p[x] - p.low || 0) } : undefined });
  }
  const steps = [...best].sort((a, b) => a[x] - b[x]);
  found.unshift({ x: steps.map(p => p[x]), y: steps.map(p => p[y]), mode: "lines", name: "front",
    hoverinfo: "skip", line: { color: css("--soft"), width: 1.2, dash: "dot",
      shape: metric(x).higher ? "vh" : "hv" } });
  if ($("seeds").checked) found.push(...seedTraces(points, x, y));
  if ($("others").checked) found.push(...reference(points, x, y, shown));
  return found;
}

function seedTraces(points, x, y) {
  const groups = overSeeds(points, x, y);
  if (!groups.length) return [];
  const bars = values => ({ type: "data", array: values, thickness: 1.2, width: 4, color: css("--ink") });
  return [{ x: groups.map(g => g.x), y: groups.map(g => g.y), mode: "markers", name: "mean of seeds",
    text: groups.map(g => `${escaped(g.family)}: mean of ${g.n} seeds`),
    hovertemplate: "%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
    marker: { symbol: "line-ew-open", size: 9, color: css("--ink") },
    error_x: bars(groups.map(g => g.dx)), error_y: bars(groups.map(g => g.dy)) }];
}

function reference(points, x, y, limits) {
  const shown = task().references.filter(p => finite(p, x, y));
  const names = placed(shown, points.filter(p => finite(p, x, y)), x, y, limits);
  return harnesses().map((harness, i) => {
    const own = shown.filter(p => p.harness === harness);
    return { x: own.map(p => p[x]), y: own.map(p => p[y]), name: harness,
      mode: names.size ? "markers+text" : "markers", text: own.map(p => escaped(p.name)),
      textposition: own.map(p => names.get(p) ?? "top center"),
      textfont: { size: 10, color: css("--soft") },
      customdata: own.map(p => escaped(`${p.harness}; ${p.source}`)),
      hovertemplate: "<b>%{text}</b><br>%{x}, %{y}<br>%{customdata}<extra></extra>",
      marker: { symbol: `${shape(i)}-open`, size: 10, color: css("--ink"), line: { width: 1.6 } } };
  });
}

// Where a name goes: around its point, over as few other names and points as can be. In a narrow
// window there is no room, and hovering tells.
const AROUND = { "middle right": [1, 0], "middle left": [-1, 0], "top center": [0, -1],
  "bottom center": [0, 1], "top right": [1, -1], "top left": [-1, -1], "bottom right": [1, 1],
  "bottom left": [-1, 1] };
function placed(shown, points, x, y, [across, up]) {
  const found = new Map(), { width, height } = $("chart").getBoundingClientRect();
  if (width < 600 || !across || !up) return found;
  const wide = width - MARGIN.l - MARGIN.r, high = height - MARGIN.t - MARGIN.b;
  const spot = p => [wide * (p[x] - across[0]) / (across[1] - across[0]), high * (up[1] - p[y]) / (up[1] - up[0])];
  const around = ([a, b], w, h) => [a - w, b - h, a + w, b + h];
  const covered = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]))
    * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const taken = [...points, ...shown].map(p => around(spot(p), 5, 5)), names = [];
  for (const { quality } of y === "quality" ? denseLines() : []) {
    taken.push(around([wide / 2, high * (up[1] - quality) / (up[1] - up[0])], wide / 2, 2));
  }
  for (const p of shown) {
    const [a, b] = spot(p), w = 2.9 * p.name.length, h = 6;
    let least = Infinity, best;
    for (const [place, [dx, dy]] of Object.entries(AROUND)) {
      const box = around([a + dx * (w + 8), b + dy * (h + (dx ? 4 : 8))], w, h);
      const inside = covered(box, [0, 0, wide, high]);
      const cost = 9 * (4 * w * h - inside) + names.reduce((sum, o) => sum + 9 * covered(box, o), 0)
        + taken.reduce((sum, o) => sum + covered(box, o), 0);
      if (cost < least) { least = cost; best = [place, box]; }
    }
    found.set(p, best[0]);
    names.push(best[1]);
  }
  return found;
}

// Our points decide what is seen: one far point of another paper, or a collapsed one of ours, would
// squeeze the rest together. A double click shows everything.
function range(points, key, lines) {
  const ends = key === "speedup" ? ["low", key, "high"] : [key];
  const values = points.flatMap(p => ends.map(end => value(p, end))).filter(Number.isFinite);
  if (!values.length) return undefined;
  const sorted = values.sort((a, b) => a - b), best = metric(key).higher ? sorted.at(-1) : sorted[0];
  const near = key === "quality" ? sorted.filter(v => Math.abs(v - best) <= 0.25 * Math.abs(best)) : sorted;
  return within([near[0], near.at(-1)], lines);
}

const reach = ([low, high]) => [low - 0.3 * (high - low), high + 0.3 * (high - low)];
const holds = ([low, high], v) => v >= low && v <= high;
const within = (limits, values) => {
  const near = values.filter(v => holds(reach(limits), v));
  return [Math.min(limits[0], ...near), Math.max(limits[1], ...near)];
};
const padded = limits => {
  if (!limits) return undefined;
  const [low, high] = limits, pad = 0.06 * (high - low) || 0.02 * Math.abs(high) || 0.5;
  return [low - pad, high + pad];
};

// The ranges of both axes: points of other papers count if they are near in both.
function ranges(points, x, y) {
  const lines = key => key === "quality" ? denseLines().map(d => d.quality) : [];
  const own = [x, y].map(key => range(points, key, lines(key)));
  if (!own[0] || !own[1] || !$("others").checked) return own.map(padded);
  const near = task().references.filter(p => [x, y].every((key, i) => holds(reach(own[i]), value(p, key))));
  return [x, y].map((key, i) => padded(within(own[i], near.map(p => p[key]))));
}

function denseLines() {
  const lines = new Map();
  for (const d of task().dense) {
    const key = show("quality", d.quality);
    lines.set(key, [...(lines.get(key) ?? []), d]);
  }
  return [...lines.values()].map(same => ({ quality: same[0].quality,
    name: lines.size > 1 ? same.map(d => d.model).join(", ") + " " : "" }));
}

function layout(x, y, shown) {
  const axis = (key, range) => ({ range, automargin: true, title: { text: metric(key).label + (metric(key).unit.trim() && metric(key).unit !== "x"
    ? ` (${metric(key).unit.trim()})` : "") + (metric(key).higher ? " \u2192 better" : " \u2190 better") },
  gridcolor: css("--grid"), zeroline: false, linecolor: css("--soft"),
  ticksuffix: metric(key).unit === "x" ? "x" : "" });
  const base = plain("");
  const quality = y === "quality";
  return { ...base, xaxis: axis(x, shown[0]), yaxis: axis(y, shown[1]), hovermode: "closest", dragmode: "zoom",
    showlegend: false,
    shapes: quality ? denseLines().map(d => ({ type: "line", xref: "paper", x0: 0, x1: 1,
      y0: d.quality, y1: d.quality, line: { color: css("--ink"), width: 1, dash: "dash" } })) : [],
    annotations: quality ? denseLines().map(d => ({ xref: "paper", x: metric(x).higher ? 1 : 0,
      xanchor: metric(x).higher ? "right" : "left", y: d.quality, yanchor: "bottom",
      showarrow: false, font: { size: 11 },
      text: escaped(`dense ${d.name}${show("quality", d.quality)}`) })) : [] };
}

const MARGIN = { l: 55, r: 15, t: 30, b: 45 };
function plain(title) {
  return { title: title ? { text: title, font: { size: 13 } } : undefined, autosize: true,
    margin: { ...MARGIN, t: title ? 35 : MARGIN.t }, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--ink") }, font: { color: css("--ink"), size: 12 },
    hoverlabel: { align: "left", bgcolor: css("--raised"), font: { color: css("--ink") },
      bordercolor: css("--soft") } };
}

const OPTIONS = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

// --- drawing -------------------------------------------------------------------------------------

function draw() {
  const x = $("x").value, y = $("y").value;
  const points = chosenPoints();
  const best = front(points, x, y, $("rule").value);
  const pruned = task().points.filter(p => p.family !== "dense").length;
  $("count").textContent = `${points.length} of ${pruned} points, ${best.length} on the front`
    + (task().more ? `; ${task().more} more are in points.csv` : "");
  const shown = ranges(points, x, y);
  Plotly.react("chart", traces(points, best, x, y, shown), layout(x, y, shown), OPTIONS);
  key(points, x, y);
  $("chart").setAttribute("aria-label",
    `${metric(y).label} against ${metric(x).label}: ${best.length} points on the front; the table below lists them`);
  rows(points, best, x, y);
}

// What the families' boxes do not say: lines, bars, and whose the hollow points are.
function key(points, x, y) {
  const found = [[stroke(LINES.front), "front"]];
  if (y === "quality" && task().dense.length) found.push([stroke(LINES.dense), "dense"]);
  if ($("seeds").checked && overSeeds(points, x, y).length) {
    found.push([drawn({ stroke: css("--ink"), "stroke-width": 1.5 }, "M0 8h16M8 0v16"), "mean of seeds and its deviation"]);
  }
  if ($("others").checked) {
    harnesses().forEach((name, i) => {
      const any = task().references.some(p => p.harness === name && finite(p, x, y));
      if (any) found.push([hollow(i), `elsewhere: ${name}`]);
    });
  }
  $("key").replaceChildren(...found.map(([picture, text]) => {
    const item = element("li");
    item.append(picture, text);
    return item;
  }));
}

const LONGEST = 200;
function rows(points, best, x, y) {
  const onFront = new Set(best);
  const keys = [...new Set([y, x, "quality", "speedup", "density", "cost"])].filter(k => metric(k));
  const columns = [["run", null], ["family", null], ...keys.map(k => [metric(k).label, k])];
  const sorted = points.filter(p => !$("only").checked || onFront.has(p));
  const { key, down } = state.sort ?? { key: null, down: true };
  if (key) {
    sorted.sort((a, b) => {
      const [p, q] = [a[key], b[key]];
      if (typeof p === "string") return down ? q.localeCompare(p) : p.localeCompare(q);
      if (!Number.isFinite(p) || !Number.isFinite(q)) return Number.isFinite(q) - Number.isFinite(p);
      return down ? q - p : p - q;
    });
  } else {
    const sign = metric(y).higher ? 1 : -1;
    sorted.sort((a, b) => onFront.has(b) - onFront.has(a) || sign * (value(b, y) - value(a, y)));
  }
  const head = element("tr");
  for (const [label, column] of columns) {
    const cell = element("th", "", { scope: "col" });
    const name = column ?? label;
    if (key === name) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    const button = element("button", label, { type: "button", "data-key": name });
    button.onclick = () => {
      state.sort = { key: name, down: !(key === name && down) };
      draw();
      $("points").querySelector(`th button[data-key="${name}"]`).focus();
    };
    cell.append(button);
    head.append(cell);
  }
  $("points").tHead.replaceChildren(head);
  $("points").tBodies[0].replaceChildren(...sorted.slice(0, LONGEST).map(p => {
    const row = element("tr");
    if (onFront.has(p)) row.classList.add("front");
    if (state.chosen === p.index) row.classList.add("chosen");
    const run = element("td");
    const button = element("button", p.run, { type: "button", "aria-label": `show run ${p.run}` });
    button.onclick = () => choose(p.index);
    run.append(button);
    const family = element("td");
    family.append(filled(curve(p)), ` ${p.family}`);
    row.append(run, family, ...keys.map(k => element("td", show(k, value(p, k)))));
    return row;
  }));
  $("shown").textContent = sorted.length > LONGEST ? `the first ${LONGEST} of ${sorted.length}` : "";
}

// --- one point -----------------------------------------------------------------------------------

async function choose(index) {
  state.chosen = index;
  const p = task().points[index];
  const facts = { family: p.family, command: p.command, evidence: p.evidence,
    cost: finite(p, "cost") ? `${show("cost", p.cost)} of training and measuring` : "not known",
    folder: p.path };
  const numbers = Object.keys(task().metrics).filter(key => finite(p, key) && key !== "cost");
  describe("facts", Object.entries(facts));
  describe("numbers", numbers.map(key => [metric(key).label, show(key, p[key])]));
  $("title").textContent = `Run ${p.run}`;
  $("details").hidden = false;
  pictures(p);
  draw();
  $("details").scrollIntoView({ block: "nearest" });
  await copy(p.command);
}

function describe(id, entries) {
  $(id).replaceChildren(...entries.map(([name, text]) => {
    const both = element("div"), value = element("dd");
    value.append(element(name === "command" ? "code" : "span", text));
    both.append(element("dt", name), value);
    return both;
  }));
}

// The command stays selected: where a page may not write to the clipboard, one key does it.
async function copy(text) {
  getSelection().selectAllChildren($("facts").querySelector("code"));
  let done = false;
  try { await navigator.clipboard.writeText(text); done = true; } catch { done = document.execCommand("copy"); }
  $("status").textContent = done ? "command copied" : "the command is selected: Ctrl+C copies it";
}

// All that is shown is there before it is drawn: a picture is as wide as its place.
function pictures(p) {
  const there = { heads: p.layers?.heads?.length, widths: p.layers?.widths?.length,
    training: Object.keys(p.curves ?? {}).length };
  for (const [id, any] of Object.entries(there)) $(id).hidden = !any;
  $("nocurves").hidden = Boolean(there.training);
  if (there.heads) bars("heads", "Heads left in each layer", p.layers.heads, "heads");
  if (there.widths) bars("widths", "FFN neurons left in each layer", p.layers.widths, "neurons");
  if (there.training) curves(p);
}

function bars(id, title, values, unit) {
  Plotly.react(id, [{ type: "bar", x: values.map((_, i) => i), y: values,
    marker: { color: palette()[0] }, hovertemplate: `layer %{x}: %{y} ${unit}<extra></extra>` }],
  { ...plain(title), xaxis: { title: { text: "layer" }, dtick: values.length > 16 ? 4 : 1,
    gridcolor: css("--grid") }, yaxis: { rangemode: "tozero", gridcolor: css("--grid") } },
  { ...OPTIONS, displayModeBar: false });
}

function curves(p) {
  const lines = Object.entries(p.curves);
  const share = Object.keys(p.curves).filter(n => n !== "loss");
  Plotly.react("training", lines.map(([name, [steps, values]], i) => ({ x: steps, y: values, name,
    mode: "lines", yaxis: name === "loss" ? "y" : "y2",
    line: { color: palette()[i % palette().length], dash: ["solid", "dash", "dot"][i % 3] } })),
  { ...plain("Training"), xaxis: { title: { text: "step" }, gridcolor: css("--grid") },
    yaxis: { title: { text: "loss" }, gridcolor: css("--grid"), rangemode: "tozero" },
    yaxis2: { title: { text: share.join(", ") }, overlaying: "y", side: "right", rangemode: "tozero",
      showgrid: false, tickmode: "auto", nticks: 5 },
    margin: { l: 50, r: 50, t: 35, b: 70 }, legend: { orientation: "h", y: -0.45 } },
  { ...OPTIONS, displayModeBar: false });
}

// --- controls ------------------------------------------------------------------------------------

function options(select, entries, wanted) {
  select.replaceChildren(...entries.map(([v, label]) => element("option", label, { value: v })));
  if (entries.some(([v]) => v === wanted)) select.value = wanted;
}

function families() {
  const there = new Set(task().points.filter(p => p.family !== "dense").map(curve));
  const names = [...task().curves, "other"].filter(name => there.has(name));
  $("families").replaceChildren(element("legend", "family"), ...names.map(name => {
    const label = element("label");
    const box = element("input", "", { type: "checkbox", value: name });
    box.checked = !state.off.has(name);
    box.onchange = () => { box.checked ? state.off.delete(name) : state.off.add(name); draw(); };
    label.append(box, filled(name), name);
    return label;
  }));
}

function fillTask() {
  const t = task();
  const metrics = Object.entries(t.metrics).map(([key, m]) => [key, m.label]);
  options($("x"), metrics, $("x").value || DATA.x);
  options($("y"), metrics, $("y").value || "quality");
  for (const key of ["algorithm", "block", "teacher", "model", "group"]) {
    const values = [...new Set(t.points.map(p => p[key]))].filter(Boolean).sort();
    options($(key), [["", "all"], ...values.map(v => [v, v])], "");
    $(key).parentElement.hidden = values.length < 2;
  }
  state.off.clear();
  families();
  $("others").parentElement.hidden = !t.references.length;
  $("about").textContent = t.about;
  $("notes").replaceChildren(...t.notes.map(note => element("p", note)));
}

function start() {
  options($("task"), DATA.tasks.map((t, i) => [String(i), t.name]), "0");
  $("task").parentElement.hidden = DATA.tasks.length < 2;
  DATA.tasks.forEach(t => t.points.forEach((p, i) => { p.index = i; }));
  $("task").onchange = () => {
    state.task = Number($("task").value);
    state.chosen = state.sort = null;
    $("details").hidden = true;
    fillTask();
    draw();
  };
  for (const id of ["x", "y", "rule", "algorithm", "block", "teacher", "model", "group", "search",
    "only", "seeds", "others"]) $(id).addEventListener("input", draw);
  $("copy").onclick = () => copy(task().points[state.chosen].command);
  $("close").onclick = () => { state.chosen = null; $("details").hidden = true; draw(); };
  fillTask();
  draw();
  $("chart").on("plotly_click", event => {
    const index = event.points.find(p => typeof p.customdata === "number")?.customdata;
    if (index !== undefined) choose(index);
  });
  dark.addEventListener("change", () => {
    families();
    draw();
    if (state.chosen !== null) pictures(task().points[state.chosen]);
  });
  document.body.dataset.ready = "yes";
}

start();

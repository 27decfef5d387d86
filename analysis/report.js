// The report: one table of points in the page, everything else is computed from it here.
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x",
  "pentagon", "hexagon", "star"];
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
const colour = name => name === "other" ? css("--soft")
  : DATA.colours[task().curves.indexOf(name) % DATA.colours.length];
const symbol = name => name === "other" ? "circle"
  : SYMBOLS[task().curves.indexOf(name) % SYMBOLS.length];

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

function traces(points, best, x, y) {
  const found = [], onFront = new Set(best), rule = $("rule").value;
  const interval = x === "speedup";
  for (const name of [...task().curves, "other"]) {
    const own = points.filter(p => curve(p) === name && finite(p, x, y));
    if (!own.length) continue;
    const line = name === "other" ? [] : front(own, x, y, rule).sort((a, b) => a[x] - b[x]);
    found.push({ x: line.map(p => p[x]), y: line.map(p => p[y]), mode: "lines", hoverinfo: "skip",
      line: { color: colour(name), width: 1.5 }, showlegend: false });
    const known = interval && own.some(p => Number.isFinite(value(p, "low")));
    found.push({ x: own.map(p => p[x]), y: own.map(p => p[y]), mode: "markers", name,
      customdata: own.map(p => p.index), text: own.map(hover),
      hovertemplate: "%{text}<extra></extra>",
      marker: { color: colour(name), symbol: symbol(name), size: own.map(p => onFront.has(p) ? 11 : 7),
        opacity: own.map(p => onFront.has(p) || own.length < 60 ? 1 : 0.45),
        line: { color: css("--paper"), width: 1 } },
      error_x: known ? { type: "data", symmetric: false, thickness: 1, width: 0,
        color: colour(name), array: own.map(p => p.high - p[x] || 0),
        arrayminus: own.map(p => p[x] - p.low || 0) } : undefined });
  }
  const steps = [...best].sort((a, b) => a[x] - b[x]);
  found.unshift({ x: steps.map(p => p[x]), y: steps.map(p => p[y]), mode: "lines", name: "front",
    hoverinfo: "skip", line: { color: css("--soft"), width: 1.2, dash: "dot",
      shape: metric(x).higher ? "vh" : "hv" } });
  if ($("seeds").checked) found.push(...seedTraces(points, x, y));
  if ($("others").checked) found.push(...reference(x, y));
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

function reference(x, y) {
  const shown = task().references.filter(p => finite(p, x, y));
  if (!shown.length) return [];
  return [{ x: shown.map(p => p[x]), y: shown.map(p => p[y]), mode: "markers+text",
    name: "published elsewhere", text: shown.map(p => escaped(p.name)), textposition: "top center",
    textfont: { size: 10, color: css("--soft") },
    customdata: shown.map(p => escaped(`${p.harness}; ${p.source}`)),
    hovertemplate: "<b>%{text}</b><br>%{x}, %{y}<br>%{customdata}<extra></extra>",
    marker: { symbol: "circle-open", size: 10, color: css("--ink"), line: { width: 1.6 } } }];
}

// Our points decide what is seen: one far point of another paper, or a collapsed one of ours, would
// squeeze the rest together. A double click shows everything.
function range(points, key, others) {
  const values = points.map(p => value(p, key)).filter(Number.isFinite);
  if (!values.length) return undefined;
  const sorted = values.sort((a, b) => a - b), best = metric(key).higher ? sorted.at(-1) : sorted[0];
  const near = key === "quality" ? sorted.filter(v => Math.abs(v - best) <= 0.25 * Math.abs(best)) : sorted;
  let low = near[0], high = near.at(-1);
  const reach = 0.3 * (high - low);
  for (const v of others) if (v > low - reach && v < high + reach) { low = Math.min(low, v); high = Math.max(high, v); }
  const pad = 0.06 * (high - low) || 0.02 * Math.abs(high) || 0.5;
  return [low - pad, high + pad];
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

function layout(points, x, y, title) {
  const shown = $("others").checked ? task().references : [];
  const others = key => [...shown.map(p => value(p, key)),
    ...(key === "quality" ? denseLines().map(d => d.quality) : [])].filter(Number.isFinite);
  const axis = key => ({ range: range(points, key, others(key)), title: { text: metric(key).label + (metric(key).unit.trim() && metric(key).unit !== "x"
    ? ` (${metric(key).unit.trim()})` : "") + (metric(key).higher ? " \u2192 better" : " \u2190 better") },
  gridcolor: css("--grid"), zeroline: false, linecolor: css("--soft"),
  ticksuffix: metric(key).unit === "x" ? "x" : "" });
  const base = plain(title);
  const quality = y === "quality";
  return { ...base, xaxis: axis(x), yaxis: axis(y), hovermode: "closest", dragmode: "zoom",
    legend: { orientation: "h", y: -0.18, font: { size: 11 } },
    shapes: quality ? denseLines().map(d => ({ type: "line", xref: "paper", x0: 0, x1: 1,
      y0: d.quality, y1: d.quality, line: { color: css("--ink"), width: 1, dash: "dash" } })) : [],
    annotations: quality ? denseLines().map(d => ({ xref: "paper", x: metric(x).higher ? 1 : 0,
      xanchor: metric(x).higher ? "right" : "left", y: d.quality, yanchor: "bottom",
      showarrow: false, font: { size: 11 },
      text: escaped(`dense ${d.name}${show("quality", d.quality)}`) })) : [] };
}

function plain(title) {
  return { title: title ? { text: title, font: { size: 13 } } : undefined, autosize: true,
    margin: { l: 55, r: 15, t: title ? 35 : 15, b: 45 }, paper_bgcolor: "rgba(0,0,0,0)",
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
  $("count").textContent = `${points.length} of ${task().points.length} points, ${best.length} on the front`
    + (task().more ? `; ${task().more} more are in points.csv` : "");
  Plotly.react("chart", traces(points, best, x, y), layout(points, x, y, ""), OPTIONS);
  $("chart").setAttribute("aria-label",
    `${metric(y).label} against ${metric(x).label}: ${best.length} points on the front; the table below lists them`);
  rows(points, best, x, y);
}

const LONGEST = 200;
function rows(points, best, x, y) {
  const onFront = new Set(best);
  const keys = [...new Set([y, x, "quality", "speedup", "density", "hours"])].filter(k => metric(k));
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
    const dot = element("span", "", { class: "dot" });
    dot.style.background = colour(curve(p));
    family.append(dot, ` ${p.family}`);
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
    cost: Number.isFinite(p.hours) ? `${p.hours.toFixed(2)} hours of training and measuring` : "not known",
    folder: p.path };
  for (const key of Object.keys(task().metrics)) {
    if (finite(p, key) && key !== "hours") facts[metric(key).label] = show(key, p[key]);
  }
  const list = $("facts");
  list.replaceChildren();
  for (const [name, text] of Object.entries(facts)) {
    const dd = element("dd");
    dd.append(element(name === "command" ? "code" : "span", text));
    list.append(element("dt", name), dd);
  }
  $("title").textContent = `Run ${p.run}`;
  $("details").hidden = false;
  shapes(p);
  curves(p);
  draw();
  await copy(p.command);
}

async function copy(text) {
  let done = false;
  try { await navigator.clipboard.writeText(text); done = true; } catch { /* no permission */ }
  $("status").textContent = done ? "command copied" : "select the command to copy it";
}

function bars(id, title, values, unit) {
  $(id).hidden = !values?.length;
  if (!values?.length) return;
  Plotly.react(id, [{ type: "bar", x: values.map((_, i) => i), y: values,
    marker: { color: DATA.colours[0] }, hovertemplate: `layer %{x}: %{y} ${unit}<extra></extra>` }],
  { ...plain(title), xaxis: { title: { text: "layer" }, dtick: values.length > 16 ? 4 : 1,
    gridcolor: css("--grid") }, yaxis: { rangemode: "tozero", gridcolor: css("--grid") } },
  { ...OPTIONS, displayModeBar: false });
}

function shapes(p) {
  bars("heads", "Heads left in each layer", p.layers?.heads, "heads");
  bars("widths", "FFN neurons left in each layer", p.layers?.widths, "neurons");
}

function curves(p) {
  const lines = Object.entries(p.curves ?? {});
  $("training").hidden = !lines.length;
  $("nocurves").hidden = lines.length > 0;
  if (!lines.length) return;
  const share = Object.keys(p.curves).filter(n => n !== "loss");
  Plotly.react("training", lines.map(([name, [steps, values]], i) => ({ x: steps, y: values, name,
    mode: "lines", yaxis: name === "loss" ? "y" : "y2",
    line: { color: DATA.colours[i % DATA.colours.length], dash: ["solid", "dash", "dot"][i % 3] } })),
  { ...plain("Training"), xaxis: { title: { text: "step" }, gridcolor: css("--grid") },
    yaxis: { title: { text: "loss" }, gridcolor: css("--grid"), rangemode: "tozero" },
    yaxis2: { title: { text: share.join(", ") }, overlaying: "y", side: "right", rangemode: "tozero",
      showgrid: false },
    margin: { l: 50, r: 50, t: 35, b: 45 }, legend: { orientation: "h", y: -0.3 } },
  { ...OPTIONS, displayModeBar: false });
}

// --- controls ------------------------------------------------------------------------------------

function options(select, entries, wanted) {
  select.replaceChildren(...entries.map(([v, label]) => element("option", label, { value: v })));
  if (entries.some(([v]) => v === wanted)) select.value = wanted;
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
  const there = new Set(t.points.filter(p => p.family !== "dense").map(curve));
  $("families").replaceChildren(element("legend", "family"), ...[...t.curves, "other"]
    .filter(name => there.has(name)).map(name => {
      const label = element("label");
      const box = element("input", "", { type: "checkbox", checked: "", value: name });
      box.onchange = () => { box.checked ? state.off.delete(name) : state.off.add(name); draw(); };
      const dot = element("span", "", { class: "dot" });
      dot.style.background = colour(name);
      label.append(box, dot, name);
      return label;
    }));
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
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    draw();
    if (state.chosen !== null) { shapes(task().points[state.chosen]); curves(task().points[state.chosen]); }
  });
  document.body.dataset.ready = "yes";
}

start();

"use strict";
// Text of a model reaches the page through textContent and KaTeX (trust: false) only.
const $ = (id) => document.getElementById(id);
const saved = JSON.parse($("data")?.textContent ?? "null"); // a self-contained page has its data inside
const FILTERS = { search: "text", filter: "kind", sort: "sort", step: "step", run: "run", min: "min_chars", max: "max_chars" }; // by name in the fragment
const KINDS = {
  "": "all groups", rejected_high: "rejected, high score", accepted_low: "accepted, low score", abstained: "verifier abstained",
  wrong: "verdict against label", cut: "cut off at the limit", generous: "accepted generously", no_gradient: "groups without gradient", mixed: "both verdicts",
};
const SORTS = {
  file: "order of the file", suspect: "highest rejected score", advantage: "largest advantage", spread: "spread of scores",
  accepted: "fewest accepted", length: "longest response",
};
const state = { about: null, groups: [], gid: null, raw: false, rule: "", against: "", order: "file", shown: null, asked: 0, listed: 0, wanted: {} };

const el = (tag, options = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), options);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const number = (value, digits = 3) =>
  value === null || value === undefined ? "–" : (Math.round(value * 10 ** digits) / 10 ** digits).toString().replace("-", "−");
const choices = (select, names, chosen) =>
  select.replaceChildren(...Object.entries(names).map(([value, text]) => el("option", { value, textContent: text, selected: value === chosen })));
const nameOf = (choice) => choice.split("@")[0];
const say = (text) => { $("message").textContent = text; $("message").hidden = !text; };

function verdict(row) {
  if (row.verdict === null) return state.about.facts.verdicts ? ["open", "?", "abstained"] : ["open", "–", "no verdict"];
  if (row.verdict === 0) return ["no", "✗", "rejected"];
  return ["yes", "✓", row.learned ? "accepted by a model" : "accepted"];
}

// ---- data: from the server, or from the page itself

async function ask(path, parameters) {
  if (saved) return answer(path, parameters);
  const token = sessionStorage.getItem("token");
  const response = await fetch(`api/${path}?${new URLSearchParams(parameters)}`, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? response.statusText);
  return body;
}

function answer(path, wanted) {
  if (path === "about") return saved.about;
  const text = (wanted.text ?? "").toLowerCase();
  if (path !== "groups") {
    const found = saved.details[path.split("/")[1]];
    if (!found) throw new Error(`${path.replace("groups/", "group ")} is not on this page`);
    for (const row of found.rows) row.hit = Boolean(text) && (row.response + row.reason).toLowerCase().includes(text);
    const at = (choice) => saved.about.rules.findIndex((rule) => rule.name === nameOf(choice));
    return { ...found, made: [wanted.rule, wanted.against].filter(Boolean).map((choice) => found.made[at(choice)]) };
  }
  const groups = saved.groups.filter((group) => {
    const { rows, group: whole } = saved.details[group.gid];
    const long = rows.some((row) => row.chars >= (wanted.min_chars || 0) && row.chars <= (wanted.max_chars || Infinity));
    const places = [whole.problem, whole.reference, whole.prompt_id, ...rows.flatMap((row) => [row.response, row.reason])];
    return long && (!wanted.kind || group.kinds.includes(wanted.kind)) && (!wanted.step || group.step === Number(wanted.step)) &&
      (!wanted.run || group.run === Number(wanted.run)) && places.some((place) => place.toLowerCase().includes(text));
  });
  const by = { suspect: (g) => -(saved.details[g.gid].group.top_rejected ?? -Infinity), advantage: (g) => -g.strongest,
    spread: (g) => -(g.spread ?? -1), accepted: (g) => g.accepted / g.n, length: (g) => -Math.max(...saved.details[g.gid].rows.map((row) => row.chars)) }[wanted.sort];
  if (by) groups.sort((a, b) => by(a) - by(b));
  return { total: groups.length, groups };
}

const filters = () => Object.fromEntries(Object.values(FILTERS).map((name) => [name, $(name).value.trim()]).filter(([, value]) => value));

// ---- the fragment of the address: what is shown, to come back to and to share

function write() {
  const given = Object.entries(FILTERS).map(([name, id]) => [name, $(id).value.trim()]).filter(([name, value]) => value && value !== { sort: "file", run: "0" }[name]);
  if (state.about.runs.length > 1 && !$("run").value) given.push(["run", "all"]);
  if (state.gid !== null) given.push(["group", state.gid]);
  if (state.rule !== state.about.rule && state.rule) given.push(["rule", state.rule]);
  if (state.against) given.push(["against", state.against]);
  history.replaceState(null, "", `#${new URLSearchParams(given)}`);
}

function read() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const usual = { sort: "file", run: state.about.runs.length > 1 ? "0" : "" };
  for (const [name, id] of Object.entries(FILTERS)) $(id).value = given[name] === "all" ? "" : given[name] ?? usual[name] ?? "";
  for (const id of ["kind", "sort"]) if ($(id).selectedIndex < 0) $(id).selectedIndex = 0; // a filter that this file has no use for
  state.rule = given.rule ?? (state.about.rules.length ? state.about.rule : "");
  state.against = given.against ?? "";
  state.wanted = given;
}

// ---- the list

async function list(offset = 0) {
  const turn = ++state.listed;
  try {
    const found = await ask("groups", { ...filters(), rule: state.rule, offset });
    if (turn !== state.listed) return; // a later filter is under way
    say("");
    state.groups = offset ? [...state.groups, ...found.groups] : found.groups;
    $("total").textContent = found.total ? `${found.total.toLocaleString("en")} ${found.total === 1 ? "group" : "groups"}` : "No group passes these filters.";
    $("more").hidden = state.groups.length >= found.total;
    $("list").replaceChildren(...state.groups.map(item));
    const wanted = state.wanted.group;
    if (wanted !== undefined) {
      document.body.classList.add("reading");
      await open(Number(wanted));
      $(`response-${state.wanted.response}`)?.scrollIntoView();
      state.wanted = {};
    } else if (!offset && !state.groups.some((group) => group.gid === state.gid)) {
      state.gid = null;
      if (state.groups.length && !document.body.classList.contains("narrow")) await open(state.groups[0].gid);
      else $("detail").replaceChildren();
    } else if (!offset && state.gid !== null) await open(state.gid);
    mark();
    write();
  } catch (error) { if (turn === state.listed) say(error.message); }
}

function item(group) {
  const counts = !state.about.facts.verdicts ? el("span", { className: "counts", textContent: `${group.n} responses` }) : el("span", { className: "counts" },
    el("b", { className: "yes", textContent: `✓ ${group.accepted}` }), el("b", { className: "no", textContent: `✗ ${group.rejected}` }),
    group.n > group.accepted + group.rejected ? el("b", { className: "open", textContent: `? ${group.n - group.accepted - group.rejected}` }) : null);
  const filtered = group.hits < group.n ? `${group.hits} of ${group.n} match` : "";
  const facts = [group.step === null ? "" : `step ${group.step}`, state.about.runs.length > 1 ? state.about.runs[group.run] : "",
    state.rule && group.strongest <= 1e-9 ? "no gradient" : "", filtered].filter(Boolean).join(" · ");
  const button = el("button", { type: "button", onclick: () => { document.body.classList.add("reading"); open(group.gid); } },
    el("span", { className: "excerpt", textContent: group.excerpt.replace(FORMULA, (_, ...parts) => parts.find(Boolean)) || group.prompt_id }), counts, el("span", { className: "facts", textContent: facts }));
  button.dataset.gid = group.gid;
  return el("li", {}, button);
}

function mark() {
  for (const button of $("list").querySelectorAll("button")) {
    const on = Number(button.dataset.gid) === state.gid;
    button.setAttribute("aria-current", String(on));
    if (on) button.scrollIntoView({ block: "nearest" });
  }
}

// ---- one group

async function open(gid) {
  const turn = ++state.asked, moved = state.shown !== gid;
  state.gid = gid;
  mark();
  try {
    const wanted = { ...filters(), rule: state.rule, against: state.against };
    const found = await ask(`groups/${gid}`, wanted);
    const other = found.other === null ? null : await ask(`groups/${found.other}`, wanted);
    if (turn !== state.asked) return;
    show(found, other);
    state.shown = gid;
    if (moved) { $("detail").scrollTop = 0; if (document.body.classList.contains("reading")) scrollTo(0, 0); }
    write();
    say("");
  } catch (error) { if (turn === state.asked) { state.gid = state.shown; say(error.message); } }
}

function show(found, other) {
  const { group } = found;
  state.first = found.rows;
  const sides = (other ? [found, other] : [found]).map((side) => el("section", { className: "side" },
    other ? el("h2", { textContent: `${state.about.runs[side.group.run]}${side.group.step === null ? "" : `, step ${side.group.step}`}` }) : null,
    el("div", { className: "overview" }, plot(side), summary(side)),
    side.rows.length < side.group.n ? el("p", { textContent: `The first ${side.rows.length} of ${side.group.n.toLocaleString("en")} responses.` }) : null, ...ordered(side).map((at) => card(side, at))));
  $("detail").replaceChildren(...[
    el("button", { type: "button", className: "back", textContent: "← All prompts", onclick: () => document.body.classList.remove("reading") }),
    el("p", { className: "facts", textContent: [group.prompt_id === group.problem ? "" : group.prompt_id, group.step === null ? "" : `step ${group.step}`].filter(Boolean).join(" · ") }),
    el("h2", { textContent: "Problem" }), math(el("div", { className: "text", textContent: group.problem })),
    group.reference ? el("p", { className: "reference" }, "Reference ", math(el("span", { className: "text", textContent: group.reference }), true)) : null,
    timeline(found), controls(), el("div", { className: other ? "sides two" : "sides" }, ...sides),
  ].filter(Boolean));
}

function timeline(found) {
  if (found.same.length < 2) return null;
  const buttons = found.same.map((one) => el("button", { type: "button", onclick: () => open(one.gid), textContent:
    `${state.about.runs.length > 1 ? `${state.about.runs[one.run]} ` : ""}${one.step === null ? "" : `step ${one.step}: `}${one.accepted}/${one.n}` }));
  found.same.forEach((one, at) => buttons[at].setAttribute("aria-current", String(one.gid === found.group.gid)));
  return el("div", { className: "timeline" }, el("span", { textContent: "This prompt" }), ...buttons);
}

function controls() {
  const menu = (key, label) => {
    const names = Object.fromEntries(state.about.rules.map((rule) => [rule.name, rule.name === "recorded" ? "as recorded" : rule.name]));
    const select = el("select", { id: key, onchange: () => pick(key, select.value) });
    choices(select, key === "against" ? { "": "nothing", ...names } : names, nameOf(state[key]));
    const box = el("div", { className: `choice ${key}` }, el("label", {}, el("span", { textContent: label }), select));
    const alpha = state.about.rules.find((rule) => rule.name === nameOf(state[key]))?.alpha;
    if (typeof alpha !== "number") return box;
    const value = state[key].split("@")[1] ?? alpha;
    const shown = el("output", { textContent: value });
    const slider = el("input", { type: "range", min: 0, max: 0.5, step: 0.01, value, id: `${key}-alpha`,
      oninput: () => { shown.textContent = slider.value; }, onchange: () => pick(key, `${nameOf(state[key])}@${slider.value}`) });
    box.append(el("label", { className: "slider" }, el("span", {}, "alpha ", shown), slider));
    return box;
  };
  const order = el("select", { id: "order", onchange: () => { state.order = order.value; open(state.gid); } });
  choices(order, { file: "order of the file", rm_score: "score", reward: "reward", advantage: "advantage", chars: "length" }, state.order);
  const sorting = el("div", { className: "choice" }, el("label", {}, el("span", { textContent: "Responses by" }), order));
  return el("div", { className: "controls" }, ...(state.about.rules.length ? [menu("rule", "Rule"), menu("against", "Compare with")] : []), sorting);
}

async function pick(key, choice) {
  state[key] = choice;
  const focused = document.activeElement?.id;
  if (key === "rule") await list(); else await open(state.gid);
  if (focused) $(focused)?.focus();
}

function ordered(side) {
  const value = (at) => (state.order in (side.made[0] ?? {}) ? side.made[0][state.order][at] : side.rows[at][state.order]) ?? -Infinity;
  const places = side.rows.map((_, at) => at);
  return state.order === "file" ? places : places.sort((a, b) => value(b) - value(a));
}

const rules = () => [state.rule, state.against].filter(Boolean);
const label = (choice) => (choice === "recorded" ? "recorded" : choice.replace("@", ", alpha "));

function summary(side) {
  const weights = side.made.map(({ weight }) => weight.find((value) => value !== null) ?? null);
  const lines = rules().map((choice, at) => {
    const flat = side.made[at].advantage.every((value) => Math.abs(value ?? 0) <= 1e-9);
    return el("div", {}, el("b", { textContent: `${at ? "○" : "●"} ${label(choice)}` }), bar("weight", weights[at], 0, Math.max(3, ...weights), at),
      flat ? el("p", { textContent: "No gradient: all advantages are 0." }) : null);
  });
  return el("div", { className: "summary" }, ...lines);
}

const svg = (tag, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

/** Reward over score: one mark per response, its shape and colour by verdict; hollow under the second rule. */
function plot(side) {
  const points = side.made.flatMap((made, rule) => side.rows.map((row, at) => ({ rule, row, x: row.rm_score, y: made.reward[at] })))
    .filter(({ x, y }) => x !== null && y !== null && y !== undefined);
  if (points.length < 2) return null;
  const [W, H, L, B] = [document.body.classList.contains("narrow") ? 360 : 560, 170, 36, 34];
  const range = (values) => [Math.min(...values), Math.max(...values)];
  const [x0, x1] = range(points.map(({ x }) => x)), [y0, y1] = range([0, 1, ...points.map(({ y }) => y)]);
  const X = (x) => L + 12 + ((x - x0) / (x1 - x0 || 1)) * (W - L - 24), Y = (y) => H - B - 10 - ((y - y0) / (y1 - y0 || 1)) * (H - B - 20);
  const image = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img", "aria-label": "reward of each response over its score" });
  for (const y of [...new Set([y0, 0, 1, y1])].filter((y) => y === 0 || y === 1 || Math.min(Math.abs(Y(y) - Y(0)), Math.abs(Y(y) - Y(1))) > 14)) {
    image.append(svg("line", { x1: L, x2: W, y1: Y(y), y2: Y(y) }), svg("text", { x: L - 6, y: Y(y) + 4, "text-anchor": "end" }, number(y, 2)));
  }
  image.append(svg("text", { x: X(x0), y: H - 18, "text-anchor": "middle" }, number(x0, 2)), svg("text", { x: X(x1), y: H - 18, "text-anchor": "end" }, number(x1, 2)),
    svg("text", { x: (W + L) / 2, y: H - 4, "text-anchor": "middle" }, "score of the reward model"), svg("text", { x: L + 4, y: 11 }, "reward"));
  const shapes = { yes: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z", no: "M-5 -5H5V5H-5z", open: "M0 -6L6 5H-6z" };
  for (const { rule, row, x, y } of points) {
    const [kind, sign, words] = verdict(row);
    const dot = svg("path", { d: shapes[kind], transform: `translate(${X(x)} ${Y(y)})`, class: `${kind} rule-${rule}` });
    dot.append(svg("title", {}, `${sign} ${words}, score ${number(x)}, reward ${number(y)} (${label(rules()[rule])})`));
    image.append(dot);
  }
  return image;
}

/** A bar from 0 (or from the low end) to the value. */
function bar(name, value, low, high, rule = 0) {
  const box = el("div", { className: `bar rule-${rule}` }, el("span", { className: "name", textContent: name }));
  const track = el("span", { className: "track" });
  if (value !== null && value !== undefined) {
    const place = (at) => Math.min(Math.max((at - low) / (high - low || 1), 0), 1) * 100;
    const [from, to] = [place(Math.min(value, Math.max(low, 0))), place(Math.max(value, Math.max(low, 0)))];
    const fill = el("i");
    fill.style.left = `${low > 0 ? 0 : from}%`;
    fill.style.width = `${Math.max(low > 0 ? to : to - from, 0.8)}%`;
    track.append(fill);
    if (low < 0) { const zero = el("u"); zero.style.left = `${place(0)}%`; track.append(zero); }
  }
  box.append(track, el("span", { className: "value", textContent: number(value) }));
  return box;
}

function card(side, at) {
  const row = side.rows[at], [kind, sign, words] = verdict(row), facts = state.about.facts;
  const all = (name) => side.made.flatMap((made) => made[name]).map((value) => value ?? 0);
  const [least, most] = [Math.min(0, ...all("reward")), Math.max(1, ...all("reward"))];
  const widest = Math.max(...all("advantage").map(Math.abs), 1e-9);
  const notes = [row.reason, row.correct === null ? "" : `label: ${row.correct > 0 ? "correct" : "incorrect"}`, row.finished === false ? "cut off" : "", `${row.chars.toLocaleString("en")} character${row.chars === 1 ? "" : "s"}`];
  const bars = row.rm_score === null ? [] : [el("div", {}, bar("score", row.rm_score, Math.min(facts.score_from, 0), facts.score_to))];
  for (const [name, low, high] of [["reward", least, most], ["advantage", -widest, widest]]) {
    if (side.made.length) bars.push(el("div", {}, ...side.made.map((made, rule) => bar(rule ? `${nameOf(rules()[rule])}` : name, made[name][at], low, high, rule))));
  }
  const text = math(el("div", { className: "text", textContent: row.response, tabIndex: -1 }));
  const marked = (filters().kind in KINDS && $("kind").value) || $("text").value || $("min_chars").value || $("max_chars").value;
  const id = side.rows === state.first ? `response-${at + 1}` : "";
  return el("section", { id, className: `card ${kind}${marked && row.hit ? " hit" : ""}` },
    el("header", {}, el("b", { className: `chip ${kind}`, textContent: `${sign} ${words}` }), el("span", { className: "facts", textContent: notes.filter(Boolean).join(" · ") }),
      marked && row.hit ? el("b", { className: "match", textContent: "matches" }) : null),
    el("div", { className: "bars" }, ...bars), compared(row, side.group), row.steps?.length ? steps(row) : text);
}

/** What the verifier compared: as the file says, or found out when it is asked for. */
function compared(row, group) {
  if (row.detail) return comparison("Compared", row.detail);
  if (saved || !group.reference || !state.about.facts.verdicts) return null;
  const button = el("button", { type: "button", className: "compare", textContent: "What was compared?", onclick: async () => {
    button.disabled = true;
    try {
      const { verdict, reason, detail, generous } = await ask(`explain/${row.id}`, {});
      button.replaceWith(comparison(`math says ${verdict}, ${reason}${generous ? " (generous)" : ""}`, detail));
    } catch (error) { button.disabled = false; say(error.message); }
  } });
  return button;
}

function comparison(said, detail) {
  const sides = detail.split(" | "), form = (text) => math(el("span", { className: "text", textContent: text }), true);
  const forms = sides.length === 2 ? ["answer ", form(sides[0]), ", reference ", form(sides[1])] : [form(detail || "nothing to compare")];
  return el("p", { className: "compared" }, `${said}: `, ...forms);
}

function steps(row) {
  const scores = row.step_scores ?? [];
  const known = scores.filter((score) => score !== null);
  return el("ol", { className: "steps" }, ...row.steps.map((step, at) => el("li", {},
    math(el("div", { className: "text", textContent: step })),
    known.length ? bar("step score", scores[at], Math.min(0, ...known), Math.max(1, ...known)) : null)));
}

// ---- mathematics, when it comes into view

// $5 and $6 is no formula: the dollars of one stand next to it and not before a digit
const FORMULA = new RegExp([
  String.raw`\$\$([^]+?)\$\$`, String.raw`\\\[([^]+?)\\\]`, String.raw`(\\begin\{(?:equation|align|gather)\*?\}[^]+?\\end\{(?:equation|align|gather)\*?\})`,
  String.raw`\\\(([^]+?)\\\)`, String.raw`(?<!\\)\$(?!\s)((?:\\.|[^$\\\n])+?)(?<!\s)\$(?!\d)`,
  String.raw`(\\boxed\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})`, // as models end without dollars
].join("|"), "g");
const SAFE = { trust: false, throwOnError: true, strict: "ignore", maxExpand: 200, maxSize: 20 };

const LONGEST = 2000, ROOM = 20000; // characters of a formula, and of all in one text, each counted as 20 more
const DEEP = "* > ".repeat(300) + "*"; // a browser dies of more

/** A formula, or its text as written where KaTeX cannot read it or a browser could not show it. */
function formula(tex, written, displayMode) {
  const node = el("span");
  try {
    if (tex.length > LONGEST || /\\[a-z]*(?:def|command)\b/.test(tex)) throw new RangeError(); // definitions may grow without end
    katex.render(tex, node, { ...SAFE, displayMode });
    if (node.querySelector(DEEP)) throw new RangeError();
  } catch { node.textContent = written; }
  return node;
}

function typeset(node) {
  const text = node.textContent, found = [];
  if ("whole" in node.dataset && !/[$]|\\[([]/.test(text) && /[\\^_{]/.test(text)) return node.replaceChildren(formula(text, text, false));
  let from = 0, room = ROOM;
  for (const match of text.matchAll(FORMULA)) {
    if ((room -= 20 + Math.min(match[0].length, LONGEST)) < 0) break; // the rest stays as written
    const shown = match[1] ?? match[2] ?? match[3];
    // a displayed formula breaks the line itself
    found.push(text.slice(from, match.index).replace(from && found.at(-1)?.displayed ? /^\n/ : "", "").replace(shown ? /\n$/ : "", ""));
    found.push(Object.assign(formula(shown ?? match[4] ?? match[5] ?? match[6], match[0], Boolean(shown)), { displayed: Boolean(shown) }));
    from = match.index + match[0].length;
  }
  if (from) node.replaceChildren(...found, text.slice(from).replace(found.at(-1).displayed ? /^\n/ : "", ""));
}

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    typeset(target);
  }
}, { rootMargin: "400px" });

/** ``whole``: LaTeX without delimiters is a formula, as references often are. */
function math(node, whole = false) {
  if (whole) node.dataset.whole = "";
  if (!state.raw) watcher.observe(node);
  return node;
}

// ---- keyboard, filters, start

function move(by) {
  const at = state.groups.findIndex((group) => group.gid === state.gid) + by;
  if (state.groups[at]) open(state.groups[at].gid);
  else if (by > 0 && !$("more").hidden) list(state.groups.length);
}

function along(by) {
  const buttons = [...document.querySelectorAll(".timeline button")];
  buttons[buttons.findIndex((button) => button.getAttribute("aria-current") === "true") + by]?.click();
}

const KEYS = {
  j: () => move(1), k: () => move(-1), ArrowRight: () => along(1), ArrowLeft: () => along(-1),
  "/": () => { document.body.classList.remove("reading"); $("text").focus(); $("text").select(); },
  m: () => { state.raw = !state.raw; open(state.gid); },
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.preventDefault(); document.activeElement.blur(); document.body.classList.remove("reading"); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName) || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

let waiting;
const later = () => { clearTimeout(waiting); waiting = setTimeout(list, 250); };

async function start() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("token")) {
    sessionStorage.setItem("token", given.get("token"));
    given.delete("token");
    history.replaceState(null, "", `${location.pathname}#${given}`);
  }
  const narrow = matchMedia("(max-width: 800px)");
  const fit = () => document.body.classList.toggle("narrow", narrow.matches);
  narrow.addEventListener("change", fit);
  fit();
  try { state.about = await ask("about", {}); } catch (error) { say(error.message); return; }
  const { facts, runs, title } = state.about;
  document.title = `${title} – rollouts`;
  $("title").textContent = title;
  $("counts").textContent = `${facts.responses.toLocaleString("en")} responses, ${facts.groups.toLocaleString("en")} groups${facts.first_step === null ? "" : `, steps ${facts.first_step} to ${facts.last_step}`}`;
  const one = !facts.verdicts, both = one || !facts.scores;
  const absent = { wrong: one || !facts.labels, cut: !facts.endings, rejected_high: both, accepted_low: both, abstained: one, mixed: one, generous: !facts.generous, no_gradient: one && !facts.rewards };
  choices($("kind"), Object.fromEntries(Object.entries(KINDS).filter(([kind]) => !absent[kind])), "");
  choices($("sort"), SORTS, "file");
  choices($("run"), { "": "all", ...Object.fromEntries(runs.map((name, at) => [at, name])) }, "");
  document.querySelector(".run").hidden = runs.length < 2;
  document.querySelector(".step").hidden = facts.first_step === null;
  read();
  addEventListener("hashchange", () => { read(); list(); });
  $("filters").addEventListener("input", later);
  $("filters").addEventListener("submit", (event) => { event.preventDefault(); list(); });
  $("more").addEventListener("click", () => list(state.groups.length));
  await list();
}
start();

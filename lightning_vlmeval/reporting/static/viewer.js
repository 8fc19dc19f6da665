// The viewer of the report and of the TensorBoard tab: a slider over evaluations, filters, two runs.
import { card } from "./card.js";
import { choice, drawing, node, visible } from "./dom.js";
import { hasOutcome, hasText, isRight, ORDERS, OUTCOMES, ranked, scoreOf } from "./ranking.js";
import { curves, judgement, valueTable } from "./summary.js";

const PAGE = 24;

function legend() {
  const kinds = [["gt", "ground truth, found"], ["fn", "ground truth, missed (FN)"],
    ["tp", "prediction, correct (TP)"], ["fp", "prediction, false alarm (FP)"]];
  return node("div", { class: "legend" }, ...kinds.map(([kind, text]) => node("span", {},
    drawing("svg", { viewBox: "0 0 28 14", class: "swatch", "aria-hidden": "true" },
      drawing("rect", { class: "ground", width: 28, height: 14, rx: 3 }),
      drawing("g", { class: `box ${kind}` }, drawing("rect", { x: 4, y: 3, width: 20, height: 8 }))), text)),
  node("span", {}, "words: ", node("del", {}, "only in the reference"), node("ins", {}, "only in the answer")));
}

// source: runs() -> [{id, name}], evaluations(id) -> summaries, answers(id, position) -> Map of samples
// by key, image(id, name) -> address or null, directions: {score: "lower" | "neither"}.
export class Viewer {
  constructor(source, host) {
    this.source = source;
    this.state = { a: null, b: "", position: 0, loader: "", outcome: "", order: "worst", score: "", text: "", only: null };
    this.count = PAGE;
    this.turn = 0;
    this.held = null;
    this.solved = new Map();
    this.parts = { controls: node("div", { class: "bar" }), slide: node("div", { class: "bar slide" }), top: node("div"), grid: node("div", { class: "cards" }),
      status: node("span", { class: "muted", role: "status" }) };
    const summary = node("details", { class: "summary", open: "" }, node("summary", {}, "verdict, curves, values"), this.parts.top);
    this.parts.more = node("button", { type: "button", class: "more", onclick: () => this.showMore() }, "show more");
    host.replaceChildren(this.parts.controls, this.parts.slide,
      node("main", { class: "viewer" }, summary, legend(), this.parts.grid, this.parts.more));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  async start() {
    this.runs = await this.source.runs();
    if (!this.runs.length) return this.parts.top.replaceChildren(node("p", {}, "No evaluation is stored yet."));
    this.state.a = this.runs[0].id;
    this.state.b = this.runs[1]?.id ?? "";
    this.state.position = (await this.source.evaluations(this.state.a)).length - 1;
    this.controls();
    return this.draw();
  }

  controls() {
    const names = this.runs.map((run) => [run.id, run.name]);
    const set = (field) => (value) => this.change({ [field]: value });
    this.parts.slider = node("input", { type: "range", min: 0, step: 1, "aria-label": "checkpoint",
      oninput: () => this.move(Number(this.parts.slider.value)) });
    this.parts.place = node("output", { class: "place" });
    this.parts.hold = node("input", { type: "checkbox", checked: true, onchange: () => this.draw() });
    this.parts.truth = node("input", { type: "checkbox", checked: true, onchange: () => this.draw() });
    this.parts.search = node("input", { type: "search", "aria-label": "search", placeholder: "search",
      oninput: () => this.change({ text: this.parts.search.value.toLowerCase() }) });
    this.parts.score = node("span");
    this.parts.loader = node("span");
    this.parts.all = node("button", { type: "button", hidden: true, onclick: () => this.change({ only: null }) }, "show all again");
    this.parts.controls.replaceChildren(
      choice("run", names, this.state.a, (a) => this.changeRun(a)),
      this.runs.length > 1 ? choice("beside", [["", "no other"], ...names], this.state.b, set("b")) : "",
      choice("outcome", OUTCOMES, this.state.outcome, set("outcome")),
      choice("sort", ORDERS, this.state.order, set("order")),
      this.parts.score, this.parts.loader, this.parts.search,
      node("label", { title: "Show the same samples while the slider moves" }, this.parts.hold, node("span", {}, "hold samples")),
      node("label", {}, this.parts.truth, node("span", {}, "truth over prediction (g)")),
      this.parts.all);
    this.parts.slide.replaceChildren(
      node("label", {}, node("span", {}, "checkpoint"), this.parts.slider, this.parts.place), this.parts.status,
      node("span", { class: "muted keys" }, "keys: \u2190 \u2192 checkpoint, / search, j k samples"));
  }

  async changeRun(a) {
    const evaluations = await this.source.evaluations(a);
    return this.change({ a, position: Math.min(this.state.position, evaluations.length - 1) });
  }

  change(fields) {
    Object.assign(this.state, fields);
    this.count = PAGE;
    this.held = null;
    return this.draw();
  }

  move(position) {
    this.state.position = position;
    return this.draw();
  }

  showMore() {
    this.count += 2 * PAGE;
    this.held = null;
    return this.draw();
  }

  // The newest evaluations of a run that still goes on: stays at the end where it was at the end.
  async refresh(runs) {
    const before = this.shown?.[0]?.evaluations.length ?? 0;
    this.runs = runs;
    if (this.state.a === null || !runs.some((run) => run.id === this.state.a)) return this.start();
    const now = (await this.source.evaluations(this.state.a)).length;
    if (this.state.position >= Math.min(before, now) - 1) this.state.position = now - 1;
    return this.draw();
  }

  async shownRuns() {
    const chosen = [this.state.a, this.state.b].filter((id, i) => id && (i === 0 || id !== this.state.a));
    const shown = await Promise.all(chosen.map(async (id) => {
      const evaluations = await this.source.evaluations(id);
      return { id, name: this.runs.find((run) => run.id === id)?.name ?? id, evaluations, position: this.state.position };
    }));
    const step = shown[0].evaluations[this.state.position].step ?? 0;
    for (const one of shown.slice(1)) {
      one.position = Math.max(0, one.evaluations.filter((other) => (other.step ?? 0) <= step).length - 1);
    }
    return shown.filter((one) => one.evaluations.length);
  }

  async draw() {
    const turn = ++this.turn;
    try {
      const shown = await this.shownRuns();
      const answers = await Promise.all(shown.map((one) => this.source.answers(one.id, one.position)));
      const keys = this.parts.hold.checked && this.held ? this.held : await this.pick(shown, answers);
      if (turn !== this.turn) return;
      this.shown = shown;
      this.drawControls(shown, answers[0]);
      this.drawSummary(shown);
      this.drawCards(shown, answers, keys);
    } catch (error) {
      if (turn === this.turn) this.parts.status.textContent = `cannot be shown: ${visible(error.message)}`;
    }
  }

  // The keys of the samples to show, in order.
  async pick(shown, answers) {
    const { id, position } = shown[0];
    const { order, outcome, score, text, only, loader } = this.state;
    const good = (sample) => scoreOf(sample, score, this.source.directions).goodness;
    const right = (sample) => isRight(sample, score, this.source.directions);
    const before = position > 0 ? await this.source.answers(id, position - 1) : null;
    const others = {
      first: order === "improved" ? await this.source.answers(id, 0) : null,
      before: ["broken", "drop"].includes(order) ? before : null,
      run: answers[1],
      solved: order === "unsolved" ? await this.everSolved(shown[0], right) : null,
    };
    const rows = [...answers[0]].filter(([, sample]) => hasOutcome(sample, outcome, right) && hasText(sample, text)
      && (!only || only.has(sample.id)) && (!loader || (sample.loader ?? "") === loader));
    this.held = ranked(rows, order, others, good, right).map(([key]) => key);
    return this.held;
  }

  // The samples that were right at any evaluation of the run.
  async everSolved({ id, evaluations }, right) {
    const solved = new Set();
    for (let position = 0; position < evaluations.length; position++) {
      const kept = [id, position, evaluations[position].time, this.state.score].join("\n");
      if (!this.solved.has(kept)) {
        const answers = await this.source.answers(id, position);
        this.solved.set(kept, [...answers].filter(([, sample]) => right(sample)).map(([key]) => key));
      }
      for (const key of this.solved.get(kept)) solved.add(key);
    }
    return solved;
  }

  drawControls(shown, answers) {
    const [{ evaluations, position }] = shown;
    const { step, epoch } = evaluations[position];
    this.parts.slider.max = evaluations.length - 1;
    this.parts.slider.value = position;
    const untrained = position === 0 && !step ? "untrained, " : "";
    const place = `${untrained}step ${step}${epoch === undefined ? "" : `, epoch ${epoch}`} (${position + 1} of ${evaluations.length})`;
    this.parts.place.textContent = place;
    this.parts.slider.setAttribute("aria-valuetext", place);
    const some = [...answers.values()].slice(0, 500);
    const again = (part, label, values, field, first) => {
      const key = JSON.stringify(values);
      if (part.dataset.values === key) return;
      part.dataset.values = key;
      part.replaceChildren(...(values.length > 1
        ? [choice(label, [["", first], ...values.map((one) => [one, one])], this.state[field], (value) => this.change({ [field]: value }))] : []));
    };
    again(this.parts.score, "score", [...new Set(some.flatMap((one) => Object.keys(one.scores ?? {})))], "score", "main score");
    again(this.parts.loader, "set", [...new Set([...answers.values()].map((one) => one.loader ?? ""))].filter(Boolean), "loader", "all sets");
    this.parts.all.hidden = !this.state.only;
  }

  drawSummary(shown) {
    const open = (kind) => this.parts.top.querySelector(`details.${kind}`)?.open ?? false;
    const pick = (run, position) => (run === 0 ? this.move(position) : null);
    const only = (ids) => this.change({ only: new Set(ids), outcome: "", text: "" }).then(() => this.parts.grid.scrollIntoView());
    this.parts.top.replaceChildren(
      ...judgement(shown, only), ...curves(shown, pick, open("charts-more")), ...valueTable(shown, open("others")));
  }

  drawCards(shown, answers, keys) {
    const options = {
      truth: this.parts.truth.checked,
      image: (run, name) => this.source.image(run, name),
      score: (sample) => scoreOf(sample, this.state.score, this.source.directions),
    };
    const focused = document.activeElement?.dataset?.id;
    const made = keys.slice(0, this.count).filter((key) => answers[0].has(key)).map((key) => card(
      shown.map((one, i) => ({ run: one.id, name: one.name, sample: answers[i].get(key) })).filter((one) => one.sample), options));
    this.parts.grid.classList.toggle("two", shown.length > 1);
    this.parts.grid.replaceChildren(...made);
    if (focused) made.find((one) => one.dataset.id === focused)?.focus({ preventScroll: true });
    this.parts.status.textContent = `${keys.length} of ${answers[0].size} samples`;
    this.parts.more.hidden = keys.length <= this.count;
  }

  key(event) {
    if (!this.shown || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const last = this.shown[0].evaluations.length - 1;
    if (step) this.move(Math.max(0, Math.min(last, this.state.position + step)));
    else if (event.key === "/") this.parts.search.focus();
    else if (event.key === "g") this.parts.truth.click();
    else if (event.key === "j" || event.key === "k") this.step(event.key === "j" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  step(by) {
    const cards = [...this.parts.grid.children];
    const next = cards.indexOf(document.activeElement?.closest?.(".card")) + by;
    cards[Math.max(0, Math.min(cards.length - 1, next))]?.focus();
  }
}

// What an evaluation says as a whole: verdict, findings, curves, a table of values.
import { chart } from "./chart.js";
import { drawing, isNumber, node, said, shortNumber, visible } from "./dom.js";

// The main values, as the report's own page has them.
const HEADLINES = {
  grounding: ["f1", "mean_iou", "precision", "recall", "iou"],
  text: ["bertscore_f1", "bleu", "meteor", "rougeL_fmeasure", "rougeL_recall"],
  answers: ["exact_match", "token_f1", "vqa_accuracy"],
  structured: ["format_compliance", "schema_adherence", "field_f1"],
  health: ["healthy", "truncated", "empty", "repetition"],
};
const ROW = 6;
const STATES = ["ok", "watch", "overfitting", "diverging", "invalid"];

function isMain(key) {
  const parts = key.split("/");
  return !key.includes("_healthy/") && (HEADLINES[parts.at(-2)] ?? []).includes(parts.at(-1));
}

function mainFirst(keys) {
  const main = keys.filter(isMain);
  return main.length ? [main, keys.filter((key) => !isMain(key))] : [keys.slice(0, 8), keys.slice(8)];
}

function keysOf(shown) {
  return [...new Set(shown.flatMap(({ evaluations }) => evaluations.flatMap((one) => Object.keys(one.values ?? {}))))];
}

function interval(summary, key) {
  const ends = summary.intervals?.[key];
  return ends?.every(isNumber) ? ` [${shortNumber(ends[0])}, ${shortNumber(ends[1])}]` : "";
}

function finding(name, one, showSamples) {
  const numbers = Object.entries(one.numbers ?? {}).map(([key, value]) => {
    const [middle, low, high] = [value].flat();
    return `${key} ${shortNumber(middle)}${isNumber(low) ? ` [${shortNumber(low)}, ${shortNumber(high)}]` : ""}`;
  });
  const samples = one.samples ?? [];
  const button = node("button", { type: "button", onclick: () => showSamples(samples) }, `show its ${samples.length} samples`);
  return node("div", { class: "finding" }, node("b", {}, visible(`${name}: ${one.slug}`)), " ",
    said(one.meaning ?? ""), " ", said(one.advice ?? ""),
    node("div", { class: "muted" }, visible(numbers.join(", ")), " ", samples.length ? button : null));
}

// shown: [{name, evaluations, position}]
export function judgement(shown, showSamples) {
  return shown.flatMap(({ name, evaluations, position }) => {
    const { verdict, judgement, findings, accounting } = evaluations[position];
    const state = STATES.includes(verdict?.state) ? verdict.state : "unknown";
    return [
      verdict && node("div", { class: `verdict state-${state}` },
        node("b", {}, visible(`${name}: ${verdict.state}`)), " ", said(verdict.reason ?? "")),
      judgement && node("p", {}, node("b", {}, visible(name)), ": ", said(judgement)),
      ...(findings ?? []).map((one) => finding(name, one, showSamples)),
      ...Object.entries(accounting ?? {}).map(([loader, text]) =>
        node("p", { class: "muted" }, visible([name, loader].filter(Boolean).join(", ") + `: ${text}`))),
    ].filter(Boolean);
  });
}

function pointsOf({ evaluations }, read) {
  return evaluations.map((one, position) => ({ position, step: one.step ?? 0, ...read(one) }));
}

export function curves(shown, pick, open) {
  const series = (read) => shown.map((one) => ({ name: one.name, at: one.position, points: pointsOf(one, read) }));
  const losses = ["val_loss", "train_loss"].map((key) => ({
    name: `${shown[0].name}, ${key === "val_loss" ? "validation" : "training"}`,
    at: shown[0].position, points: pointsOf(shown[0], (one) => ({ value: one[key] })),
  }));
  const values = mainFirst(keysOf(shown))[0].map((key) => chart(key, series((one) => ({
    value: one.values?.[key], low: one.intervals?.[key]?.[0], high: one.intervals?.[key]?.[1],
  })), pick));
  const loss = chart("loss: validation (line) and training (dashes)", losses, (_, position) => pick(0, position));
  const all = [loss, ...values].filter(Boolean);
  const more = node("details", { class: "charts-more", ...(open ? { open: "" } : {}) },
    node("summary", {}, `${all.length - ROW} more curves`), node("div", { class: "charts" }, ...all.slice(ROW)));
  const key = node("p", { class: "key" }, ...shown.map(({ name }, i) => node("span", { class: `series-${i % 3}` },
    drawing("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, drawing("line", { x1: 0, x2: 26, y1: 4, y2: 4 })), visible(name))));
  return [key, node("div", { class: "charts" }, ...all.slice(0, ROW)), all.length > ROW ? more : null].filter(Boolean);
}

function rowOf(key, shown) {
  const values = shown.map(({ evaluations, position }) => evaluations[position].values?.[key]);
  const [first] = shown;
  const before = first.evaluations[first.position - 1]?.values?.[key];
  const signed = (change) => (isNumber(change) ? (change > 0 ? "+" : "") + change.toFixed(3) : "\u2013");
  return node("tr", {}, node("th", { scope: "row" }, visible(key)),
    ...values.map((value, i) => node("td", {}, node("b", {}, shortNumber(value)),
      interval(shown[i].evaluations[shown[i].position], key))),
    node("td", {}, signed(values[0] - before)),
    shown.length > 1 ? node("td", {}, signed(values[1] - values[0])) : null);
}

export function valueTable(shown, open) {
  const [main, others] = mainFirst(keysOf(shown));
  const heads = [
    "value", ...shown.map(({ name, evaluations, position }) => `${name}, step ${evaluations[position].step}`),
    "since the one before", ...(shown.length > 1 ? ["difference of the runs"] : []),
  ];
  const table = (keys) => node("div", { class: "scroll" }, node("table", { class: "values" },
    node("tr", {}, ...heads.map((head) => node("th", { scope: "col" }, visible(head)))),
    ...keys.map((key) => rowOf(key, shown))));
  const rest = node("details", { class: "others", ...(open ? { open: "" } : {}) }, node("summary", {}, `${others.length} more values`), table(others));
  return [table(main), others.length ? rest : null].filter(Boolean);
}

// Which samples are shown, and in which order.
import { boxesOf, countsOf, references } from "./answer.js";
import { isNumber } from "./dom.js";

// The score by which an answer is sorted, the first that a sample has.
// F1 is undefined for a sample without targets of which nothing was said: there the macro F1 is 1.
const MAIN_SCORES = ["grounding/f1", "grounding/macro_f1", "structured/field_f1", "text/bertscore_f1", "answers/exact_match", "text/rougeL_fmeasure", "text/bleu"];

export const OUTCOMES = [
  ["", "all samples"],
  ["tp", "with hits (TP)"],
  ["fp", "with false alarms (FP)"],
  ["fn", "with misses (FN)"],
  ["failed", "not parsed"],
  ["error", "any error"],
  ["right", "all correct"],
];

export const ORDERS = [
  ["worst", "worst first"],
  ["improved", "most improved since the first"],
  ["broken", "newly broken"],
  ["unsolved", "never solved"],
  ["drop", "biggest drop since the one before"],
  ["differ", "runs differ most"],
  ["id", "by id"],
];

export function scoreOf(sample, wanted, directions) {
  const scores = sample.scores ?? {};
  const name = wanted || MAIN_SCORES.find((key) => key in scores) || Object.keys(scores)[0] || "";
  const value = scores[name];
  const sign = directions[name] === "lower" ? -1 : 1;
  return { name, value, goodness: isNumber(value) ? sign * value : NaN };
}

// Boxes and fields are right where all are; a text from 0.8 of its score on, other values at 1.
export function isRight(sample, wanted, directions) {
  const { right } = countsOf(sample);
  if (right !== null) return right;
  const { name, goodness } = scoreOf(sample, wanted, directions);
  if (directions[name] === "lower") return goodness >= 0;
  return goodness >= (name.startsWith("text/") ? 0.8 : 0.999);
}

export function hasOutcome(sample, outcome, right) {
  if (!outcome) return true;
  if (outcome === "right") return right(sample);
  if (outcome === "error") return !right(sample);
  const counts = countsOf(sample);
  return outcome === "failed" ? counts.failed : counts[outcome] > 0;
}

export function hasText(sample, text) {
  if (!text) return true;
  const label = boxesOf(sample) ? sample.target.labels ?? [] : references(sample);
  return [sample.id, sample.prompt, sample.prediction, ...label].join("\n").toLowerCase().includes(text);
}

// Samples in order; for some orders only those that they are about.
// others: maps of samples by key, `first`, `before`, `run` (the second run's) and `solved`, a set of keys.
export function ranked(samples, order, others, good, right) {
  const change = (key, sample, map) => good(sample) - (map?.has(key) ? good(map.get(key)) : NaN);
  const placed = [...samples].map(([key, sample]) => {
    const place = {
      worst: () => good(sample),
      improved: () => -change(key, sample, others.first),
      drop: () => change(key, sample, others.before),
      broken: () => (others.before?.has(key) && right(others.before.get(key)) && !right(sample) ? change(key, sample, others.before) : null),
      unsolved: () => (others.solved.has(key) ? null : good(sample)),
      differ: () => -Math.abs(change(key, sample, others.run)),
      id: () => 0,
    }[order]();
    return [key, sample, place];
  });
  const last = (place) => (isNumber(place) ? place : Infinity);
  const byId = new Intl.Collator("en", { numeric: true });
  return placed
    .filter(([, , place]) => place !== null && (!["improved", "drop"].includes(order) || place < 0))
    .sort((a, b) => (last(a[2]) === last(b[2]) ? 0 : last(a[2]) - last(b[2])) || byId.compare(a[1].id, b[1].id));
}

// One answer beside its target: boxes, words or fields, and what is right and wrong about it.
import { drawing, node, said, shortNumber, visible } from "./dom.js";

const MAX_WORDS = 400;

export function boxesOf(sample) {
  const boxes = sample.target?.boxes;
  return Array.isArray(boxes) ? boxes : null;
}

function parsedObject(value) {
  if (typeof value !== "string") return value && typeof value === "object" ? value : null;
  const inside = value.match(/[{[][\s\S]*[}\]]/);
  try {
    const parsed = inside && JSON.parse(inside[0]);
    return parsed && typeof parsed === "object" ? parsed : null;
  } catch {
    return null;
  }
}

// The fields of a target that is an object, or the text of one; null for other targets.
export function targetFields(sample) {
  const { target } = sample;
  if (sample.target_value) return flattened(sample.target_value);
  if (boxesOf(sample) || (Array.isArray(target) && target.every((one) => typeof one === "string"))) return null;
  if (typeof target === "string" && !/^\s*[{[]/.test(target)) return null;
  const parsed = parsedObject(target);
  return parsed && flattened(parsed);
}

function flattened(value, path = "", found = new Map()) {
  if (value && typeof value === "object" && Object.keys(value).length) {
    for (const [name, one] of Object.entries(value)) {
      flattened(one, Array.isArray(value) ? `${path}[${name}]` : path ? `${path}.${name}` : name, found);
    }
  } else {
    found.set(path, typeof value === "string" ? value : JSON.stringify(value));
  }
  return found;
}

// Each field as [path, state, wanted, given]; null where no fields were read in the answer.
export function comparedFields(sample) {
  const wanted = targetFields(sample);
  const parsed = wanted && (sample.answer_value ?? parsedObject(sample.prediction ?? ""));
  if (!parsed) return null;
  const given = flattened(parsed);
  const rows = [...wanted].map(([path, value]) => {
    if (!given.has(path)) return [path, "missing", value, null];
    return [path, given.get(path) === value ? "right" : "wrong", value, given.get(path)];
  });
  for (const [path, value] of given) if (!wanted.has(path)) rows.push([path, "extra", null, value]);
  return rows;
}

export function references(sample) {
  const { target } = sample;
  if (Array.isArray(target)) return target.map((one) => (typeof one === "string" ? one : JSON.stringify(one)));
  return [typeof target === "string" ? target : JSON.stringify(target ?? "")];
}

// How many hits, false alarms and misses; `right` is null where a score must say.
export function countsOf(sample) {
  const scores = sample.scores ?? {};
  const failed = Boolean(sample.unparsable) || scores["structured/format_compliance"] === 0;
  const targets = boxesOf(sample);
  if (targets) {
    const tp = (sample.matches ?? []).length;
    const [fp, fn] = [(sample.boxes ?? []).length - tp, targets.length - tp];
    return { tp, fp, fn, failed, right: fp + fn === 0 && !failed };
  }
  const wanted = targetFields(sample);
  if (!wanted) return { tp: 0, fp: 0, fn: 0, failed, right: failed ? false : null };
  const fields = comparedFields(sample);
  if (!fields) return { tp: 0, fp: 0, fn: wanted.size, failed: true, right: false };
  const count = (...states) => fields.filter((field) => states.includes(field[1])).length;
  const [tp, fp, fn] = [count("right"), count("wrong", "extra"), count("wrong", "missing")];
  return { tp, fp, fn, failed, right: fp + fn === 0 && !failed };
}

function box(corners, kind, title) {
  const [x0, y0, x1, y1] = corners.map(Number);
  const place = { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
  return drawing("g", { class: `box ${kind}` },
    drawing("rect", { class: "casing", ...place }), drawing("rect", place, drawing("title", {}, visible(title))));
}

function boxTitle(kind, label, overlap) {
  const name = label ? `${label}: ` : "";
  return name + kind + (overlap === undefined ? "" : `, IoU ${shortNumber(overlap)}`);
}

// The boxes in the picture's own pixels: targets dashed, predictions solid, each on a black casing.
export function boxLayer(sample, size, { truth, prediction }) {
  const layer = drawing("svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const matches = sample.matches ?? [];
  const [given, wanted] = [new Map(matches.map((m) => [m[0], m[2]])), new Map(matches.map((m) => [m[1], m[2]]))];
  if (truth) {
    boxesOf(sample).forEach((corners, i) => {
      const kind = wanted.has(i) ? "ground truth, found" : "ground truth, missed (FN)";
      layer.append(box(corners, wanted.has(i) ? "gt" : "fn", boxTitle(kind, sample.target.labels?.[i], wanted.get(i))));
    });
  }
  if (prediction) {
    (sample.boxes ?? []).forEach((corners, i) => {
      const kind = given.has(i) ? "prediction, correct (TP)" : "prediction, false alarm (FP)";
      layer.append(box(corners, given.has(i) ? "tp" : "fp", boxTitle(kind, sample.labels?.[i], given.get(i))));
    });
  }
  return layer;
}

// The longest common run of words: pairs of [kind, word], kinds "same", "left" and "right".
export function comparedWords(left, right) {
  const lengths = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      const longest = Math.max(lengths[i + 1][j], lengths[i][j + 1]);
      lengths[i][j] = left[i] === right[j] ? lengths[i + 1][j + 1] + 1 : longest;
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) found.push(["same", left[i++], j++]);
    else if (j >= right.length || (i < left.length && lengths[i + 1][j] >= lengths[i][j + 1])) found.push(["left", left[i++]]);
    else found.push(["right", right[j++]]);
  }
  return found;
}

const wordsOf = (text) => String(text).split(/\s+/).filter(Boolean).slice(0, MAX_WORDS);

// The answer's words against the reference that has most of them.
export function wordDifference(sample) {
  const answer = wordsOf(sample.prediction ?? "");
  const compared = references(sample).slice(0, 20).map((one) => comparedWords(wordsOf(one), answer));
  const same = (words) => words.filter(([kind]) => kind === "same").length / (words.length || 1);
  const best = compared.reduce((a, b) => (same(b) > same(a) ? b : a));
  const tags = { same: "span", left: "del", right: "ins" };
  const titles = { left: "only in the reference", right: "only in the answer" };
  return node("bdi", { class: "words" }, ...best.flatMap(([kind, word]) =>
    [node(tags[kind], { title: titles[kind] }, visible(word)), " "]));
}

export function fieldDifference(fields) {
  const marks = { right: "\u2713", wrong: "\u2260", missing: "\u2212", extra: "+" };
  const cell = (value) => node("td", {}, value === null ? node("span", { class: "muted" }, "\u2013") : said(value));
  return node("div", { class: "scroll" }, node("table", { class: "fields" },
    node("tr", {}, ...["", "field", "target", "answer"].map((name) => node("th", { scope: "col" }, name))),
    ...fields.map(([path, state, wanted, given]) => node("tr", { class: state },
      node("td", { title: state }, marks[state], node("span", { class: "unseen" }, state)),
      node("td", {}, said(path)), cell(wanted), cell(given)))));
}

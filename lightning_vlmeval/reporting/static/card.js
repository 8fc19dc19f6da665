// A card: one sample, its ground truth, and what each run answered.
import { boxesOf, boxLayer, comparedFields, countsOf, fieldDifference, references, targetFields, wordDifference } from "./answer.js";
import { node, said, shortNumber, visible } from "./dom.js";

const KINDS = [["tp", "TP"], ["fp", "FP"], ["fn", "FN"]];

function sizeOf(sample) {
  if (Array.isArray(sample.size) && sample.size.every((side) => side > 0)) return sample.size;
  const corners = [...(boxesOf(sample) ?? []), ...(sample.boxes ?? [])];
  const furthest = (i) => Math.max(1, ...corners.map((box) => box[i])) * 1.05;
  return [furthest(2), furthest(3)];
}

function panel(sample, address, title, layers) {
  const size = sizeOf(sample);
  const frame = node("div", { class: "frame" });
  frame.style.aspectRatio = `${size[0]} / ${size[1]}`;
  if (address) frame.append(node("img", { src: address, loading: "lazy", alt: `picture of ${visible(sample.id)}` }));
  if (layers) frame.append(boxLayer(sample, size, layers));
  return node("figure", { class: "panel" }, frame, title && node("figcaption", {}, visible(title)));
}

function pictures(answers, options) {
  const [first] = answers;
  const address = (one) => options.image(one.run, one.sample.image);
  if (!boxesOf(first.sample)) return address(first) ? [panel(first.sample, address(first), "", null)] : [];
  const names = answers.length > 1 ? answers.map((one) => one.name) : ["prediction"];
  return [
    panel(first.sample, address(first), "ground truth", { truth: true }),
    ...answers.map((one, i) => panel(one.sample, address(one), names[i], { truth: options.truth, prediction: true })),
  ];
}

function pills(sample) {
  const counts = countsOf(sample);
  const shown = boxesOf(sample) || targetFields(sample) ? KINDS.filter(([kind]) => counts[kind]) : [];
  const made = shown.map(([kind, name]) => node("span", { class: `pill ${kind}` }, `${counts[kind]} ${name}`));
  if (counts.failed) made.push(node("span", { class: "pill failed" }, "not parsed"));
  if (sample.truncated) made.push(node("span", { class: "pill failed" }, "cut off"));
  return made;
}

function difference(sample, fields) {
  if (boxesOf(sample)) return null;
  if (!targetFields(sample)) return node("p", {}, wordDifference(sample));
  return fields ? fieldDifference(fields) : node("p", { class: "muted" }, "No fields can be read in the answer.");
}

function answerPart({ sample, name }, several, options) {
  const score = options.score(sample);
  const fields = comparedFields(sample);
  const unread = targetFields(sample) && !fields;
  const issues = Object.entries(sample.issues ?? {}).map(([issue, count]) => `${issue} ${count}`);
  return node("div", { class: "answer" },
    node("p", {}, several ? node("b", {}, `${visible(name)} `) : null, ...pills(sample),
      node("span", { class: "muted" }, `${score.name} ${shortNumber(score.value)}`)),
    difference(sample, fields),
    node("details", unread ? { open: "" } : {},
      node("summary", {}, "answer as given"),
      node("p", {}, sample.prediction ? said(sample.prediction) : node("i", { class: "muted" }, "(nothing)")),
      issues.length ? node("p", { class: "muted" }, visible(issues.join(", "))) : null));
}

// answers: [{run, name, sample}], one for each run that has the sample.
export function card(answers, options) {
  const { sample } = answers[0];
  const targets = boxesOf(sample) ? null
    : node("p", {}, node("span", { class: "muted" }, "target: "),
      ...references(sample).slice(0, 5).flatMap((text, i) => [i ? " | " : "", said(text)]));
  const about = [sample.loader, sample.id, sample.reason && sample.reason !== "all" ? `picked: ${sample.reason}` : ""];
  return node("article", { class: "card", tabindex: "0", "aria-label": visible(`sample ${sample.id}`), "data-id": sample.id },
    node("div", { class: boxesOf(sample) ? "panels" : "panels aside" }, ...pictures(answers, options)),
    node("div", { class: "text" },
      node("p", {}, node("b", {}, said(sample.prompt ?? "")), " ",
        node("span", { class: "muted" }, visible(about.filter(Boolean).join(" \u00b7 ")))),
      answers.every((one) => comparedFields(one.sample)) ? null : targets,
      ...answers.map((one) => answerPart(one, answers.length > 1, options))));
}

// The viewer in TensorBoard's tab: it reads the run's own files, and asks again while it is seen.
import { node } from "./dom.js";
import { Viewer } from "./viewer.js";

const SECONDS = 10;
const KEPT = 12;

function address(path, parameters = {}) {
  const made = new URL(path, import.meta.url);
  for (const [name, value] of Object.entries(parameters)) made.searchParams.set(name, value);
  return made;
}

async function fetched(path, parameters) {
  const response = await fetch(address(path, parameters));
  const text = await response.text();
  if (!response.ok) throw new Error(text.slice(0, 200));
  return text;
}

const linesOf = (text) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
const keyOf = (sample) => `${sample.loader ?? ""}\u0000${sample.id}`;

// Keeps the last few answers; a failure is not kept.
function remembered(kept, key, make, most = Infinity) {
  if (!kept.has(key)) {
    if (kept.size >= most) kept.delete(kept.keys().next().value);
    const made = make();
    made.catch(() => kept.delete(key));
    kept.set(key, made);
  }
  return kept.get(key);
}

class Files {
  constructor() {
    this.directions = {};
    this.kept = { evaluations: new Map(), statics: new Map(), answers: new Map() };
    this.listed = new Map();
  }

  async runs() {
    const runs = JSON.parse(await fetched("./runs"));
    this.listed = new Map(runs.map((run) => [`${run.run}/${run.folder}`, run]));
    return runs.map((run) => ({ id: `${run.run}/${run.folder}`, name: run.name, indices: run.indices }));
  }

  asked(id) {
    const { run, folder } = this.listed.get(id);
    return { run, folder };
  }

  evaluations(id) {
    const { version } = this.listed.get(id);
    return remembered(this.kept.evaluations, `${id}\n${version}`, async () => {
      const found = JSON.parse(await fetched("./evaluations", this.asked(id)));
      Object.assign(this.directions, found.directions);
      return found.evaluations;
    }, KEPT);
  }

  async statics(id, upTo) {
    const { samples, version } = this.listed.get(id);
    const parts = await Promise.all(samples.filter((index) => index <= upTo).map((index) =>
      remembered(this.kept.statics, `${id}\n${version}\n${index}`, async () =>
        linesOf(await fetched("./lines", { ...this.asked(id), kind: "samples", index })))));
    return new Map(parts.flat().map((sample) => [keyOf(sample), sample]));
  }

  async answers(id, position) {
    const { index, time } = (await this.evaluations(id))[position];
    return remembered(this.kept.answers, `${id}\n${index}\n${time}`, async () => {
      const [statics, text] = await Promise.all([
        this.statics(id, index), fetched("./lines", { ...this.asked(id), kind: "evals", index })]);
      return new Map(linesOf(text).map((row) => [keyOf(row), { ...statics.get(keyOf(row)), ...row }]));
    }, KEPT);
  }

  image(id, name) {
    return /^[0-9a-f]{32}\.jpg$/.test(name ?? "") ? address("./image", { ...this.asked(id), name }).href : null;
  }
}

// As light or dark as TensorBoard's page around this frame, whose switch sets a class of its body.
function followTheme() {
  let page = null;
  try {
    page = window.parent === window ? null : window.parent.document.body;
  } catch {
    return; // a page of another origin: the system's setting holds
  }
  if (!page) return;
  const follow = () => {
    document.documentElement.style.colorScheme = page.classList.contains("dark-mode") ? "dark" : "light";
  };
  new MutationObserver(follow).observe(page, { attributes: true, attributeFilter: ["class"] });
  follow();
}

export async function render() {
  followTheme();
  document.head.append(node("link", { rel: "stylesheet", href: address("./viewer.css").href }));
  document.documentElement.lang = "en";
  const host = node("div", { id: "viewer" });
  document.body.append(host);
  const files = new Files();
  const viewer = new Viewer(files, host);
  await viewer.start();
  let before = JSON.stringify(viewer.runs);
  setInterval(async () => {
    if (document.visibilityState !== "visible") return;
    const runs = await files.runs().catch(() => null);
    if (!runs || JSON.stringify(runs) === before) return;
    before = JSON.stringify(runs);
    await viewer.refresh(runs);
  }, 1000 * SECONDS);
  document.documentElement.dataset.ready = "yes";
}

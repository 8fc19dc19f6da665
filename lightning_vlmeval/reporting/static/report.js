// The viewer in a report: everything it reads is in the page.
import { Viewer } from "./viewer.js";

const content = JSON.parse(document.getElementById("data").textContent);

const keyOf = (sample) => `${sample.loader ?? ""}\u0000${sample.id}`;

function embedded(data) {
  const runs = data.runs.map((run, i) => {
    const statics = new Map(run.statics.map((sample) => [keyOf(sample), sample]));
    const merged = (rows) => new Map(rows.map((row) => [keyOf(row), { ...statics.get(keyOf(row)), ...row }]));
    return { id: String(i), name: run.name, evaluations: run.evaluations, rows: run.rows, answers: [], merged };
  });
  const answers = (run, position) => (run.answers[position] ??= run.merged(run.rows[position] ?? []));
  return {
    directions: data.directions,
    runs: async () => runs.map(({ id, name }) => ({ id, name })),
    evaluations: async (id) => runs[id].evaluations,
    answers: async (id, position) => answers(runs[id], position),
    image: (_, name) => data.images[name] ?? null,
  };
}

// A cell of a spreadsheet that no program takes for a formula.
function cellText(text) {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

function exportSheet() {
  const value = (cell) => cell.querySelector("select, input")?.value ?? cell.textContent;
  const lines = [...document.querySelectorAll("#sheet-table tr")].map((row) =>
    [...row.cells].map((cell) => cellText(value(cell))).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
  link.download = "checked-by-hand.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const button = document.getElementById("export");
button.hidden = false;
button.addEventListener("click", exportSheet);
const viewer = new Viewer(embedded(content), document.getElementById("viewer"));
await viewer.start();
document.getElementById("static").remove();
const breakdowns = document.getElementById("breakdowns");
if (breakdowns) document.querySelector(".summary").after(breakdowns);
document.documentElement.dataset.ready = "yes";

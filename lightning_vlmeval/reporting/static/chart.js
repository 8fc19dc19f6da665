// A value over the evaluations, with its interval; the same picture as the report's own in SVG.
import { drawing, isNumber, node, shortNumber, visible } from "./dom.js";

const WIDTH = 240, HEIGHT = 130, LEFT = 40, RIGHT = 8, TOP = 8, BOTTOM = 22;

function frameOf(points) {
  const steps = points.map((point) => point.step);
  const values = points.flatMap((point) => [point.value, point.low, point.high]).filter(isNumber);
  const [x0, x1] = [Math.min(...steps), Math.max(...steps)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = 0.08 * (high - low) || 0.05;
  const y1 = low >= 0 && high <= 1 ? Math.min(1, high + room) : high + room;
  let y0 = low >= 0 ? Math.max(0, low - room) : low - room;
  if (y1 <= y0) y0 -= 0.05;
  return {
    ends: [x0, x1],
    levels: [y0, (y0 + y1) / 2, y1],
    x: (step) => LEFT + ((step - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - RIGHT),
    y: (value) => TOP + (1 - (value - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM),
  };
}

function axes(frame) {
  const across = frame.levels.flatMap((value) => {
    const y = frame.y(value);
    return [
      drawing("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }),
      drawing("text", { x: LEFT - 5, y, dy: 3, "text-anchor": "end" }, String(+value.toPrecision(3))),
    ];
  });
  const steps = frame.ends.map((step, i) =>
    drawing("text", { x: frame.x(step), y: HEIGHT - 6, "text-anchor": i ? "end" : "start" }, String(step)));
  return [...across, ...steps];
}

function line(frame, series, index, pick) {
  const group = drawing("g", { class: `series-${index % 3}` });
  const place = (step, value) => `${frame.x(step).toFixed(1)},${frame.y(value).toFixed(1)}`;
  const banded = series.points.filter((point) => isNumber(point.low) && isNumber(point.high));
  if (banded.length) {
    const upper = banded.map((point) => place(point.step, point.high));
    const lower = banded.map((point) => place(point.step, point.low)).reverse();
    group.append(drawing("polygon", { class: "band", points: [...upper, ...lower].join(" ") }));
  }
  const places = series.points.map((point) => place(point.step, point.value)).join(" ");
  group.append(drawing("polyline", { class: "line", points: places }));
  for (const point of series.points) {
    const ends = isNumber(point.low) ? ` [${shortNumber(point.low)}, ${shortNumber(point.high)}]` : "";
    const text = `${visible(series.name)}, step ${point.step}: ${shortNumber(point.value, 4)}${ends}`;
    group.append(drawing("circle", {
      cx: frame.x(point.step), cy: frame.y(point.value), r: point.position === series.at ? 4.5 : 2.4,
      onclick: () => pick(index, point.position),
    }, drawing("title", {}, text)));
  }
  return group;
}

// series: {name, at, points: [{position, step, value, low, high}]}; pick(series index, position)
export function chart(title, allSeries, pick) {
  const finite = allSeries.map((one) => ({ ...one, points: one.points.filter((point) => isNumber(point.value)) }));
  const points = finite.flatMap((one) => one.points);
  if (!points.length) return null;
  const frame = frameOf(points);
  const last = finite.filter((one) => one.points.length)
    .map((one) => `${one.name} ${shortNumber(one.points.at(-1).value)}`).join(", ");
  const picture = drawing("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": visible(`${title}: last ${last}`),
  }, ...axes(frame));
  const here = finite[0].points.find((point) => point.position === finite[0].at);
  if (here) {
    const x = frame.x(here.step);
    picture.append(drawing("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
  }
  finite.forEach((one, i) => one.points.length && picture.append(line(frame, one, i, pick)));
  return node("figure", { class: "chart" }, node("figcaption", {}, visible(title)), picture);
}

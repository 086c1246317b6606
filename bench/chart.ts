// Draws charts as SVG text: panels side by side, lines or dots, linear or logarithmic heights. No dependencies.

export interface Series {
  /** Empty = not in the legend. */
  name: string;
  color: string;
  kind: 'line' | 'dots' | 'rule';
  points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  title: string;
  /** One sentence below the title. */
  note: string;
  xLabel: string;
  xTicks: readonly number[];
  yTicks: readonly { at: number; label: string }[];
  isLogarithmic?: boolean;
  series: readonly Series[];
}

const PANEL_WIDTH = 560;
const HEIGHT = 400;
const MARGIN = { top: 84, right: 24, bottom: 48, left: 64 };
const INK = '#1f2933';
const FAINT = '#d8dee6';

/** A whole SVG document with a title and its panels. Ticks set the range of both axes. */
export function renderChart({ title, panels }: { title: string; panels: readonly Panel[] }): string {
  const width = PANEL_WIDTH * panels.length;
  const body = panels.map(
    (panel, index) => `<g transform="translate(${index * PANEL_WIDTH} 0)">${renderPanel(panel)}</g>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${width}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<g font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="12" fill="${INK}">`,
    ...body,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

interface Scales {
  x: (value: number) => number;
  y: (value: number) => number;
}

function renderPanel(panel: Panel): string {
  const right = PANEL_WIDTH - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const bend = panel.isLogarithmic === true ? Math.log : (value: number) => value;
  const scales: Scales = {
    x: scale(panel.xTicks, [MARGIN.left, right], (value) => value),
    y: scale(
      panel.yTicks.map(({ at }) => at),
      [bottom, MARGIN.top],
      bend,
    ),
  };
  const grid = panel.yTicks.map(({ at, label }) => {
    const y = round(scales.y(at));
    return (
      `<line x1="${MARGIN.left}" y1="${y}" x2="${right}" y2="${y}" stroke="${FAINT}"/>` +
      `<text x="${MARGIN.left - 8}" y="${y + 4}" text-anchor="end">${escape(label)}</text>`
    );
  });
  const feet = panel.xTicks.map(
    (at) => `<text x="${round(scales.x(at))}" y="${bottom + 18}" text-anchor="middle">${at}</text>`,
  );
  return [
    `<text x="${MARGIN.left}" y="28" font-size="16" font-weight="600">${escape(panel.title)}</text>`,
    `<text x="${MARGIN.left}" y="48" fill="#52606d">${escape(panel.note)}</text>`,
    ...grid,
    ...feet,
    `<text x="${(MARGIN.left + right) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escape(panel.xLabel)}</text>`,
    ...panel.series.map((series) => renderSeries(series, scales)),
    renderLegend(panel.series),
  ].join('\n');
}

function renderSeries({ kind, color, points }: Series, { x, y }: Scales): string {
  if (kind === 'dots') {
    const dots = points.map(([atX, atY]) => `<circle cx="${round(x(atX))}" cy="${round(y(atY))}" r="1.8"/>`);
    return `<g fill="${color}" fill-opacity="0.6">${dots.join('')}</g>`;
  }
  const path = points.map(([atX, atY], index) => `${index === 0 ? 'M' : 'L'}${round(x(atX))} ${round(y(atY))}`);
  const dash = kind === 'rule' ? ' stroke-dasharray="4 4"' : ' stroke-linejoin="round"';
  return `<path d="${path.join('')}" fill="none" stroke="${color}" stroke-width="${kind === 'rule' ? 1 : 2}"${dash}/>`;
}

/** The names of the series in one row above the field. */
function renderLegend(series: readonly Series[]): string {
  let x = MARGIN.left + 4;
  const entries: string[] = [];
  for (const { name, color } of series.filter((each) => each.name !== '')) {
    const y = MARGIN.top - 14;
    entries.push(
      `<circle cx="${round(x)}" cy="${y - 4}" r="4" fill="${color}"/><text x="${round(x + 9)}" y="${y}">${escape(name)}</text>`,
    );
    x += 22 + name.length * 6.2;
  }
  return entries.join('\n');
}

function scale(
  ticks: readonly number[],
  [from, to]: readonly [number, number],
  bend: (value: number) => number,
): (value: number) => number {
  const least = bend(Math.min(...ticks));
  const greatest = bend(Math.max(...ticks));
  return (value) =>
    from + ((Math.min(greatest, Math.max(least, bend(value))) - least) / (greatest - least)) * (to - from);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

// Reads the amounts people write in settings: `10m` as a time, `32mb` as a size.

const MS_PER_UNIT = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const BYTES_PER_UNIT = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1024 ** 3,
} as const;

function readAmount(text: string, units: Record<string, number>, defaultUnit: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (!match) return undefined;
  const unit = (match[2] || defaultUnit).toLowerCase();
  const amount = Object.hasOwn(units, unit) ? Math.round(Number(match[1]) * Number(units[unit])) : NaN;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

/** Gives milliseconds for `500ms`, `30s`, `10m`, `2h`, `1d` (a bare number means seconds), or undefined when it is none of these. */
export function parseDurationMs(text: string): number | undefined {
  return readAmount(text, MS_PER_UNIT, 's');
}

/** Gives bytes for `32mb`, `512k`, `1g` (powers of 1,024; a bare number means bytes), or undefined when it is none of these. */
export function parseSizeBytes(text: string): number | undefined {
  return readAmount(text, BYTES_PER_UNIT, '');
}

// Reads a service's metrics as Prometheus does.
import assert from 'node:assert/strict';
import type { OutgoingHttpHeaders } from 'node:http';
import { call } from './http-client.ts';

export interface Scrape {
  text: string;
  /** Values by series, as `name{labels}`. */
  values: ReadonlyMap<string, number>;
  /** The value of a series; 0 where there is none. */
  value(series: string): number;
  /** Sum over all series of a metric. */
  sum(name: string): number;
  /** Series of one metric by the value of one of their labels, added up. */
  by(name: string, label: string): Record<string, number>;
}

export async function scrape(address: string, headers: OutgoingHttpHeaders = {}): Promise<Scrape> {
  const { status, text } = await call(`${address}/metrics`, { method: 'GET', headers });
  assert.equal(status, 200, text);
  const values = new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line): [string, number] => {
        const space = line.lastIndexOf(' ');
        return [line.slice(0, space), Number(line.slice(space + 1))];
      }),
  );
  const of = (name: string) => [...values].filter(([series]) => series === name || series.startsWith(`${name}{`));
  return {
    text,
    values,
    value: (series) => values.get(series) ?? 0,
    sum: (name) => of(name).reduce((sum, [, value]) => sum + value, 0),
    by(name, label) {
      const sums: Record<string, number> = {};
      for (const [series, value] of of(name)) {
        const [, key = ''] = new RegExp(`[{,]${label}="([^"]*)"`).exec(series) ?? [];
        sums[key] = (sums[key] ?? 0) + value;
      }
      return sums;
    },
  };
}

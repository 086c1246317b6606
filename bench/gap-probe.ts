// Loaded into the proxy's process by a bench (`--import`): writes down, for each account, how long its generations lie apart.
import { subscribe } from 'node:diagnostics_channel';
import { writeFileSync } from 'node:fs';

/** Undici's own request, as its channels show it. */
interface SentRequest {
  path: string;
  headers: string[];
}

const file = process.env['GAP_PROBE_FILE'];
const GENERATION = '/ai/generate-image';

/** When the last answer of each account was complete, by its Authorization. */
const endedMs = new Map<string, number>();
const gapsMs: number[] = [];

function accountOf({ headers }: SentRequest): string {
  const index = headers.findIndex((name, at) => at % 2 === 0 && name === 'authorization');
  return headers[index + 1] ?? '';
}

subscribe('undici:client:sendHeaders', (message) => {
  const { request } = message as { request: SentRequest };
  if (request.path !== GENERATION) return;
  const lastMs = endedMs.get(accountOf(request));
  if (lastMs !== undefined) gapsMs.push(performance.now() - lastMs);
});
subscribe('undici:request:trailers', (message) => {
  const { request } = message as { request: SentRequest };
  if (request.path === GENERATION) endedMs.set(accountOf(request), performance.now());
});
process.on('exit', () => {
  if (file !== undefined) writeFileSync(file, JSON.stringify(gapsMs));
});

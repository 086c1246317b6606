// The matrix of stages and endings, printed as a table.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { cellNames, EVENTS, matrixTable, runCell, STAGES, type Cell, type CellName } from './matrix.ts';

const AT_ONCE = 4;
const CELLS = cellNames();

async function play(t: TestContext, names: readonly CellName[]): Promise<Cell[]> {
  const compileCacheDir = mkdtempSync(join(tmpdir(), 'proxy-matrix-cache-'));
  t.after(() => rmSync(compileCacheDir, { recursive: true, force: true }));
  const cells = new Map<CellName, Cell>();
  // The slow ones first: a charge that was not made is certain only when NovelAI surely has finished.
  const waiting = names.toSorted((a, b) => Number(b.isCharged === false) - Number(a.isCharged === false));
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let name = waiting.shift(); name; name = waiting.shift())
        cells.set(name, await runCell(name, compileCacheDir));
    }),
  );
  const played = names.flatMap((name) => cells.get(name) ?? []);
  for (const line of matrixTable(played)) t.diagnostic(line);
  return played;
}

function problemsOf(cells: readonly Cell[]): string[] {
  return cells.flatMap(({ stage, event, problems }) => problems.map((problem) => `${stage}, ${event}: ${problem}`));
}

test('every stage crossed with every ending, the ledger equals the truth', async (t) => {
  const cells = await play(t, CELLS);
  assert.deepEqual(problemsOf(cells), []);
  const crossings = new Set(cells.map(({ stage, event }) => `${stage}, ${event}`));
  assert.equal(crossings.size, STAGES.length * EVENTS.length);
  // A matrix in which nothing was charged, or nothing was unknown, would show nothing.
  assert.ok(cells.filter(({ truth }) => truth > 0).length > 20);
  assert.ok(cells.filter(({ outcome }) => outcome === 'unknown, proved').length > 8);
});

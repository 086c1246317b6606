// Work that was reported as stored is there after SIGKILL, and nothing of work that was not finished.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../../../src/lib/clock.ts';
import { Ledger } from '../../../src/ledger/ledger.ts';
import { openStore } from '../../../src/store/open-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'proxy-kill-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const ROUNDS = 4;

test('a process killed while it writes, has every step it reported, and its money adds up', async () => {
  const databaseUrl = `sqlite:${join(folder, 'proxy.db')}`;
  let reported = 0;
  let unfinished = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const lines = await writeUntilKilled(databaseUrl, round, 150 + round * 80);
    const store = await openStore({ databaseUrl, dataDir: folder });
    const ledger = await Ledger.open({ store, clock: systemClock });
    const rows = await store.read((db) => db.selectFrom('attempts').select(['id', 'state']).execute());
    const states = new Map(rows.map(({ id, state }) => [id, state]));
    for (const line of lines) {
      const [step = '', id = ''] = line.split(' ');
      const state = states.get(id);
      const allowed = { sent: ['sent', 'settled'], settled: ['settled'] }[step] ?? [];
      assert.ok(state !== undefined && allowed.includes(state), `${line}, but it is ${state}`);
      reported += 1;
    }
    assert.deepEqual(await ledger.verify(), [], 'before recovery');
    const { released, cutOff } = await ledger.recover();
    unfinished += released + cutOff.length;
    assert.deepEqual(await ledger.verify(), [], 'after recovery');
    const open = await store.read((db) =>
      db.selectFrom('attempts').select('id').where('state', 'in', ['reserved', 'sent']).execute(),
    );
    assert.deepEqual(open, [], 'nothing is left over');
    await store.close();
  }
  assert.ok(reported > 100, `${reported} steps were reported`);
  assert.ok(unfinished > 0, 'at least one kill came in the middle of something');
});

/** Gives the steps that the process reported as stored before it was killed. */
async function writeUntilKilled(databaseUrl: string, round: number, afterMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writing-process.ts'), databaseUrl, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const gone = once(child, 'close');
  try {
    await once(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, afterMs));
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
  // The last line may be cut off.
  return output.split('\n').slice(0, -1);
}

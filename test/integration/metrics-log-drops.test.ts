// A log folder that is gone costs lines, and the metrics say how many; it costs no request.
import assert from 'node:assert/strict';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scrape } from '../support/scrape.ts';
import { generationBody, startStack } from '../support/stack.ts';

test('log folder gone while it runs, requests go on, lost lines are counted, and the log comes back', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  let sent = 0;
  const generate = async () => {
    sent += 1;
    const { status } = await stack.generate(generationBody({ prompt: `picture ${sent}` }));
    assert.equal(status, 200, `request ${sent}`);
  };
  const dropped = async () => (await scrape(stack.address)).value('novelai_proxy_log_lines_dropped_total');
  const generateUntil = async (isOver: () => boolean | Promise<boolean>) => {
    const limitMs = performance.now() + 20_000;
    while (!(await isOver())) {
      assert.ok(performance.now() < limitMs, 'what was waited for did not come');
      await generate();
    }
  };
  await generate();
  assert.equal(await dropped(), 0);
  renameSync(stack.logDir, `${stack.logDir}.old`);
  writeFileSync(stack.logDir, 'no folder');
  await generateUntil(async () => (await dropped()) >= 5);
  rmSync(stack.logDir);
  await generateUntil(() => existsSync(join(stack.logDir, 'app.log')));
  const counted = await dropped();
  for (let n = 0; n < 3; n += 1) await generate();
  assert.equal(await dropped(), counted, 'none is lost any more');
  const metrics = await scrape(stack.address);
  const series = 'novelai_proxy_requests_total{dialect="native",endpoint="generate-image",outcome="succeeded"}';
  assert.equal(metrics.value(series), sent);
});

// Checks the store of shared answers: how long, how much, and what is not kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestRecord } from '../../../src/dispatch/passage.ts';
import { SharedAnswers, type SharedAnswer } from '../../../src/dispatch/reads/shared-answers.ts';
import { WholeAnswerSink } from '../../../src/dispatch/reads/whole-answer-sink.ts';
import { systemClock } from '../../../src/lib/clock.ts';

const record: RequestRecord = { outcome: 'succeeded', sends: 1, sizeBytes: 0, isDelivered: true };

function answerOf(body: string, status = 200): SharedAnswer {
  return { answer: { kind: 'answer', status, headers: {}, body: Buffer.from(body) }, record };
}

function startStore(options: { maxAgeMs?: number; maxBytes?: number } = {}) {
  let nowMs = 1000;
  const fetched: string[] = [];
  const store = new SharedAnswers({ clock: { ...systemClock, monotonicMs: () => nowMs }, ...options });
  return {
    fetched,
    pass: (ms: number) => (nowMs += ms),
    get: (key: string, answer = answerOf('[]')) =>
      store.get(key, () => {
        fetched.push(key);
        return Promise.resolve(answer);
      }),
  };
}

test('shared answers, kept for their time and not longer', async () => {
  const store = startStore({ maxAgeMs: 5000 });
  assert.equal((await store.get('a')).origin, 'fetched');
  store.pass(4999);
  assert.equal((await store.get('a')).origin, 'hit');
  store.pass(2);
  assert.equal((await store.get('a')).origin, 'fetched');
});

test('shared answers, never more of them than allowed, the longest unused go first', async () => {
  const store = startStore({ maxBytes: 10_000 });
  const large = answerOf(JSON.stringify('x'.repeat(2000)));
  for (const key of ['a', 'b', 'c', 'a', 'd']) await store.get(key, large);
  store.fetched.length = 0;
  for (const key of ['a', 'c', 'd', 'b']) await store.get(key, large);
  assert.deepEqual(store.fetched, ['b']);
});

for (const [what, answer] of [
  ['an error', answerOf('{"statusCode":500}', 500)],
  ['garbage', answerOf('<html>')],
] as const)
  test(`shared answers, ${what} is given to those who ask now and not kept`, async () => {
    const store = startStore();
    const [first, second] = await Promise.all([store.get('a', answer), store.get('a', answer)]);
    assert.deepEqual([first.origin, second.origin], ['fetched', 'shared']);
    assert.equal(second.answer, answer.answer);
    assert.equal((await store.get('a', answer)).origin, 'fetched');
  });

test('whole answer, one beyond all measure: a clear 502 instead, and its bytes are let go', async () => {
  const sink = new WholeAnswerSink();
  sink.head(200, {});
  for (let count = 0; count < 5; count += 1) sink.write(Buffer.alloc(1024 ** 2));
  sink.end(() => undefined);
  const answer = await sink.answer;
  assert.ok(answer.kind === 'refused');
  assert.deepEqual([answer.error.status, answer.error.code], [502, 'upstream_unreadable']);
});

test('whole answer, one that breaks off: a clear 502 instead', async () => {
  const sink = new WholeAnswerSink();
  sink.head(200, {});
  sink.write(Buffer.from('[1,'));
  sink.cut();
  const answer = await sink.answer;
  assert.ok(answer.kind === 'refused');
  assert.equal(answer.error.status, 502);
});

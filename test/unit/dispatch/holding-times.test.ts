// Tests of the guesses how long a generation holds its account.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { GenerationRequest } from '../../../src/dispatch/generation-request.ts';
import { HoldingTimes } from '../../../src/dispatch/holding-times.ts';
import type { RequestFacts } from '../../../src/novelai/request-body.ts';
import { DispatchUnderTest } from '../../support/dispatch-under-test.ts';

const PICTURE: RequestFacts = {
  model: 'nai-diffusion-4-5-full',
  widthPx: 832,
  heightPx: 1216,
  steps: 23,
  samples: 1,
  billable: { kind: 'nothing' },
};

function request(facts: RequestFacts, changes: Partial<GenerationRequest> = {}): GenerationRequest {
  return new DispatchUnderTest().request({ facts, ...changes });
}

function picture(changes: Partial<RequestFacts> = {}): GenerationRequest {
  const billable = { kind: 'generate' } as RequestFacts['billable'];
  return request({ ...PICTURE, billable, ...changes });
}

test('holding times, a picture of the known size is guessed near what NovelAI takes (contract 3.1)', () => {
  const estimateMs = new HoldingTimes({ ceilingMs: 180_000 }).estimateMs(picture());
  assert.ok(estimateMs > 2500 && estimateMs < 4500, `${estimateMs}`);
});

test('holding times, the longest is beyond the guess, and neither is beyond what an exchange may take', () => {
  const times = new HoldingTimes({ ceilingMs: 5000 });
  assert.ok(times.longestMs(picture()) > times.estimateMs(picture()));
  const large = picture({ widthPx: 2048, heightPx: 1536, steps: 50, samples: 4 });
  assert.equal(times.estimateMs(large), 5000);
  assert.equal(times.longestMs(large), 5000);
});

test('holding times, are learnt from what was seen, for that kind of work alone', () => {
  const times = new HoldingTimes({ ceilingMs: 180_000 });
  const before = times.estimateMs(request({ billable: { kind: 'encode-vibe' } }));
  for (let n = 0; n < 30; n += 1) times.learn(picture(), 9000);
  assert.ok(Math.abs(times.estimateMs(picture()) - 9000) < 500);
  assert.equal(times.estimateMs(request({ billable: { kind: 'encode-vibe' } })), before);
});

test('holding times, nothing is learnt from no time at all', () => {
  const times = new HoldingTimes({ ceilingMs: 180_000 });
  times.learn(picture(), 0);
  times.learn(picture(), -5);
  assert.ok(times.estimateMs(picture()) > 2500);
});

test('holding times, long texts are guessed longer than short ones', () => {
  const times = new HoldingTimes({ ceilingMs: 180_000 });
  const text = (tokens: number) =>
    times.estimateMs(request({ billable: { kind: 'nothing' }, tokens }, { slot: 'text' }));
  assert.ok(text(150) > text(10) * 2);
});

test('holding times, whatever a body says the guess is a time that the scheduler takes', () => {
  const any = fc.oneof(
    fc.double(),
    fc.constantFrom(undefined, 0, -1, NaN, Infinity, -Infinity, 1e300, 5e-324, Number.MAX_SAFE_INTEGER),
  );
  fc.assert(
    fc.property(any, any, any, any, any, fc.boolean(), (widthPx, heightPx, steps, samples, tokens, isText) => {
      const times = new HoldingTimes({ ceilingMs: 180_000 });
      const wild = {
        ...picture({ widthPx, heightPx, steps, samples, tokens }),
        slot: isText ? 'text' : 'image',
      } as const;
      for (const ms of [times.estimateMs(wild), times.longestMs(wild)]) assert.ok(ms > 0 && ms <= 180_000, `${ms}`);
      times.learn(wild, 3000);
      assert.ok(times.estimateMs(wild) > 0);
    }),
  );
});

// Single requests of unknown charge: the service finds out by itself what each cost, without further work to remind it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FaultRule } from '../../simulator/faults.ts';
import { call } from '../support/http-client.ts';
import { startMoneyStack } from '../support/money-stack.ts';
import { QuickClock } from '../support/quick-clock.ts';
import { generationBody } from '../support/stack.ts';

/** Real seconds become this many of the service's. */
const SPEED = 20;
const PRICE_ANLAS = 30;

const FAULTS: readonly [what: string, fault: FaultRule][] = [
  ['an error', { kind: 'status', status: 500 }],
  ['a page of the edge', { kind: 'status', status: 502, body: 'html' }],
  ['a reset instead of an answer', { kind: 'reset-before-headers' }],
  ['a reset in the middle', { kind: 'reset-after-headers' }],
  ['an answer that breaks off', { kind: 'truncate' }],
  ['no answer at all', { kind: 'hang' }],
];

describe('an unknown charge', { concurrency: 4 }, () => {
  for (const [what, fault] of FAULTS)
    for (const isCharged of [true, false])
      test(`${what}, ${isCharged ? 'charged' : 'not charged'}: the balance tells`, async (t) => {
        const stack = await startMoneyStack({
          clock: new QuickClock({ speed: SPEED }),
          // 0.75 s and 1.5 s in truth.
          environment: { FIRST_BYTE_TIMEOUT: '15s', IDLE_TIMEOUT: '15s', UPSTREAM_TIMEOUT: '30s' },
        });
        t.after(() => stack.close());
        stack.simulator.faults.add({ ...fault, isCharged, path: '/ai/' });
        await call(`${stack.address}/ai/generate-image`, {
          body: generationBody({ parameters: { width: 1024, height: 1536, steps: 28 } }),
          headers: { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' },
        }).catch(() => undefined);
        await stack.settled();
        const audit = await stack.audit();
        assert.deepEqual(audit.problems, []);
        assert.equal(audit.truth, isCharged ? PRICE_ANLAS : 0);
        assert.deepEqual(audit.unknowns, { [isCharged ? 'proved charged' : 'proved free']: 1 });
      });
});

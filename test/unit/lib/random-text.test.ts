// Tests of tokens and ids.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newClientToken, newRequestId } from '../../../src/lib/random-text.ts';

test('client token, has the only form that every NovelAI client accepts and is never the same', () => {
  const tokens = Array.from({ length: 50 }, () => newClientToken());
  for (const token of tokens) assert.match(token, /^pst-[A-Za-z0-9]{64}$/);
  assert.equal(new Set(tokens).size, 50);
});

test('request ids, are distinct and sort in the order of their making', () => {
  const ids = Array.from({ length: 2000 }, () => newRequestId());
  assert.equal(new Set(ids).size, 2000);
  assert.deepEqual(ids, ids.toSorted());
});

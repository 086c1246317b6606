// Checks what of a client's headers goes on to NovelAI.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { upstreamHeaders } from '../../../src/dialects/native/upstream-headers.ts';

test('upstream headers, only what shapes the answer', () => {
  const headers = upstreamHeaders(
    {
      accept: 'application/json',
      'accept-encoding': 'br',
      'content-type': 'application/json; charset=utf-8',
      'x-correlation-id': 'aB3xY9',
      authorization: 'Bearer made-up',
      cookie: 'a=1',
      origin: 'https://page.example',
      'user-agent': 'Python-urllib/3.12',
      'x-api-key': 'made-up',
      'idempotency-key': 'made-up',
    },
    { mayBeEncoded: true },
  );
  assert.match(headers['user-agent'] ?? '', /^novelai-proxy-service\//);
  delete headers['user-agent'];
  assert.deepEqual(headers, {
    accept: 'application/json',
    'accept-encoding': 'br',
    'content-type': 'application/json; charset=utf-8',
    'x-correlation-id': 'aB3xY9',
  });
});

test('upstream headers, no compression where the answer is cut or read', () => {
  assert.equal(upstreamHeaders({ 'accept-encoding': 'br' }, { mayBeEncoded: false })['accept-encoding'], undefined);
});

// Checks that a body is read whole or refused, wherever the pieces of it begin and end.
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { readBody } from '../../../src/dialects/native/read-body.ts';
import { ProxyError } from '../../../src/lib/proxy-error.ts';

const LIMIT_BYTES = 100;
const response = {} as ServerResponse;

function read(pieces: readonly Buffer[], headers: Record<string, string> = { 'transfer-encoding': 'chunked' }) {
  const request = Object.assign(new PassThrough(), { headers, complete: true });
  const body = readBody(request as unknown as IncomingMessage, response, LIMIT_BYTES);
  for (const piece of pieces) request.write(piece);
  request.end();
  return body;
}

test('body, any pieces: as sent up to the limit, refused above it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 150 }), { maxLength: 5 }), async (pieces) => {
      const sent = Buffer.concat(pieces);
      const body = read(pieces.map((piece) => Buffer.from(piece)));
      if (sent.length > LIMIT_BYTES)
        await assert.rejects(body, (error) => error instanceof ProxyError && error.code === 'client_body_too_large');
      else assert.deepEqual(await body, sent.length === 0 ? null : sent);
    }),
  );
});

test('body, none announced: null, without waiting', async () => {
  assert.equal(await read([], {}), null);
  assert.equal(await read([], { 'content-length': '0' }), null);
});

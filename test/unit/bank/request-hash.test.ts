// Tests when two requests count as the same one, and which keys are keys.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readIdempotencyKey } from '../../../src/bank/idempotency-key.ts';
import { requestHash, type HashedRequest } from '../../../src/bank/request-hash.ts';

const REQUEST: HashedRequest = {
  path: '/ai/generate-image',
  contentType: 'application/json',
  accept: undefined,
  body: Buffer.from('{"input":"1girl"}'),
};

function form(boundary: string, picture: Buffer): HashedRequest {
  const head = (name: string) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n`;
  const body = Buffer.concat([
    Buffer.from(`${head('request')}{"image":"image"}\r\n${head('image')}`),
    picture,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  return { ...REQUEST, contentType: `multipart/form-data; boundary=${boundary}`, body };
}

test('request hash, the same request has the same one, and every difference counts', async () => {
  const others: HashedRequest[] = [
    { ...REQUEST, path: '/ai/generate-image?x=1' },
    { ...REQUEST, accept: 'application/json' },
    { ...REQUEST, contentType: 'text/plain' },
    { ...REQUEST, body: Buffer.from('{"input":"1girl" }') },
    { ...REQUEST, body: Buffer.alloc(0) },
    { ...REQUEST, body: null },
    { ...REQUEST, path: '/ai/generate-imageapplication/json', contentType: '' },
  ];
  const hashes = await Promise.all([REQUEST, ...others].map((request) => requestHash(request)));
  assert.equal(new Set(hashes).size, hashes.length);
  assert.equal(await requestHash({ ...REQUEST }), hashes[0]);
  assert.match(hashes[0] ?? '', /^[0-9a-f]{64}$/);
});

test('request hash, large bodies differ in their last byte too', async () => {
  const body = Buffer.alloc(700_000, 'x');
  const first = await requestHash({ ...REQUEST, body });
  assert.equal(await requestHash({ ...REQUEST, body: Buffer.from(body) }), first);
  body[body.length - 1] = 0;
  assert.notEqual(await requestHash({ ...REQUEST, body }), first);
});

test('request hash, a form counts by its parts, whatever the boundary', async () => {
  const picture = Buffer.alloc(2000, 7);
  const first = await requestHash(form('----abc', picture));
  assert.equal(await requestHash(form('----another-one', picture)), first);
  assert.notEqual(await requestHash(form('----abc', Buffer.alloc(2000, 8))), first);
  const broken = { ...form('----abc', picture), body: Buffer.from('no form at all') };
  assert.match(await requestHash(broken), /^[0-9a-f]{64}$/);
});

test('idempotency key, one printable text', () => {
  assert.deepEqual(readIdempotencyKey(undefined), { key: undefined });
  assert.deepEqual(readIdempotencyKey(' 6f1c-"x" '), { key: '6f1c-"x"' });
  for (const header of ['', '  ', 'x'.repeat(256), 'a\u0000b', 'schlüssel', ['a', 'b']])
    assert.match(readIdempotencyKey(header).fault ?? '', /^Idempotency-Key: expected/);
});

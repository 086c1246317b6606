// Checks that forms are cut into their parts exactly, whoever wrote them, and that broken ones are refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isMultipart, readParts } from '../../../src/novelai/multipart-parts.ts';
import { RequestBodyError } from '../../../src/novelai/request-body-error.ts';

const TYPE = 'multipart/form-data; boundary=xyz';

/** What an undici fetch would send for these parts. */
async function form(parts: Record<string, Uint8Array>): Promise<{ contentType: string; body: Buffer }> {
  const data = new FormData();
  for (const [name, bytes] of Object.entries(parts))
    data.append(name, new Blob([Uint8Array.from(bytes)], { type: 'image/png' }), 'blob');
  const request = new Request('http://127.0.0.1/', { method: 'POST', body: data });
  return { contentType: request.headers.get('content-type') ?? '', body: Buffer.from(await request.arrayBuffer()) };
}

function plain(parts: ReadonlyMap<string, Buffer>): Record<string, string> {
  return Object.fromEntries([...parts].map(([name, bytes]) => [name, bytes.toString('latin1')]));
}

test('readParts, gives the parts of a real form as views into the body', async () => {
  const image = Buffer.from('\r\n--\r\n--xyz\u0000PNG\r\n\r\n', 'latin1');
  const { contentType, body } = await form({ request: Buffer.from('{"a":1}'), image, 'quote"d': Buffer.from('') });
  const parts = readParts(contentType, body);
  assert.deepEqual(plain(parts), { request: '{"a":1}', image: image.toString('latin1'), 'quote"d': '' });
  assert.equal(parts.get('image')?.buffer, body.buffer);
});

test('readParts, gives back any parts', async () => {
  const part = fc.uint8Array({ maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.stringMatching(/^[a-z_0-9]{1,20}$/), part, { maxKeys: 6, minKeys: 1 }),
      async (parts) => {
        const { contentType, body } = await form(parts);
        const expected = Object.entries(parts).map(([name, bytes]) => [name, Buffer.from(bytes).toString('latin1')]);
        assert.deepEqual(plain(readParts(contentType, body)), Object.fromEntries(expected));
      },
    ),
  );
});

test('readParts, reads what odd clients write: preamble, bare line feeds, quoted boundary, spaces, epilogue', () => {
  const body =
    'preamble\n--a b \nContent-Disposition: form-data; filename="blob"; name=request\n\n{}\n--a b--\nepilogue';
  assert.deepEqual(plain(readParts('multipart/form-data; charset=utf-8; boundary="a b"', Buffer.from(body))), {
    request: '{}',
  });
});

test('readParts, is not misled by a boundary inside a part', () => {
  const content = 'x--xyz\r\ny\r\n--xyzz\r\n--xy\r\n';
  const body = `--xyz\r\nContent-Disposition: form-data; name="image"\r\n\r\n${content}\r\n--xyz--\r\n`;
  assert.deepEqual(plain(readParts(TYPE, Buffer.from(body))), { image: content });
});

test('readParts, refuses broken forms and says how', () => {
  const part = (name: string): string => `--xyz\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n1\r\n`;
  const rows: [contentType: string, body: string, message: RegExp][] = [
    ['multipart/form-data', '', /content-type to be multipart\/form-data with a boundary, got none/],
    [TYPE, '', /ends too early/],
    [TYPE, part('a'), /ends too early/],
    [TYPE, `${part('a')}--xyz`, /ends too early/],
    [TYPE, '--xyz\r\n--xyz--', /a part without/],
    [TYPE, '--xyz\r\nX: y\r\n\r\n1\r\n--xyz--', /parts have names/],
    [TYPE, `${part('a')}${part('a')}--xyz--`, /part "a" to be given once, got it twice/],
    [TYPE, `${Array.from({ length: 65 }, (_, index) => part(`p${index}`)).join('')}--xyz--`, /at most 64 parts/],
    [TYPE, `--xyz\r\n${'X: y\r\n'.repeat(5000)}\r\n1\r\n--xyz--`, /a part without/],
    [TYPE, `--xyz\r\n${'\n--xyzz'.repeat(5000)}`, /full of it/],
  ];
  for (const [contentType, body, message] of rows) {
    assert.throws(
      () => readParts(contentType, Buffer.from(body)),
      { name: 'RequestBodyError', message },
      body.slice(0, 60),
    );
  }
});

test('isMultipart, goes by the content type alone', () => {
  for (const yes of [TYPE, 'Multipart/Form-Data', ' multipart/form-data ;boundary=a']) assert.ok(isMultipart(yes), yes);
  for (const no of [
    undefined,
    '',
    'application/json',
    'multipart/mixed',
    'text/multipart/form-data',
    'multipart/form-datax',
  ]) {
    assert.ok(!isMultipart(no), no);
  }
});

test('readParts, throws nothing but RequestBodyError', () => {
  const pieces = [
    '--xyz',
    '\r\n--xyz--',
    '\r\n--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n',
    '\r\n',
    '\n--xyz',
    '-',
    ' ',
    'x',
  ];
  const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((parts) => parts.join(''));
  let read = 0;
  fc.assert(
    fc.property(
      soup,
      fc.constantFrom(TYPE, 'multipart/form-data;boundary=', 'multipart/form-data; boundary="x'),
      (body, contentType) => {
        try {
          read += readParts(
            contentType,
            Buffer.from(`--xyz\r\nContent-Disposition: form-data; name="z"\r\n\r\n${body}`),
          ).size;
        } catch (error) {
          assert.ok(error instanceof RequestBodyError, String(error));
        }
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(read > 100);
});

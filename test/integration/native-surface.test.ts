// Every endpoint that NovelAI answers, in every form: the bytes are the same at both ends (I6). Prints the table.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { startSimulator } from '../../simulator/simulator.ts';
import { ENDPOINTS } from '../../src/novelai/endpoints.ts';
import { call, sha256, type Answer } from '../support/http-client.ts';
import { nativeSamples, type NativeSample } from '../support/native-samples.ts';
import { madeUpAccounts, startStack, type Stack } from '../support/stack.ts';

interface Row {
  sample: NativeSample;
  answer: Answer;
  isRequestEqual: boolean;
  isAnswerEqual: boolean;
}

let stack: Stack;
let samples: NativeSample[];
let rows: Row[];
before(async () => {
  stack = await startStack({ simulator: { imageScale: 0.25 } });
  samples = await nativeSamples();
  rows = await runAll(stack, samples);
});
after(() => stack.close());

async function runAll({ address, token, simulator }: Stack, list: readonly NativeSample[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const sample of list) {
    const { method, path, headers, body } = sample;
    const seenBefore = simulator.truth.rows().at(-1)?.id ?? 0;
    const answer = await call(address + path, {
      method,
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(body && { body }),
    });
    const [pathOnly] = path.split('?');
    const seen = simulator.truth.rows(seenBefore).filter((row) => row.path === pathOnly);
    rows.push({
      sample,
      answer,
      isRequestEqual: seen.length === 1 && seen[0]?.requestSha256 === sha256(body ?? ''),
      isAnswerEqual: seen.length === 1 && seen[0]?.answerSha256 === answer.sha256,
    });
  }
  return rows;
}

function printed(list: readonly Row[]): string {
  const widths = [24, 26, 8, 26, 9, 9, 8] as const;
  const line = (cells: readonly (string | number)[]) =>
    cells
      .map((cell, index) => String(cell).padEnd(widths[index] ?? 0))
      .join('')
      .trimEnd();
  const mark = (isEqual: boolean) => (isEqual ? 'equal' : 'DIFFERS');
  return [
    line(['endpoint', 'form', 'status', 'content-type', 'sent', 'received', 'bytes']),
    ...list.map(({ sample: { endpoint, form }, answer, isRequestEqual, isAnswerEqual }) =>
      line([
        endpoint,
        form,
        answer.status,
        String(answer.headers['content-type']),
        mark(isRequestEqual),
        mark(isAnswerEqual),
        answer.body.length,
      ]),
    ),
  ].join('\n');
}

test('surface, every endpoint and form: request and answer hash equal end to end', (t) => {
  t.diagnostic(`\n${printed(rows)}`);
  for (const { sample, answer, isRequestEqual, isAnswerEqual } of rows) {
    const name = `${sample.endpoint} (${sample.form})`;
    assert.equal(answer.status, sample.status, `${name}: ${answer.status < 400 ? '' : answer.text}`);
    assert.equal(answer.headers['content-type'], sample.contentType, name);
    assert.ok(isRequestEqual, `${name}: the request reached NovelAI changed`);
    assert.ok(isAnswerEqual, `${name}: the answer reached the client changed`);
    assert.ok(answer.body.length > 0, name);
  }
});

test('surface, no endpoint that NovelAI answers is left out', () => {
  const relayed = ENDPOINTS.filter(({ answers }) => answers.by === 'relay').map(({ id }) => id);
  assert.deepEqual(new Set(samples.map(({ endpoint }) => endpoint)), new Set(relayed));
});

test('surface, a form of every kind is among them', () => {
  const forms = samples.map(({ form }) => form).join('\n');
  for (const kind of ['JSON >', 'multipart >', '> zip', '> JSON', '> msgpack', '> SSE', '> binary', '> MP3'])
    assert.ok(forms.includes(kind), kind);
});

/** Stands between the proxy and NovelAI and changes one byte of every request or of every answer. */
async function startSpoiler(novelaiUrl: string, spoils: 'request' | 'answer') {
  const flipped = (bytes: Buffer) => {
    const copy = Buffer.from(bytes);
    copy.writeUInt8(copy.readUInt8(copy.length - 2) ^ 1, copy.length - 2);
    return copy;
  };
  const server = createServer((request, response) => {
    void (async () => {
      const sent = Buffer.concat(await request.toArray());
      const { pathname } = new URL(request.url ?? '/', novelaiUrl);
      const isGeneration = pathname === '/ai/encode-vibe';
      const answer = await call(novelaiUrl + request.url, {
        method: request.method ?? 'GET',
        headers: request.headers,
        body: isGeneration && spoils === 'request' ? flipped(sent) : sent,
      });
      response.writeHead(answer.status, { 'content-type': answer.headers['content-type'] });
      response.end(isGeneration && spoils === 'answer' ? flipped(answer.body) : answer.body);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

for (const spoils of ['request', 'answer'] as const)
  test(`surface, one changed byte of the ${spoils} on the way is caught`, async (t) => {
    const simulator = await startSimulator({ fixedLatencyMs: 1, accounts: madeUpAccounts(1) });
    const spoiler = await startSpoiler(simulator.origin, spoils);
    const spoilt = await startStack({
      simulator: { latencyFactor: 0 },
      environment: { NOVELAI_IMAGE_URL: spoiler.url },
    });
    t.after(async () => {
      await spoilt.close();
      spoiler.close();
      await simulator.close();
    });
    const vibe = samples.filter(({ endpoint }) => endpoint === 'encode-vibe').slice(0, 1);
    const [row] = await runAll({ ...spoilt, simulator }, vibe);
    assert.equal(row?.isRequestEqual, spoils !== 'request');
    assert.equal(row?.isAnswerEqual, spoils !== 'answer');
  });

// The simulator's text endpoints over its sockets: NovelAI's own form and /oa/v1, streamed and not, with a lock of their own.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request } from 'undici';
import { createParser } from 'eventsource-parser';
import type { EventSourceMessage } from 'eventsource-parser';
import { DEFAULT_ACCOUNT, startSimulator } from '../../simulator/simulator.ts';
import type { Simulator } from '../../simulator/simulator.ts';

const TABLET = {
  email: 'tablet@example.com',
  password: 'x',
  persistentToken: `pst-${'t'.repeat(64)}`,
  tier: 1,
} as const;

let simulator: Simulator;
before(async () => {
  simulator = await startSimulator({ latencyFactor: 0, accounts: [DEFAULT_ACCOUNT, TABLET] });
});
after(() => simulator.close());

async function post(path: string, body: object, token = DEFAULT_ACCOUNT.persistentToken, origin = simulator.origin) {
  const answer = await request(`${origin}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  return { status: answer.statusCode, type: answer.headers['content-type'], text: await answer.body.text() };
}

function eventsOf(text: string): EventSourceMessage[] {
  const events: EventSourceMessage[] = [];
  createParser({ onEvent: (event) => events.push(event) }).feed(text);
  return events;
}

const KAYRA = { input: 'Once', model: 'kayra-v1', parameters: { max_length: 12 } };

test('generate, gives as many words as asked for, the same each time', async () => {
  const first = await post('/ai/generate', KAYRA);
  assert.equal(first.status, 200);
  const { output } = JSON.parse(first.text) as { output: string };
  assert.equal(output.trim().split(' ').length, 12);
  assert.equal((await post('/ai/generate', KAYRA)).text, first.text);
});

test('generate, packs tokens in 2 bytes for Kayra and 4 for Erato, and refuses badly packed ones', async () => {
  for (const [model, bytesPerToken] of [
    ['kayra-v1', 2],
    ['llama-3-erato-v1', 4],
  ] as const) {
    const parameters = { max_length: 10, use_string: false };
    const input = Buffer.alloc(bytesPerToken * 3).toString('base64');
    const { text } = await post('/ai/generate', { input, model, parameters });
    const { output } = JSON.parse(text) as { output: string };
    assert.equal(Buffer.from(output, 'base64').length, 10 * bytesPerToken);
    const bad = await post('/ai/generate', { input: Buffer.alloc(3).toString('base64'), model, parameters });
    assert.equal(bad.text, '{"statusCode":400,"message":"Invalid request: Invalid packed input size"}\n');
  }
});

test('generate-stream, gives newToken events that add up to the whole', async () => {
  const whole = JSON.parse((await post('/ai/generate', KAYRA)).text) as { output: string };
  const stream = await post('/ai/generate-stream', KAYRA);
  assert.equal(stream.type, 'text/event-stream');
  const events = eventsOf(stream.text);
  const data = events.map((event) => JSON.parse(event.data) as { token: string; ptr: number; final: boolean });
  assert.ok(events.every(({ event }) => event === 'newToken'));
  assert.equal(data.map(({ token }) => token).join(''), whole.output);
  assert.deepEqual(
    data.map(({ final }) => final),
    [...Array<boolean>(11).fill(false), true],
  );
});

test('oa/v1 chat, streams chunks and [DONE], and unstreamed is as odd as NovelAI’s', async () => {
  const body = { model: 'glm-4-6', messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 };
  const stream = await post('/oa/v1/chat/completions', { ...body, stream: true });
  const events = eventsOf(stream.text);
  assert.equal(events.at(-1)?.data, '[DONE]');
  const chunks = events.slice(0, -1).map(
    ({ data }) =>
      JSON.parse(data) as {
        object: string;
        choices: { delta: { content?: string }; finish_reason: string | null }[];
      },
  );
  assert.equal(chunks.length, 6);
  assert.equal(chunks[0]?.object, 'chat.completion.chunk');
  assert.ok(chunks[0]?.choices[0]?.delta.content);
  assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');

  const whole = JSON.parse((await post('/oa/v1/chat/completions', body)).text) as {
    object: string;
    choices: Record<string, unknown>[];
  };
  assert.equal(whole.object, 'chat.completion.chunk');
  assert.equal(whole.choices[0]?.['text'], '');
  assert.equal('message' in (whole.choices[0] ?? {}), false);
  const parts = await post('/oa/v1/chat/completions', {
    ...body,
    messages: [{ role: 'user', content: [{ type: 'text' }] }],
  });
  assert.equal(parts.status, 400);
});

test('oa/v1 completions, token count and models, have OpenAI’s form', async () => {
  const completion = JSON.parse(
    (await post('/oa/v1/completions', { model: 'glm-4-6', prompt: 'a b c', max_tokens: 4 })).text,
  ) as Record<string, unknown>;
  assert.equal(completion['object'], 'text_completion');
  assert.equal((completion['usage'] as { completion_tokens: number }).completion_tokens, 4);
  const count = JSON.parse(
    (await post('/oa/v1/internal/token-count', { model: 'glm-4-6', prompt: 'one two three' })).text,
  ) as { encoded: number[]; length: number };
  assert.equal(count.encoded.length, count.length);
  const models = await request(`${simulator.origin}/oa/v1/models`, {
    headers: { authorization: `Bearer ${TABLET.persistentToken}` },
  });
  const { data } = (await models.body.json()) as { data: { id: string }[] };
  assert.deepEqual(
    data.map(({ id }) => id),
    ['glm-4-6', 'xialong-v1'],
  );
  const anonymous = await request(`${simulator.origin}/oa/v1/models`);
  assert.equal(anonymous.statusCode, 401);
});

test('oa/v1, refuses a model above the tier or unknown with 403', async () => {
  const body = { model: 'xialong-v1', prompt: 'x' };
  assert.equal((await post('/oa/v1/completions', body)).status, 200);
  assert.equal((await post('/oa/v1/completions', body, TABLET.persistentToken)).status, 403);
  const unknown = await post('/oa/v1/completions', { ...body, model: 'cassandra' });
  assert.equal(unknown.text, `{"statusCode":403,"message":"model 'cassandra' doesn't exist"}\n`);
});

test('text, has a lock of its own beside the image lock', async () => {
  const own = await startSimulator({ fixedLatencyMs: 200, imageScale: 0.02 });
  try {
    const condition = { caption: { base_caption: 'x' } };
    const image = {
      input: 'x',
      model: 'nai-diffusion-4-5-full',
      action: 'generate',
      parameters: { v4_prompt: condition, v4_negative_prompt: condition },
    };
    const answers = await Promise.all([
      post('/ai/generate-image', image, undefined, own.origin),
      post('/ai/generate', KAYRA, undefined, own.origin),
      post('/oa/v1/completions', { model: 'glm-4-6', prompt: 'x' }, undefined, own.origin),
    ]);
    assert.deepEqual(
      answers.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, 200, 429],
    );
    assert.equal(answers[0]?.status, 200);
    assert.equal(own.truth.account(DEFAULT_ACCOUNT.email).greatestOverlap, 2);
  } finally {
    await own.close();
  }
});

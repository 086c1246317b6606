// Traces: nothing is loaded unless the environment asks; then the steps of a request nest, carry no secret, and reach a collector.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { traceChannels } from '../../src/telemetry/trace-channels.ts';
import { call } from '../support/http-client.ts';
import { generationBody, startStack } from '../support/stack.ts';
import { startTraceCollector, type CollectedSpan } from '../support/trace-collector.ts';

const PROMPT = 'a-made-up-prompt-that-no-trace-may-hold';
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
/** OpenTelemetry takes the start of a span from a clock of whole milliseconds, and reckons its end from that. */
const PRECISION_NS = 1_000_000n;
const PARENT = `00-${TRACE_ID}-b7ad6b7169203331-01`;

/** OpenTelemetry's modules, as they are asked for. */
const loaded: string[] = [];
let isInstalled = true;
registerHooks({
  resolve(specifier, context, next) {
    if (!specifier.startsWith('@opentelemetry/')) return next(specifier, context);
    loaded.push(specifier);
    if (isInstalled) return next(specifier, context);
    throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' });
  },
});

function areWatched(): boolean {
  return Object.values(traceChannels).some(({ start, asyncEnd }) => start.hasSubscribers || asyncEnd.hasSubscribers);
}

function only(spans: readonly CollectedSpan[], name: string): CollectedSpan {
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, `one span "${name}" of ${spans.map((span) => span.name).join(', ')}`);
  return found[0] as CollectedSpan;
}

test('no collector, nothing of OpenTelemetry is loaded and nobody watches the channels', async (t) => {
  for (const environment of [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_SDK_DISABLED: 'true' },
    { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' },
    { OTEL_SERVICE_NAME: 'named', TRACE_PROPAGATION: 'on' },
  ]) {
    const stack = await startStack({ environment, simulator: { recordsHeaders: true } });
    t.after(() => stack.close());
    const { status } = await stack.generate(generationBody(), { headers: { traceparent: PARENT } });
    assert.equal(status, 200);
    assert.deepEqual(loaded, []);
    assert.ok(!areWatched());
    const row = stack.simulator.truth.rows().find(({ path }) => path === '/ai/generate-image');
    assert.ok(row?.headers, 'the headers were recorded');
    assert.equal(row.headers['traceparent'], undefined);
  }
});

test('not installed, one line says how to install it, and the service works', async (t) => {
  isInstalled = false;
  t.after(() => (isInstalled = true));
  const stack = await startStack({ environment: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' } });
  t.after(() => stack.close());
  assert.equal((await stack.generate(generationBody())).status, 200);
  assert.ok(!areWatched());
  const lines = readFileSync(join(stack.logDir, 'app.log'), 'utf8').split('\n');
  assert.equal(
    lines.filter((line) => line.includes('npm install @opentelemetry/api @opentelemetry/sdk-node')).length,
    1,
  );
});

test('a generation, its steps are one trace, each inside the one it belongs to, and no secret goes with them', async (t) => {
  const collector = await startTraceCollector(t);
  const stack = await startStack({
    simulator: { recordsHeaders: true },
    environment: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      TRACE_PROPAGATION: 'on',
    },
  });
  let isClosed = false;
  t.after(() => (isClosed ? undefined : stack.close()));
  const [answer] = await Promise.all([
    stack.generate(generationBody({ prompt: PROMPT }), { headers: { traceparent: PARENT } }),
    stack.generate(generationBody({ prompt: 'another, at the same time' })),
  ]);
  const refused = await stack.generate('{', { headers: { traceparent: PARENT.replace('0af7', '1af7') } });
  const wrongToken = `pst-${'Wr0ngT0k'.repeat(8)}`;
  await stack.generate(generationBody(), { token: wrongToken });
  const told = stack.simulator.truth.rows().map(({ headers }) => headers?.['traceparent']);
  await stack.close();
  isClosed = true;
  assert.ok(!areWatched(), 'a stopped service watches no more');

  const spans = collector.spans.filter(({ traceId }) => traceId === TRACE_ID);
  assert.equal(spans.length, 5, spans.map(({ name }) => name).join(', '));
  const request = only(spans, 'POST generate-image');
  assert.deepEqual([request.parentSpanId, request.kind, request.isError], ['b7ad6b7169203331', 2, false]);
  const steps = ['admit', 'queue image', 'generate_content nai-diffusion-4-5-full', 'relay'].map((name) =>
    only(spans, name),
  );
  let atLeast = request.start;
  for (const step of steps) {
    assert.equal(step.parentSpanId, request.spanId, step.name);
    assert.ok(step.start + PRECISION_NS > atLeast, `${step.name} begins after the one before`);
    assert.ok(step.end - PRECISION_NS < request.end, `${step.name} ends within the request`);
    atLeast = step.end;
  }
  const upstream = steps[2] as CollectedSpan;
  assert.equal(upstream.kind, 3);
  assert.ok(told.includes(`00-${TRACE_ID}-${upstream.spanId}-01`), 'NovelAI was told of the span that called it');
  assert.partialDeepStrictEqual(upstream.attributes, {
    'gen_ai.operation.name': 'generate_content',
    'gen_ai.provider.name': 'novelai',
    'gen_ai.request.model': 'nai-diffusion-4-5-full',
    'server.address': '127.0.0.1',
    'http.response.status_code': 200,
    'novelai_proxy.account': 'acc-1',
    'novelai_proxy.was_sent': true,
  });
  assert.partialDeepStrictEqual(request.attributes, {
    'novelai_proxy.request_id': answer.headers['x-request-id'],
    'novelai_proxy.client': 'client-1',
    'novelai_proxy.outcome': 'succeeded',
    'novelai_proxy.dialect': 'native',
    'http.request.method': 'POST',
    'http.response.status_code': 200,
  });
  const [invalid, ...rest] = collector.spans.filter(({ traceId }) => traceId === TRACE_ID.replace('0af7', '1af7'));
  assert.equal(rest.length, 0, 'it was refused before any step');
  assert.equal(refused.status, 400);
  assert.deepEqual([invalid?.isError, invalid?.attributes['error.type']], [true, 'client_invalid_body']);
  const others = collector.spans.filter(({ name, traceId }) => name === 'POST generate-image' && traceId !== TRACE_ID);
  assert.equal(others.length, 3, 'each request is a trace of its own');
  for (const secret of [...stack.secrets, wrongToken, PROMPT]) assert.ok(!collector.text.includes(secret), secret);
  assert.ok(!/pst-[A-Za-z0-9]{16}|eyJ[\w-]{10}/.test(collector.text));
  assert.ok(loaded.includes('@opentelemetry/sdk-node'), 'the check of what is loaded can see it');
});

test('a failure, is told by the span of the attempt and by that of the request', async (t) => {
  const collector = await startTraceCollector(t);
  const stack = await startStack({
    simulator: { recordsHeaders: true },
    environment: {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    },
  });
  stack.simulator.faults.add({ kind: 'status', status: 429, nth: 1, endpoint: 'generate-image' });
  stack.simulator.faults.add({ kind: 'reset-before-headers', nth: 2, endpoint: 'generate-image' });
  await stack.generate(generationBody({ prompt: 'turned away once' }));
  await stack.generate(generationBody({ prompt: 'reset' }));
  const tags = `${stack.address}/ai/generate-image/suggest-tags?model=nai-diffusion-3&prompt=a`;
  await call(tags, { method: 'GET', headers: { authorization: `Bearer ${stack.token}` } });
  const told = stack.simulator.truth.rows().some(({ headers }) => headers?.['traceparent'] !== undefined);
  await stack.close();
  const requests = collector.spans.filter(({ kind }) => kind === 2);
  const attempts = collector.spans.filter(({ kind }) => kind === 3);
  assert.deepEqual(
    attempts.map(({ attributes }) => attributes['error.type']),
    ['429', undefined, 'reset'],
  );
  assert.deepEqual(
    requests.map(({ name, attributes }) => [name, attributes['error.type']]),
    [
      ['POST generate-image', undefined],
      ['POST generate-image', 'upstream_broken'],
      ['GET suggest-tags', undefined],
    ],
  );
  assert.equal(collector.spans.filter(({ name }) => name === 'queue image').length, 3, 'waited again after the 429');
  assert.ok(!told, 'NovelAI is told of nothing unless TRACE_PROPAGATION is on');
});

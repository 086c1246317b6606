// The OpenAPI document tells the truth: every route of the service is in it, and every answer is as it says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as z from 'zod';
import { OWN_PATHS } from '../../src/dialects/native/unknown-path.ts';
import { call, type Answer, type CallOptions } from '../support/http-client.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

interface Response {
  description: string;
  headers?: Record<string, { schema: z.core.JSONSchema.JSONSchema }>;
  content?: Record<string, { schema: z.core.JSONSchema.JSONSchema }>;
}
interface Operation {
  operationId: string;
  responses: Record<string, Response>;
  parameters?: { name: string }[];
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { pathItems: { NovelAI: { post: Operation } } };
}

/** Fetches the document and puts what its references mean in their place; one that leads nowhere fails. */
async function documentOf({ address }: Stack): Promise<Document> {
  const { text } = await call(`${address}/openapi.json`, { method: 'GET' });
  const document = JSON.parse(text) as Document;
  const resolve = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(resolve);
    if (typeof value !== 'object' || value === null) return value;
    if ('$ref' in value) return resolve(follow(String(value.$ref)));
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, resolve(member)]));
  };
  const follow = (reference: string): unknown => {
    let at: unknown = document;
    for (const name of reference.replace('#/', '').split('/')) at = (at as Record<string, unknown> | undefined)?.[name];
    assert.ok(at !== undefined, `${reference} leads nowhere`);
    return at;
  };
  return resolve(document) as Document;
}

function operations({ paths }: Document): string[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

/** Holds an answer against what the document says of it. */
function assertAsDocumented(answer: Answer, { responses }: Operation, what: string): void {
  const response = responses[String(answer.status)];
  assert.ok(response, `${what}: ${answer.status} is not documented: ${answer.text.slice(0, 200)}`);
  const [type = ''] = String(answer.headers['content-type']).split(';');
  const schema = response.content?.[type]?.schema;
  assert.ok(schema, `${what}: ${answer.status} in ${type} is not documented`);
  const value: unknown = type === 'application/json' ? JSON.parse(answer.text) : answer.text;
  const parsed = z.fromJSONSchema(schema).safeParse(value);
  assert.ok(parsed.success, `${what}: ${String(parsed.error)} in ${answer.text.slice(0, 500)}`);
  for (const [name, header] of Object.entries(response.headers ?? {})) {
    const given = answer.headers[name];
    const isWhole = given !== undefined && /^\d+$/.test(String(given));
    if (given !== undefined)
      assert.ok(z.fromJSONSchema(header.schema).safeParse(isWhole ? Number(given) : given).success, `${what}: ${name}`);
  }
}

/** Calls that lead to every answer that a running service can be brought to, by operation. */
function calls(stack: Stack): [operation: string, status: number, path: string, options?: CallOptions][] {
  const headers = { authorization: `Bearer ${stack.token}`, 'content-type': 'application/json' };
  const paid = generationBody({ parameters: { steps: 50 } });
  return [
    ['GET /', 200, '/'],
    ['GET /livez', 200, '/livez'],
    ['GET /readyz', 200, '/readyz'],
    ['GET /version', 200, '/version'],
    ['GET /metrics', 200, '/metrics'],
    ['GET /metrics', 403, '/metrics', { headers: { 'x-forwarded-for': '192.0.2.1' } }],
    ['GET /openapi.json', 200, '/openapi.json'],
    ['GET /v1/queue', 200, '/v1/queue', { headers }],
    ['GET /v1/queue', 400, '/v1/queue?limit=0', { headers }],
    ['GET /v1/queue', 401, '/v1/queue'],
    ['POST /v1/price', 200, '/v1/price', { headers, body: paid }],
    ['POST /v1/price', 200, '/v1/price?tier=1&active=true', { headers, body: paid }],
    ['POST /v1/price', 200, '/v1/price', { headers, body: generationBody({ parameters: { n_samples: 99 } }) }],
    ['POST /v1/price', 400, '/v1/price?tier=9', { headers, body: paid }],
    ['POST /v1/price', 400, '/v1/price', { headers, body: '{' }],
    ['POST /v1/price', 401, '/v1/price', { body: paid }],
    ['POST /v1/price', 413, '/v1/price', { headers, body: Buffer.alloc(3000, ' ') }],
  ];
}

test('OpenAPI, every route that is not of NovelAI is documented, and listed where a path is not found', async (context) => {
  const stack = await startStack();
  context.after(() => stack.close());
  const document = await documentOf(stack);
  // HEAD comes with every GET.
  const routes = stack.service.routes.filter((route) => !route.startsWith('HEAD '));
  assert.ok(routes.length >= 8);
  assert.deepEqual(operations(document).toSorted(), routes.toSorted());
  assert.deepEqual(operations(document).toSorted(), [...OWN_PATHS].toSorted());
  const { status, text } = await call(`${stack.address}/v1/nothing`, { method: 'GET' });
  assert.equal(status, 404);
  for (const path of [...OWN_PATHS, 'POST /ai/generate-image']) assert.ok(text.includes(`"${path}"`), path);
});

test('OpenAPI, the document is sound: version 3.1, references that lead somewhere, one name for each operation', async (context) => {
  const stack = await startStack({ isUnready: true });
  context.after(() => stack.close());
  const document = await documentOf(stack);
  assert.match(document.openapi, /^3\.1\./);
  const all = [...Object.values(document.paths), document.components.pathItems.NovelAI].flatMap((item) =>
    Object.values(item).filter((member): member is Operation => typeof member === 'object'),
  );
  assert.equal(new Set(all.map(({ operationId }) => operationId)).size, all.length);
  for (const { operationId, responses } of all)
    for (const [status, { description }] of Object.entries(responses))
      assert.ok(description.length > 0 && /^(\d{3}|default)$/.test(status), `${operationId} ${status}`);
});

test('OpenAPI, every answer of a running, a not yet ready and a stopping service is as documented', async (context) => {
  const stack = await startStack({
    accounts: 2,
    eachAccount: (account, index) => ({ ...account, tier: index === 0 ? 3 : 1 }),
    simulator: { fixedLatencyMs: 1500 },
    environment: { BODY_LIMIT: '2k', SHOW_ACCOUNT: 'on' },
  });
  context.after(() => stack.close());
  const document = await documentOf(stack);
  const ask = (path: string, options: CallOptions | undefined, operation: string) =>
    call(stack.address + path, { method: operation.split(' ', 1)[0] ?? 'GET', ...options });
  const operationOf = (name: string): Operation => {
    const [method = '', path = ''] = name.split(' ');
    const operation = document.paths[path]?.[method.toLowerCase()];
    assert.ok(operation, name);
    return operation;
  };
  const seen = new Set<string>();
  const check = async (operation: string, status: number, path: string, options?: CallOptions) => {
    const answer = await ask(path, options, operation);
    assert.equal(answer.status, status, `${operation} ${answer.text.slice(0, 300)}`);
    assertAsDocumented(answer, operationOf(operation), operation);
    seen.add(`${operation} ${status}`);
  };

  const sent = Array.from({ length: 4 }, () => stack.generate(generationBody()));
  await until(() => stack.service.queue.stats('image').queued >= 2);
  for (const [operation, status, path, options] of calls(stack)) await check(operation, status, path, options);
  const novelai = document.components.pathItems.NovelAI.post;
  const own = Object.keys(novelai.responses['default']?.headers ?? {});
  for (const { status, headers } of await Promise.all(sent)) {
    assert.equal(status, 200);
    for (const name of Object.keys(headers).filter((name) => name.startsWith('x-')))
      assert.ok(own.includes(name), `${name} is not documented`);
  }
  for (const [options, status] of [
    [{ token: 'wrong' }, 401],
    [{ body: Buffer.alloc(3000) }, 413],
    [{ headers: { 'x-deadline': 'never' } }, 400],
    [{ path: '/ai/nothing' }, 404],
  ] as const) {
    const answer = await stack.generate('body' in options ? options.body : generationBody(), options);
    assert.equal(answer.status, status);
    assertAsDocumented(answer, novelai, `NovelAI ${status}`);
  }

  for (const account of stack.service.pool.accounts) account.drain('made up');
  await check('GET /readyz', 503, '/readyz');
  stack.service.pool.accounts[0]?.enable();
  const running = stack.generate(generationBody());
  await until(() => stack.service.running === 1);
  const stopped = stack.service.stop();
  for (const [operation, , path, options] of calls(stack)) {
    const isOpen = /\/(livez|version|metrics)$/.test(operation);
    if (!isOpen) await check(operation, 503, path, options);
  }
  await running;
  await stopped;
  // Of an operation's answers, these are all that its description promises.
  const promised = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { responses }]) =>
      Object.keys(responses).map((status) => `${method.toUpperCase()} ${path} ${status}`),
    ),
  );
  assert.deepEqual([...seen].toSorted(), promised.toSorted());
});

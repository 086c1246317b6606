// Accounts with proxies of their own, HTTP and SOCKS5: everything of such an account goes that way, and its trouble is its own.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startForwardProxy, type TestProxy } from '../support/forward-proxy.ts';
import { closedPort } from '../support/raw-server.ts';
import { startSocksServer } from '../support/socks-server.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const LOGIN = { username: 'tunnel-user', password: 'made-up-proxy-pass' };

interface ProxiedOptions {
  /** Proxy of each account; undefined for none. */
  proxies: readonly (string | undefined)[];
  isUnready?: boolean;
}

async function startProxied(context: TestContext, { proxies, isUnready = false }: ProxiedOptions): Promise<Stack> {
  const accounts = proxies.map((proxy, index) => ({
    name: `acc-${index + 1}`,
    email: `owner-${index + 1}@example.org`,
    password: `made-up-pass-${index + 1}`,
    proxy,
  }));
  const stack = await startStack({
    accounts: proxies.length,
    isUnready,
    environment: { NOVELAI_ACCOUNTS: JSON.stringify(accounts), SHOW_ACCOUNT: 'on' },
  });
  context.after(() => stack.close());
  return stack;
}

function logOf(stack: Stack): string {
  return readFileSync(join(stack.logDir, 'app.log'), 'utf8');
}

test('proxies, login, balance and generations of an account go through its own and never around it', async (context) => {
  const http = await startForwardProxy({ login: LOGIN });
  const socks = await startSocksServer({ login: LOGIN });
  const openSocks = await startSocksServer();
  const proxies = [http, socks, openSocks];
  for (const proxy of proxies) context.after(() => proxy.close());
  // Before anything is sent, so that no request of the start is missed; which server it went to shows afterwards.
  const allPorts: { local: number; remote: number }[] = [];
  const onRequest = (message: unknown) => {
    const { socket } = (message as { request: IncomingMessage }).request;
    allPorts.push({ local: socket.localPort ?? 0, remote: socket.remotePort ?? 0 });
  };
  subscribe('http.server.request.start', onRequest);
  context.after(() => unsubscribe('http.server.request.start', onRequest));
  const stack = await startProxied(context, { proxies: [...proxies.map(({ url }) => url), undefined] });

  const answers = await Promise.all(
    Array.from({ length: 24 }, (_, index) => stack.generate(generationBody({ prompt: `proxied ${index}` }))),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  const rows = stack.simulator.truth.rows();
  const ports = allPorts
    .filter(({ local }) => stack.simulator.origin.endsWith(`:${local}`))
    .map(({ remote }) => remote);
  assert.equal(ports.length, rows.length);
  const byWay = new Map<string, Set<number>>();
  for (const [index, { endpoint, account }] of rows.entries()) {
    if (account === '') continue;
    const way = `${account} ${endpoint}`;
    byWay.set(way, (byWay.get(way) ?? new Set()).add(ports[index] ?? 0));
  }
  for (const [index, proxy] of [...proxies, undefined].entries())
    for (const endpoint of ['user-subscription', 'generate-image']) {
      const used = byWay.get(`owner-${index + 1}@example.org ${endpoint}`);
      assert.ok(used && used.size > 0, `owner-${index + 1} did ${endpoint}`);
      for (const port of used)
        for (const [which, other] of proxies.entries())
          assert.equal(other.ports.has(port), other === proxy, `owner-${index + 1}: ${endpoint}, proxy ${which + 1}`);
    }
  const loginPorts = rows.flatMap(({ endpoint }, index) => (endpoint === 'user-login' ? [ports[index] ?? 0] : []));
  assert.equal(loginPorts.length, 4);
  for (const proxy of proxies) assert.equal(loginPorts.filter((port) => proxy.ports.has(port)).length, 1);
  for (const proxy of proxies) assert.equal(proxy.refusals, 0);
  assert.equal(stack.simulator.truth.totals().greatestOverlap, 1);
});

test('a dead proxy at start, only its account is unusable, and it is picked up when the proxy is there', async (context) => {
  const port = await closedPort();
  const stack = await startProxied(context, {
    proxies: [`http://${LOGIN.username}:${LOGIN.password}@127.0.0.1:${port}`, undefined],
    isUnready: true,
  });
  const [lame, sound] = stack.service.pool.accounts;
  await until(() => lame?.session.state === 'failing' && sound?.availability('image').state === 'ready');
  const answers = await Promise.all(Array.from({ length: 6 }, () => stack.generate(generationBody())));
  for (const { status, headers } of answers) assert.deepEqual([status, headers['x-account']], [200, 'acc-2']);
  const ready = await startForwardProxy({ login: LOGIN, port });
  context.after(() => ready.close());
  await until(() => lame?.availability('image').state === 'ready');
  assert.ok(ready.tunnels.length > 0);
});

for (const [kind, start] of [
  ['HTTP', startForwardProxy],
  ['SOCKS5', startSocksServer],
] as const)
  test(`${kind} proxy, one that dies while its account works costs no request: the others take over`, async (context) => {
    const proxy: TestProxy = await start({ login: LOGIN });
    const stack = await startProxied(context, { proxies: [proxy.url, undefined] });
    assert.equal((await stack.generate(generationBody())).status, 200);
    await proxy.close();
    const answers = await Promise.all(Array.from({ length: 20 }, () => stack.generate(generationBody())));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const [lame] = stack.service.pool.accounts;
    assert.equal(lame?.availability('image').state, 'cooling');
    assert.match(lame?.availability('image').why ?? '', /through its proxy/);
  });

for (const [kind, start] of [
  ['HTTP', startForwardProxy],
  ['SOCKS5', startSocksServer],
] as const)
  test(`${kind} proxy, a wrong password for it fails that account alone and is never written down`, async (context) => {
    const proxy: TestProxy = await start({ login: LOGIN });
    context.after(() => proxy.close());
    const wrong = { username: 'other-user', password: 'made-up-wrong-pass' };
    const url = proxy.url.replace(`${LOGIN.username}:${LOGIN.password}`, `${wrong.username}:${wrong.password}`);
    const stack = await startProxied(context, { proxies: [url, undefined], isUnready: true });
    const [lame, sound] = stack.service.pool.accounts;
    await until(() => lame?.session.state === 'failing' && sound?.availability('image').state === 'ready');
    const answers = await Promise.all(Array.from({ length: 6 }, () => stack.generate(generationBody())));
    for (const { status, headers } of answers) assert.deepEqual([status, headers['x-account']], [200, 'acc-2']);
    assert.ok(proxy.refusals > 0, 'the proxy was asked');
    assert.equal(proxy.tunnels.length, 0);
    await until(() => logOf(stack).includes('account cannot log in'));
    const written = logOf(stack) + JSON.stringify(stack.service.pool.readiness());
    for (const secret of [
      wrong.password,
      `${wrong.username}:`,
      Buffer.from(`${wrong.username}:${wrong.password}`).toString('base64'),
    ])
      assert.ok(!written.includes(secret), `${secret} was written down`);
  });

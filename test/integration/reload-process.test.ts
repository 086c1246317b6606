// The service as people run it, with an .env and a file of accounts that change while requests run and stream: nothing breaks.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startSimulator, type Simulator } from '../../simulator/simulator.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call } from '../support/http-client.ts';
import { KillableProxy } from '../support/killable-proxy.ts';
import { generationBody, madeUpAccounts } from '../support/stack.ts';
import { until } from '../support/until.ts';

const PICTURE = generationBody();
const STREAM = generationBody({ parameters: { stream: 'sse' } });

class Service {
  readonly dir = mkdtempSync(join(tmpdir(), 'proxy-reload-'));
  readonly simulator: Simulator;
  readonly proxy: KillableProxy;
  readonly tokens = { stays: newClientToken(), goes: newClientToken(), comes: newClientToken() };

  constructor(simulator: Simulator, environment: Record<string, string> = {}) {
    this.simulator = simulator;
    this.proxy = new KillableProxy({ dir: this.dir, environment });
  }

  /** Writes .env in place, as some editors do. */
  write(changes: Record<string, string> = {}): void {
    const { imageUrl, textUrl, apiUrl } = this.simulator;
    const variables = {
      SERVER_TOKENS: `stays:${this.tokens.stays},goes:${this.tokens.goes}`,
      NOVELAI_ACCOUNTS: 'accounts.json',
      NOVELAI_IMAGE_URL: imageUrl,
      NOVELAI_TEXT_URL: textUrl,
      NOVELAI_API_URL: apiUrl,
      ...changes,
    };
    const text = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(join(this.dir, '.env'), text.join(''));
  }

  /** Puts a new file of accounts in the place of the old one, as other editors do. */
  writeAccounts(...indexes: number[]): void {
    const all = madeUpAccounts(4).map(({ email, password }, index) => ({ name: `acc-${index + 1}`, email, password }));
    const file = join(this.dir, 'accounts.json');
    writeFileSync(`${file}~`, JSON.stringify(indexes.map((index) => all[index])));
    renameSync(`${file}~`, file);
  }

  /** Does something and waits until the log says what came of it. */
  async said(pattern: RegExp, act: () => unknown): Promise<void> {
    const before = this.log.length;
    act();
    await until(() => pattern.test(this.log.slice(before))).catch(() => assert.fail(`not said: ${String(pattern)}`));
  }

  get log(): string {
    return readFileSync(join(this.dir, 'logs', 'app.log'), 'utf8');
  }

  generate(token: string, isStream = false, agent?: Agent) {
    return call(`${this.proxy.address}/ai/generate-image${isStream ? '-stream' : ''}`, {
      body: isStream ? STREAM : PICTURE,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(agent && { agent }),
    });
  }
}

async function start(context: TestContext, environment: Record<string, string> = {}): Promise<Service> {
  const simulator = await startSimulator({ fixedLatencyMs: 60, imageScale: 0.05, accounts: madeUpAccounts(4) });
  const service = new Service(simulator, environment);
  context.after(async () => {
    await service.proxy.close();
    await simulator.close();
    rmSync(service.dir, { recursive: true, force: true });
  });
  service.write();
  service.writeAccounts(0, 1);
  await service.proxy.start();
  await service.proxy.ready();
  return service;
}

/** Programs that ask again and again over the same connections, until they are told to stop; gives what they got. */
function load(context: TestContext, service: Service, workers: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: workers });
  const got = { pictures: 0, streams: 0, closed: 0, failures: [] as string[] };
  const sockets = new WeakSet<object>();
  const end = new AbortController();
  const work = async (worker: number) => {
    for (let round = 0; !end.signal.aborted; round += 1) {
      const isStream = (worker + round) % 2 === 0;
      try {
        const { status, text } = await service.generate(service.tokens.stays, isStream, agent);
        if (status !== 200) got.failures.push(`${status} ${text.slice(0, 200)}`);
        else if (isStream) got.streams += 1;
        else got.pictures += 1;
      } catch (error) {
        got.failures.push(String(error));
      }
    }
  };
  agent.on('free', (socket) => {
    if (!sockets.has(socket)) socket.once('close', () => (got.closed += end.signal.aborted ? 0 : 1));
    sockets.add(socket);
  });
  context.after(() => end.abort());
  const running = Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  return {
    got,
    async stop() {
      end.abort();
      await running;
      agent.destroy();
      return got;
    },
  };
}

test('reload under load, by file and by SIGHUP: no request fails, no connection is dropped, new accounts work, tokens change', async (context) => {
  const service = await start(context, { LOG_MAX_FILES: '5' });
  const { simulator, proxy, tokens } = service;
  const [first, second, third, fourth] = madeUpAccounts(4).map(({ email }) => simulator.truth.account(email));
  assert.ok(first && second && third && fourth);
  const programs = load(context, service, 8);
  await until(() => programs.got.streams > 5 && programs.got.pictures > 5);

  await service.said(/"added":\["acc-3","acc-4"\]/, () => service.writeAccounts(0, 1, 2, 3));
  await until(() => third.generations > 2 && fourth.generations > 2);

  assert.equal((await service.generate(tokens.goes)).status, 200);
  await service.said(/"cause":"SIGHUP".*configuration reloaded/, () => {
    service.write({ SERVER_TOKENS: `stays:${tokens.stays},comes:${tokens.comes}`, QUEUE_LIMIT: '500' });
    proxy.signal('SIGHUP');
  });
  assert.equal((await service.generate(tokens.goes)).status, 401);
  assert.equal((await service.generate(tokens.comes)).status, 200);

  await service.said(/the old one stays in use/, () => service.write({ PORT: 'many', QUEUE_TIMEOUT: 'soon' }));
  // PORT is set by the process's own environment, which no file can change.
  assert.match(service.log, /"variable":"QUEUE_TIMEOUT","problem":"expected a time/);
  assert.doesNotMatch(service.log, /"variable":"PORT"/);
  assert.equal((await service.generate(tokens.comes)).status, 200, 'the old state holds');

  await service.said(/"variables":\["SECRET_KEY"\].*needs a restart/, () =>
    service.write({ LOG_MAX_FILES: '7', SECRET_KEY: 'another-made-up-key' }),
  );

  await service.said(/"removed":\["acc-1"\]/, () => service.writeAccounts(1, 2, 3));
  const before = first.generations;
  const others = second.generations;
  await until(() => second.generations > others + 5);
  assert.ok(first.generations <= before + 1, 'what was on its way to it, and nothing more');

  const { failures, streams, pictures, closed } = await programs.stop();
  context.diagnostic(`${pictures} pictures and ${streams} streams, ${failures.length} failures over five reloads`);
  assert.deepEqual(failures, []);
  assert.equal(closed, 0, 'no connection was closed');
  assert.ok(pictures + streams > 60);
  const { greatestOverlap, lockRefusals, logins } = simulator.truth.totals();
  assert.deepEqual({ greatestOverlap, lockRefusals, logins }, { greatestOverlap: 1, lockRefusals: 0, logins: 4 });
  assert.equal(await proxy.end('SIGTERM'), 0);
});

test('reload, the log level follows .env, and no secret of either configuration is told', async (context) => {
  const service = await start(context);
  const { proxy, tokens } = service;
  await service.said(/needs a restart/, () => service.write({ LOG_LEVEL: 'warn', LOG_MAX_FILES: '7' }));
  const quiet = service.log;
  assert.equal((await service.generate(tokens.stays)).status, 200);
  assert.equal(service.log, quiet, 'not a line more');
  await service.said(/NOVELAI_ACCOUNTS\[0\].*the old one stays in use/, () =>
    writeFileSync(
      join(service.dir, 'accounts.json'),
      '[{"name":"acc-1","email":"x@example.org","pass":"made-up-slip"}]',
    ),
  );
  assert.equal((await service.generate(tokens.stays)).status, 200);
  await service.said(/configuration reloaded/, () => {
    service.write({ LOG_LEVEL: 'debug', NOVELAI_ACCOUNTS: JSON.stringify(madeUpAccounts(1)) });
    proxy.signal('SIGHUP');
  });
  let answer = Promise.resolve<{ status: number }>({ status: 0 });
  await service.said(/"msg":"request"/, () => (answer = service.generate(tokens.stays)));
  assert.equal((await answer).status, 200);
  for (const secret of [...Object.values(tokens), ...madeUpAccounts(4).map(({ password }) => password), 'made-up-slip'])
    for (const text of [service.log, proxy.output]) assert.ok(!text.includes(secret));
});

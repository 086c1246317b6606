// Tests `doctor`: every finding with what to do about it, and nothing changed by looking.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { DEFAULT_ACCOUNT, startSimulator, type Simulator } from '../../../simulator/simulator.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { commandLine, type CommandLine } from './command-line.ts';

const { email, password } = DEFAULT_ACCOUNT;
let simulator: Simulator;
before(async () => {
  simulator = await startSimulator({ rolePorts: { image: 0, text: 0, api: 0 } });
});
after(() => simulator.close());

function soundSettings(): Record<string, string> {
  return {
    NOVELAI_IMAGE_URL: simulator.imageUrl,
    NOVELAI_TEXT_URL: simulator.textUrl,
    NOVELAI_API_URL: simulator.apiUrl,
    NOVEL_TOKEN: '',
    NOVELAI_USERNAME: email,
    NOVELAI_PASSWORD: password,
  };
}

/** A host that answers everything in one way. */
async function hostThat(
  t: TestContext,
  answer: { status: number; type?: string; body?: string; headers?: Record<string, string> },
): Promise<string> {
  const { status, type = 'application/json', body = '{}', headers = {} } = answer;
  const server: Server = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': type, ...headers }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function doctor({ run }: CommandLine, settings: Record<string, string> = {}) {
  return run(['doctor'], { settings: { ...soundSettings(), ...settings } });
}

test('doctor, all is well', async (t) => {
  const line = await commandLine(t);
  const { out, err, exitCode } = await doctor(line);
  assert.equal(exitCode, 0, out + err);
  assert.match(out, /^✓ configuration: read; 1 account and 1 client in the environment$/m);
  assert.match(out, /^✓ data folder .*: made at the first start, [\d.]+ GiB free$/m);
  assert.match(out, /^✓ database .*proxy\.db: made at the first start$/m);
  assert.match(out, /^✓ image host http:.*: answers$/m);
  assert.match(out, /^✓ text host http:.*: answers$/m);
  assert.match(out, /^✓ api host http:.*: answers; NovelAI serves account calls on the image host now/m);
  assert.match(out, /^✓ clock: right$/m);
  assert.match(out, /^✓ account account-1: logged in, Opus/m);
  assert.match(out, /^✓ service at http:\/\/127\.0\.0\.1:9: not running now$/m);
  assert.match(out, /\nAll is well\.\n$/);
  assert.ok(!existsSync(line.dataDir), 'looking made nothing');
  assert.ok(!out.includes(email) && !out.includes(password));
});

test('doctor, accounts of the database are looked at too', async (t) => {
  const line = await commandLine(t);
  await line.run(['account', 'add', 'second', '--email', email, '--no-test'], { answer: 'wrong' });
  const { out, exitCode } = await doctor(line);
  assert.equal(exitCode, 1);
  assert.match(out, /^✓ database .*: can be read and written$/m);
  assert.match(out, /^✓ key of the credentials: right$/m);
  assert.match(out, /^✓ ledger: right$/m);
  assert.match(out, /^✗ account second: NovelAI refused the e-mail address or password/m);
  assert.match(out, /\nOne fault to mend\.\n$/);
});

test('doctor, a wrong configuration: every fault, and what to do', async (t) => {
  const { run } = await commandLine(t);
  const { out, exitCode } = await run(['doctor'], { settings: { PORT: 'none', QUEUE_LIMIT: '0' } });
  assert.equal(exitCode, 1);
  assert.match(out, /^✗ configuration, PORT: expected/m);
  assert.match(out, /^✗ configuration, QUEUE_LIMIT: expected/m);
  assert.match(out, /\.env\.example/);
  assert.match(out, /\n2 faults to mend\.\n$/);
});

test('doctor, a host that cannot be reached, and one that does not exist', async (t) => {
  const line = await commandLine(t);
  const { out, exitCode } = await doctor(line, {
    NOVELAI_TEXT_URL: 'http://127.0.0.1:1,http://no-such-host.invalid',
  });
  assert.equal(exitCode, 1);
  assert.match(out, /^✗ text host http:\/\/127\.0\.0\.1:1: no answer \(ECONNREFUSED\)\n {4}Nothing answers there/m);
  assert.match(out, /^✗ text host http:\/\/no-such-host\.invalid: no answer \(E\w+\)\n {4}\w/m);
});

for (const [what, answer, says] of [
  [
    'has moved',
    {
      status: 400,
      body: '{"statusCode":400,"message":"Please refresh NovelAI.net. If using a third-party tool, update to the image URL."}',
    },
    /^✗ image host .*: moved: Please refresh.*\n {4}NovelAI has moved this: .*NOVELAI_IMAGE_URL/m,
  ],
  [
    'blocks this address',
    { status: 403, type: 'text/html', body: '<html>' },
    /^✗ image host .*: answers with a web page \(403\)\n {4}NovelAI's edge blocks/m,
  ],
  [
    'is in trouble',
    { status: 502, type: 'text/html', body: '<html>' },
    /^! image host .*: in trouble \(502\)\n {4}.*try again/m,
  ],
  ['is another one', { status: 404 }, /^! image host .*: does not know .*\n {4}Look whether NOVELAI_IMAGE_URL/m],
] as const)
  test(`doctor, an image host that ${what}`, async (t) => {
    const url = await hostThat(t, answer);
    const { out } = await doctor(await commandLine(t), { NOVELAI_IMAGE_URL: url });
    assert.match(out, says);
    assert.match(out, /^✗ account account-1: .*\n {4}\w/m, 'the account says what it means for it');
  });

test('doctor, the account’s trouble says what to do: moved, blocked', async (t) => {
  const line = await commandLine(t);
  const moved = await hostThat(t, {
    status: 400,
    body: '{"statusCode":400,"message":"Please refresh NovelAI.net. If using a third-party tool, update to the image URL."}',
  });
  assert.match(
    (await doctor(line, { NOVELAI_IMAGE_URL: moved })).out,
    /account-1: .*400.*\n {4}NovelAI has moved this to another host/,
  );
  const blocked = await hostThat(t, { status: 403, type: 'text/html', body: '<html>' });
  assert.match(
    (await doctor(line, { NOVELAI_IMAGE_URL: blocked })).out,
    /account-1: .*web page.*\n {4}NovelAI's edge blocks/,
  );
});

test('doctor, a clock that is wrong', async (t) => {
  const line = await commandLine(t);
  for (const [offMs, says] of [
    [100_000, /^! clock: (99|100|101) s ahead of NovelAI's\n {4}Set it by NTP/m],
    [-4_000_000, /^✗ clock: \d+ s behind NovelAI's/m],
  ] as const) {
    const clock = { ...systemClock, wallMs: () => Date.now() + offMs };
    const { out } = await line.run(['doctor'], { settings: soundSettings(), clock });
    assert.match(out, says);
  }
});

test('doctor, a database that is none, and a key that is wrong', async (t) => {
  const line = await commandLine(t);
  await line.run(['account', 'add', 'second', '--no-test'], { input: 'pst-x', config: { secretKey: 'right' } });
  const wrongKey = await line.run(['doctor'], { settings: soundSettings(), config: { secretKey: 'wrong' } });
  assert.equal(wrongKey.exitCode, 1);
  assert.match(wrongKey.out, /^✗ key of the credentials: SECRET_KEY is not the key.*\n {4}The service does not start/m);
  assert.match(wrongKey.out, /^✓ account account-1/m, 'the environment’s account is looked at all the same');

  const file = join(dirname(line.dataDir), 'none.db');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, 'this is a letter, and no database at all'.repeat(100));
  const noDatabase = await line.run(['doctor'], {
    settings: soundSettings(),
    config: { databaseUrl: `sqlite:${file}` },
  });
  assert.match(noDatabase.out, /^✗ database .*: The database .* is damaged or is no SQLite database/m);
});

test('doctor, the service: ready, not ready, or something else on its port', async (t) => {
  const line = await commandLine(t);
  for (const [status, says] of [
    [200, /^✓ service at .*: running and ready$/m],
    [503, /^✗ service at .*: running, but no account can serve$/m],
    [404, /^✗ service at .*: something else answers there \(404\)\n {4}Stop that program/m],
  ] as const) {
    const url = await hostThat(t, { status });
    assert.match((await doctor(line, { PORT: new URL(url).port })).out, says);
  }
});

test('doctor, as JSON', async (t) => {
  const { run } = await commandLine(t);
  const { out, exitCode } = await run(['doctor', '--json'], { settings: soundSettings() });
  assert.equal(exitCode, 0);
  const findings = JSON.parse(out) as { level: string; what: string }[];
  assert.ok(findings.length >= 9 && findings.every(({ level }) => level === 'ok'));
});

// Tests of the configuration: what is read, what is refused, and that no message tells a secret.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseEnv } from 'node:util';
import { ConfigError, missingIdentities, readConfig, type Environment } from '../../../src/config/load-config.ts';

const SECRET = 'Tr0ub4dor-made-up';
const LEAST = { NOVEL_TOKEN: `pst-${'a'.repeat(64)}`, SERVER_TOKENS: 'me:made-up-token' };

function faultsOf(environment: Environment): ConfigError['faults'] {
  try {
    readConfig(environment);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.faults;
  }
  return [];
}

function variablesOf(environment: Environment): string[] {
  return faultsOf(environment).map(({ variable }) => variable);
}

function tempFile(context: TestContext, text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'config-test-'));
  context.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 'accounts.json');
  writeFileSync(path, text);
  return path;
}

test('config, the least that is needed gives every documented default', () => {
  const config = readConfig(LEAST);
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.port, 5000);
  assert.deepEqual(config.accounts, [
    { name: 'account-1', login: undefined, token: LEAST.NOVEL_TOKEN, concurrency: 1 },
  ]);
  assert.deepEqual(config.clients, [{ name: 'me', token: 'made-up-token' }]);
  assert.deepEqual(config.upstreamUrls, {
    image: ['https://image.novelai.net'],
    text: ['https://text.novelai.net'],
    api: ['https://api.novelai.net'],
  });
  assert.deepEqual(config.queue, { limit: 10_000, limitPerClient: 1000, timeoutMs: 600_000 });
  assert.deepEqual(config.limits, {
    bodyBytes: 32 * 1024 ** 2,
    connectMs: 10_000,
    firstByteMs: 180_000,
    idleMs: 60_000,
    totalMs: 180_000,
    drainMs: 60_000,
    shutdownMs: 200_000,
    accountGapMs: 0,
    readAheadBytes: 8 * 1024 ** 2,
  });
  assert.equal(config.log.maxSizeBytes, 10 * 1024 ** 2);
  assert.equal(config.log.maxFiles, 5);
  assert.equal(config.showsAccount, false);
});

test('config, the defaults are those that .env.example tells of', () => {
  const told = parseEnv(readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8'));
  const given = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== ''));
  assert.ok(Object.keys(given).length > 15);
  assert.deepEqual(readConfig({ ...LEAST, ...given }), readConfig(LEAST));
});

test('config, is frozen to its depths', () => {
  const config = readConfig(LEAST);
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.limits) && Object.isFrozen(config.accounts[0]));
  assert.ok(Object.isFrozen(config.upstreamUrls.image) && Object.isFrozen(config.clients));
});

test('config, a variable set to nothing counts as not set', () => {
  assert.equal(readConfig({ ...LEAST, PORT: '', NOVELAI_IMAGE_URL: '', QUEUE_TIMEOUT: '' }).port, 5000);
});

test('config, every fault is told at once, each with its variable and what was expected', () => {
  const wrong: Record<string, string> = {
    PORT: '70000',
    NOVELAI_IMAGE_URL: 'image.novelai.net',
    QUEUE_LIMIT: 'many',
    QUEUE_TIMEOUT: '0s',
    BODY_LIMIT: '32 tb',
    UPSTREAM_TIMEOUT: 'soon',
    ACCOUNT_GAP: '-1s',
    LOG_LEVEL: 'loud',
    LOG_MAX_FILES: '0',
    SHOW_ACCOUNT: 'maybe',
    NOVELAI_USERNAME: 'owner@example.org',
    SERVER_TOKENS: ' , ',
    NOVELAI_ACCOUNTS: '[{"name":"x"}, 7]',
  };
  const faults = faultsOf(wrong);
  const expected = new Set([...Object.keys(wrong), 'NOVELAI_PASSWORD', 'NOVELAI_ACCOUNTS[0]', 'NOVELAI_ACCOUNTS[1]']);
  expected.delete('NOVELAI_USERNAME');
  expected.delete('NOVELAI_ACCOUNTS');
  assert.deepEqual(new Set(faults.map(({ variable }) => variable)), expected);
  for (const { variable, problem } of faults) assert.match(problem, /expected|configured/i, variable);
});

test('config, numbers are whole, inside their bounds and plainly written', () => {
  for (const port of ['0', '1', '65535']) assert.equal(readConfig({ ...LEAST, PORT: port }).port, Number(port));
  for (const port of ['-1', '65536', '5.5', 'x', ' ', '0x10', '1e3'])
    assert.deepEqual(variablesOf({ ...LEAST, PORT: port }), ['PORT'], port);
});

test('config, switches read the usual words', () => {
  for (const word of ['on', 'TRUE', 'yes', '1']) assert.ok(readConfig({ ...LEAST, SHOW_ACCOUNT: word }).showsAccount);
  for (const word of ['off', 'False', 'no', '0']) assert.ok(!readConfig({ ...LEAST, SHOW_ACCOUNT: word }).showsAccount);
});

test('config, the first-byte limit follows the whole limit unless it is set', () => {
  assert.equal(readConfig({ ...LEAST, UPSTREAM_TIMEOUT: '90s' }).limits.firstByteMs, 90_000);
  const both = readConfig({ ...LEAST, UPSTREAM_TIMEOUT: '90s', FIRST_BYTE_TIMEOUT: '20s' });
  assert.equal(both.limits.firstByteMs, 20_000);
});

test('addresses, lists are split and trimmed of spaces and trailing slashes', () => {
  const { upstreamUrls } = readConfig({ ...LEAST, NOVELAI_IMAGE_URL: ' https://a.example/ , http://127.0.0.1:8080 ,' });
  assert.deepEqual(upstreamUrls.image, ['https://a.example', 'http://127.0.0.1:8080']);
});

test('addresses, the same host twice is kept once', () => {
  const { upstreamUrls } = readConfig({ ...LEAST, NOVELAI_IMAGE_URL: 'https://a.example,https://A.example/' });
  assert.deepEqual(upstreamUrls.image, ['https://a.example']);
});

test('addresses, what is no plain http(s) host is refused without showing a password in it', () => {
  for (const url of [
    'ftp://a.example',
    'a.example',
    'https://',
    'https://a.example/nai',
    'https://a.example?x=1',
    `https://owner:${SECRET}@a.example`,
    `ftp://owner:${SECRET}@a.example`,
  ]) {
    const faults = faultsOf({ ...LEAST, NOVELAI_TEXT_URL: `https://b.example,${url}` });
    assert.deepEqual(
      faults.map(({ variable }) => variable),
      ['NOVELAI_TEXT_URL'],
      url,
    );
    assert.ok(!faults[0]!.problem.includes(SECRET), faults[0]!.problem);
  }
});

test('first account, by login, by token, and by both', () => {
  const login = { NOVELAI_USERNAME: 'owner@example.org', NOVELAI_PASSWORD: SECRET, SERVER_TOKENS: 'x' };
  assert.deepEqual(readConfig(login).accounts[0]?.login, { email: 'owner@example.org', password: SECRET });
  assert.equal(readConfig(login).accounts[0]?.token, undefined);
  const both = readConfig({ ...login, NOVEL_TOKEN: LEAST.NOVEL_TOKEN }).accounts;
  assert.equal(both.length, 1);
  assert.equal(both[0]?.token, LEAST.NOVEL_TOKEN);
  assert.ok(both[0]?.login);
});

test('first account, half a login names the missing half', () => {
  assert.deepEqual(variablesOf({ ...LEAST, NOVELAI_USERNAME: 'a@example.org' }), ['NOVELAI_PASSWORD']);
  assert.deepEqual(variablesOf({ ...LEAST, NOVELAI_PASSWORD: SECRET }), ['NOVELAI_USERNAME']);
});

test('first account, a password keeps its spaces and a token loses them', () => {
  const { accounts } = readConfig({
    SERVER_TOKENS: 'x',
    NOVELAI_USERNAME: ' owner@example.org\n',
    NOVELAI_PASSWORD: ' sp ace ',
    NOVEL_TOKEN: `${LEAST.NOVEL_TOKEN}\n`,
  });
  assert.deepEqual(accounts[0]?.login, { email: 'owner@example.org', password: ' sp ace ' });
  assert.equal(accounts[0]?.token, LEAST.NOVEL_TOKEN);
});

test('first account, one of nothing but spaces is not set', () => {
  const blank = { NOVELAI_USERNAME: ' ', NOVEL_TOKEN: '\n', SERVER_TOKENS: 'x' };
  assert.deepEqual(readConfig(blank).accounts, []);
});

test('origins of web pages, are a star, a list or off, and exact', () => {
  const read = (text: string) => readConfig({ ...LEAST, CORS_ORIGINS: text }).corsOrigins;
  assert.deepEqual(readConfig(LEAST).corsOrigins, ['*']);
  assert.deepEqual(read('https://a.example, http://b.example:8080'), ['https://a.example', 'http://b.example:8080']);
  assert.deepEqual(read(' off '), []);
  for (const text of ['a.example', 'https://a.example/', 'https://a.example/path', ','])
    assert.deepEqual(variablesOf({ ...LEAST, CORS_ORIGINS: text }), ['CORS_ORIGINS'], text);
});

test('tokens, one that no header can carry is refused, not sent, and not shown', () => {
  const token = `${SECRET}\u0007x y`;
  const first = faultsOf({ ...LEAST, NOVEL_TOKEN: token });
  assert.deepEqual(
    first.map(({ variable }) => variable),
    ['NOVEL_TOKEN'],
  );
  const further = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: JSON.stringify([{ token }]) });
  assert.deepEqual(
    further.map(({ variable }) => variable),
    ['NOVELAI_ACCOUNTS[0].token'],
  );
  assert.ok(![...first, ...further].some(({ problem }) => problem.includes(SECRET)));
});

test('no account, is no fault by itself, and told beside others', () => {
  assert.deepEqual(faultsOf({ SERVER_TOKENS: 'x' }), []);
  assert.deepEqual(variablesOf({ SERVER_TOKENS: 'x', PORT: 'x' }), ['PORT', 'NOVELAI_USERNAME']);
});

test('no account anywhere, is one fault that says what to set', () => {
  const faults = missingIdentities({ hasAccounts: false, hasClients: true });
  assert.equal(faults.length, 1);
  assert.match(faults[0]!.problem, /NOVELAI_USERNAME and NOVELAI_PASSWORD, or NOVEL_TOKEN/);
});

test('further accounts, from inline JSON with every member', () => {
  const list = [
    { email: 'b@example.org', password: SECRET, proxy: 'socks5://u:p@127.0.0.1:1080', concurrency: 2 },
    { name: 'third', token: 'pst-x' },
  ];
  const { accounts } = readConfig({ ...LEAST, NOVELAI_ACCOUNTS: ` ${JSON.stringify(list)}` });
  assert.deepEqual(accounts.slice(1), [
    {
      name: 'account-2',
      login: { email: 'b@example.org', password: SECRET },
      token: undefined,
      proxyUrl: 'socks5://u:p@127.0.0.1:1080',
      concurrency: 2,
    },
    { name: 'third', login: undefined, token: 'pst-x', proxyUrl: undefined, concurrency: 1 },
  ]);
});

test('further accounts, from a file, also one with a byte order mark, and without a first account', (context) => {
  const path = tempFile(context, `\uFEFF${JSON.stringify([{ name: 'from-file', token: 'pst-x' }])}\n`);
  const { accounts } = readConfig({ SERVER_TOKENS: 'x', NOVELAI_ACCOUNTS: path });
  assert.deepEqual(
    accounts.map(({ name }) => name),
    ['from-file'],
  );
});

test('further accounts, broken JSON is told without quoting it', (context) => {
  const broken = `[{"name":"x","email":"a@example.org","password":"${SECRET}"`;
  const inline = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: broken });
  const inFile = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: tempFile(context, broken) });
  const noList = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: tempFile(context, `{"password":"${SECRET}"}`) });
  const oneObject = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: `{"token":"${SECRET}"}` });
  const missing = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: '/no/such/file.json' });
  for (const faults of [inline, inFile, noList, oneObject, missing]) {
    assert.deepEqual(
      faults.map(({ variable }) => variable),
      ['NOVELAI_ACCOUNTS'],
    );
    assert.match(faults[0]!.problem, /expected a JSON array of accounts/);
    assert.ok(!faults[0]!.problem.includes(SECRET));
  }
  assert.match(missing[0]!.problem, /ENOENT/);
});

test('further accounts, each wrong one is told with its place and member, and no value', () => {
  const wrong: unknown[] = [
    { name: 'a', email: 'a@example.org' },
    { name: 'b', password: SECRET },
    { name: 'c' },
    { name: 'd', token: 'pst-x', proxy: `ftp://u:${SECRET}@h` },
    { name: 'e', token: 'pst-x', concurrency: 0 },
    { name: 'f', token: 'pst-x', pasword: SECRET },
    { name: '', token: 'pst-x' },
    { name: 'コナ', token: 'pst-x' },
    { name: 'line\nbreak', token: 'pst-x' },
    null,
    SECRET,
  ];
  const faults = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: JSON.stringify(wrong) });
  const places = new Set(faults.map(({ variable }) => /^NOVELAI_ACCOUNTS\[(\d+)\]/.exec(variable)?.[1]));
  assert.deepEqual(places, new Set(wrong.map((_, index) => String(index))));
  assert.ok(!faults.some(({ problem }) => problem.includes(SECRET)));
});

test('accounts, one name twice is refused, also when one of them is a default', () => {
  const faults = faultsOf({ ...LEAST, NOVELAI_ACCOUNTS: JSON.stringify([{ name: 'account-1', token: 'pst-y' }]) });
  assert.deepEqual(
    faults.map(({ variable }) => variable),
    ['NOVELAI_ACCOUNTS'],
  );
  assert.match(faults[0]!.problem, /"account-1" twice/);
});

test('client tokens, are split, trimmed and named', () => {
  const { clients } = readConfig({ ...LEAST, SERVER_TOKENS: ' abc , bot : d:e ,,  xyz ' });
  assert.deepEqual(clients, [
    { name: 'client-1', token: 'abc' },
    { name: 'bot', token: 'd:e' },
    { name: 'client-3', token: 'xyz' },
  ]);
});

test('client tokens, faults never show a token', () => {
  for (const tokens of [`a:${SECRET},b:${SECRET}`, `a:${SECRET} x`, `:${SECRET}`, `a:${SECRET},a:other`, 'name:']) {
    const faults = faultsOf({ ...LEAST, SERVER_TOKENS: tokens });
    assert.ok(faults.length > 0, tokens);
    assert.ok(!faults.some(({ problem }) => problem.includes(SECRET)), tokens);
  }
});

test('no client token, proposes one of the form every client accepts', () => {
  const faults = missingIdentities({ hasAccounts: true, hasClients: false });
  assert.match(faults[0]!.problem, /SERVER_TOKENS=me:pst-[A-Za-z0-9]{64}$/);
});

test('config error, its message holds every fault on a line of its own', () => {
  assert.throws(
    () => readConfig({ PORT: 'x' }),
    (error: Error) => error.message.split('\n').length === 3 && /^PORT: /m.test(error.message),
  );
});

// Tests `account …`: secrets never on the command line nor on the disk in plain, accounts tried out against a simulated NovelAI.
import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DEFAULT_ACCOUNT, startSimulator, type Simulator } from '../../../simulator/simulator.ts';
import { commandLine, type CommandLine, type RunOptions } from './command-line.ts';

const { email, password } = DEFAULT_ACCOUNT;
let simulator: Simulator;
before(async () => {
  simulator = await startSimulator();
});
after(() => simulator.close());

function hosts(): Record<string, string> {
  return { NOVELAI_IMAGE_URL: simulator.imageUrl };
}

function addMain({ run }: CommandLine, options: RunOptions = { answer: password }) {
  return run(['account', 'add', 'main', '--email', email], options);
}

/** Every byte of every file in the folder, the database's side files included. */
async function bytesOf(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name)));
  return Buffer.concat(await Promise.all(files)).toString('latin1');
}

for (const [how, options] of [
  ['a prompt', { answer: password }],
  ['standard input', { input: `${password}\r\nnot this` }],
  ['the environment', { environment: { ACCOUNT_PASSWORD: password }, input: 'not this' }],
] as const)
  test(`account add, the password from ${how} works at once`, async (t) => {
    const line = await commandLine(t, hosts());
    const { out, err, exitCode } = await addMain(line, options);
    assert.equal(exitCode, 0, err);
    assert.match(out, /Account "main" was added/);
    assert.match(out, /✓ account main: logged in, Opus, [\d,]+ Anlas, V5 allowance \d+ %/);
    assert.ok(!out.includes(password) && !err.includes(password));
  });

test('account add, a persistent token, without a test', async (t) => {
  const { run } = await commandLine(t);
  const { out, exitCode } = await run(['account', 'add', 'token', '--no-test'], { input: 'pst-made-up-too\n' });
  assert.equal(exitCode, 0);
  assert.equal(out.trim().split('\n').length, 1);
  const listed = await run(['account', 'list']);
  assert.match(listed.out, /^token {2,}token {2,}.*database {2,}enabled$/m);
});

test('account add, no secret given: says how to give one', async (t) => {
  const { run } = await commandLine(t);
  const { err, exitCode } = await run(['account', 'add', 'main', '--email', email]);
  assert.equal(exitCode, 1);
  assert.match(err, /^Password: expected .* prompt, .* standard input, or the variable ACCOUNT_PASSWORD\.\n$/);
});

test('account add, a proxy with a password is not taken from the command line', async (t) => {
  const { run } = await commandLine(t);
  const proxy = 'socks5://user:proxypass@127.0.0.1:1080';
  const args = ['account', 'add', 'main', '--no-test'];
  const refused = await run([...args, '--proxy', proxy], { input: 'pst-x' });
  assert.equal(refused.exitCode, 1);
  assert.match(refused.err, /ACCOUNT_PROXY/);
  assert.ok(!refused.err.includes('proxypass'));
  assert.equal((await run(args, { input: 'pst-x', environment: { ACCOUNT_PROXY: proxy } })).exitCode, 0);
  const { out } = await run(['account', 'list']);
  assert.match(out, /socks5:\/\/127\.0\.0\.1:1080/);
  assert.ok(!out.includes('proxypass'));
});

test('account commands, no secret in any file of the data folder', async (t) => {
  const line = await commandLine(t, hosts());
  await addMain(line, { answer: password, environment: { ACCOUNT_PROXY: '' } });
  const { out } = await line.run(['client', 'add', 'bot', '--json']);
  const { token } = JSON.parse(out) as { token: string };
  const bytes = await bytesOf(line.dataDir);
  assert.ok(bytes.includes('sealed1.') && bytes.includes('bot'), 'the test looks at the right files');
  for (const secret of [email, email.split('@')[0] ?? email, password, token, token.slice(4, 30)])
    assert.ok(!bytes.includes(secret), `${secret.slice(0, 4)}… is in the files`);
});

test('account list, both kinds and nothing secret', async (t) => {
  const line = await commandLine(t, { NOVELAI_USERNAME: email, NOVELAI_PASSWORD: password });
  await line.run(['account', 'add', 'main', '--email', email, '--no-test'], { answer: password });
  await line.run(['account', 'disable', 'main']);
  const { out } = await line.run(['account', 'list']);
  assert.match(out, /^account-1 {2,}.…@[\w.]+ {2,}.*\.env {2,}enabled$/m);
  assert.match(out, /^main {2,}.…@[\w.]+ {2,}.*database {2,}disabled$/m);
  const { out: json } = await line.run(['account', 'list', '--json']);
  assert.deepEqual(
    (JSON.parse(json) as { name: string; state: string }[]).map(({ name, state }) => [name, state]),
    [
      ['account-1', 'enabled'],
      ['main', 'disabled'],
    ],
  );
  for (const secret of [email, password]) assert.ok(!out.includes(secret) && !json.includes(secret));
});

test('account test, tells what is wrong with each and what to do', async (t) => {
  const line = await commandLine(t, { ...hosts(), NOVEL_TOKEN: 'pst-nobody-has' });
  await addMain(line);
  await line.run(['account', 'add', 'mistyped', '--email', email, '--no-test'], { answer: 'wrong password' });
  await line.run(['account', 'disable', 'mistyped']);
  const { out, exitCode } = await line.run(['account', 'test']);
  assert.equal(exitCode, 1);
  assert.match(out, /✗ account account-1: NovelAI refused the token \(401\)\n {4}Make a new persistent token/);
  assert.match(out, /✓ account main: logged in/);
  assert.match(
    out,
    /✗ account mistyped \(disabled\): NovelAI refused the e-mail address or password \(401\)\n {4}Log in/,
  );
  assert.equal((await line.run(['account', 'test', 'main'])).exitCode, 0);
  const nobody = await line.run(['account', 'test', 'nobody']);
  assert.equal(nobody.exitCode, 1);
  assert.match(nobody.err, /There is no account "nobody"/);
});

test('account remove, it and its credentials are gone', async (t) => {
  const line = await commandLine(t, hosts());
  await addMain(line);
  assert.match((await line.run(['account', 'remove', 'main'])).out, /forgotten/);
  assert.doesNotMatch((await line.run(['account', 'list'])).out, /main/);
  assert.match((await line.run(['account', 'remove', 'main'])).err, /There is no account "main"/);
  assert.match((await line.run(['account', 'remove', 'account-1'])).err, /account of the environment/);
});

test('account commands, a wrong SECRET_KEY: one line, and the data untouched', async (t) => {
  const line = await commandLine(t, hosts());
  await addMain(line, { answer: password, config: { secretKey: 'the right one' } });
  const files = await bytesOf(line.dataDir);
  for (const config of [{ secretKey: 'a wrong one' }, {}]) {
    const { out, err, exitCode } = await line.run(['account', 'list'], { config });
    assert.equal(exitCode, 1);
    assert.equal(out, '');
    assert.match(err, /^[^\n]*(SECRET_KEY|secret\.key)[^\n]*Nothing was changed\.\n$/);
  }
  assert.equal(await bytesOf(line.dataDir), files);
  assert.equal((await line.run(['account', 'test', 'main'], { config: { secretKey: 'the right one' } })).exitCode, 0);
});

test('account commands, a lost key file: one line; put back, all is well', async (t) => {
  const line = await commandLine(t, hosts());
  await addMain(line);
  const keyFile = join(line.dataDir, 'secret.key');
  const key = await readFile(keyFile);
  await rm(keyFile);
  const lost = await line.run(['account', 'list']);
  assert.equal(lost.exitCode, 1);
  assert.match(lost.err, /^The key in [^\n]*secret\.key is missing[^\n]*put that file back[^\n]*\n$/);
  await writeFile(keyFile, key, { mode: 0o600 });
  assert.equal((await line.run(['account', 'test', 'main'])).exitCode, 0);
});

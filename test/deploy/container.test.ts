// The container: what its Dockerfile says, and the image's contents run as it runs them: not as root, in a tree nobody may write.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { startSimulator } from '../../simulator/simulator.ts';
import { newClientToken } from '../../src/lib/random-text.ts';
import { call } from '../support/http-client.ts';
import { generationBody, madeUpAccounts } from '../support/stack.ts';
import { until } from '../support/until.ts';
import {
  buildInFolder,
  commandOf,
  copiesOf,
  environmentOf,
  isInProject,
  isLetIn,
  parseDockerfile,
  textsOf,
  type Stage,
} from './dockerfile.ts';
import { freePort } from './front.ts';
import { findTool, readProjectFile } from './tools.ts';

const stages = parseDockerfile(readProjectFile('Dockerfile'));
const last = stages.at(-1) as Stage;
const ignoreFile = readProjectFile('.dockerignore');
const manifest = JSON.parse(readProjectFile('package.json')) as { files: string[] };

test('Dockerfile, an ordinary user, a health check, a signal, a port, volumes', () => {
  for (const { image } of stages) assert.match(image, /^node:24(\.\d+)*-\w*-?slim$|^node:24-slim$/);
  const environment = environmentOf(last);
  assert.equal(environment['HOST'], '0.0.0.0');
  assert.match(textsOf(last, 'USER').join(), /^[1-9]\d*:[1-9]\d*$/);
  assert.deepEqual(textsOf(last, 'STOPSIGNAL'), ['SIGTERM']);
  assert.deepEqual(textsOf(last, 'EXPOSE'), [environment['PORT']]);
  assert.deepEqual(commandOf(last, 'VOLUME'), [environment['DATA_DIR'], environment['LOG_DIR']]);
  assert.match(textsOf(last, 'HEALTHCHECK').join(), /\/livez/);
});

test('Dockerfile, every file it copies is there and let into the build; nothing secret is', () => {
  const copied = stages.flatMap(copiesOf).filter(({ from }) => from === undefined);
  assert.ok(copied.length > 5);
  for (const source of copied.flatMap(({ sources }) => sources)) {
    assert.ok(isInProject(source), source);
    assert.ok(isLetIn(ignoreFile, source), `${source} is kept out by .dockerignore`);
  }
  for (const path of ['.env', '.git', 'data', 'data/proxy.db', 'data/secret.key', 'logs', 'node_modules', 'dist'])
    assert.equal(isLetIn(ignoreFile, path), false, path);
});

test('Dockerfile, the image holds what the package holds, and its packages', () => {
  const shipped = new Set([...manifest.files, 'package.json', 'LICENSE', 'node_modules']);
  const held = copiesOf(last).flatMap(({ sources }) => sources.map((source) => source.replace(/^\/app\//, '')));
  assert.deepEqual(
    held.filter((path) => !shipped.has(path)),
    [],
  );
  for (const needed of ['bin', 'dist', 'node_modules', 'package.json', 'LICENSE'])
    assert.ok(held.includes(needed), needed);
});

/** Builds the image's contents in a folder, with a Node of its own beside them. */
async function build(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'image-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  chmodSync(dir, 0o755);
  const root = await buildInFolder(stages, dir);
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  copyFileSync(process.execPath, join(root, 'usr/bin/node'), constants.COPYFILE_FICLONE);
  return root;
}

/** Gives the command line that runs something as the image's user and without any privilege, where this process may do so. */
function asImageUser(command: readonly string[]): string[] {
  if (process.getuid?.() !== 0 || !findTool('setpriv')) return [...command];
  const [user = '', group = ''] = textsOf(last, 'USER').join().split(':');
  const rights = ['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
  return ['setpriv', `--reuid=${user}`, `--regid=${group}`, ...rights, ...command];
}

/** Everything in a folder that could show a write: names, sizes, times. */
function inventory(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => {
    const status = statSync(join(folder, name), { throwIfNoEntry: false });
    return `${name} ${status?.size} ${status?.mtimeMs}`;
  });
}

test('image, built and run without rights in a tree that is not its own: alive, ready, a picture, a clean end', async (t) => {
  const root = await build(t);
  const app = join(root, textsOf(last, 'WORKDIR').join());
  assert.deepEqual(
    readdirSync(join(app, 'node_modules')).filter((name) => name.startsWith('node-')),
    [],
    'no second Node',
  );
  assert.equal(existsSync(join(app, 'node_modules/typescript')), false, 'no development packages');
  const before = inventory(app);

  const accounts = madeUpAccounts(1);
  const simulator = await startSimulator({ accounts, fixedLatencyMs: 20, imageScale: 0.05 });
  t.after(() => simulator.close());
  const image = environmentOf(last);
  const token = newClientToken();
  const port = await freePort();
  const inside = (name: string) => join(root, image[name] ?? '');
  const options = {
    cwd: app,
    env: {
      ...image,
      PATH: `${join(root, 'usr/bin')}:/usr/bin:/bin`,
      DATA_DIR: inside('DATA_DIR'),
      LOG_DIR: inside('LOG_DIR'),
      PORT: String(port),
      SERVER_TOKENS: token,
      NOVELAI_USERNAME: accounts[0]?.email,
      NOVELAI_PASSWORD: accounts[0]?.password,
      NOVELAI_IMAGE_URL: simulator.imageUrl,
      NOVELAI_TEXT_URL: simulator.textUrl,
      NOVELAI_API_URL: simulator.apiUrl,
    },
  };
  const [program = '', ...args] = asImageUser([...commandOf(last, 'ENTRYPOINT'), ...commandOf(last, 'CMD')]);
  const service = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => service.kill('SIGKILL'));
  let said = '';
  for (const stream of [service.stdout, service.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(() => /"address"/.test(said) || service.exitCode !== null, 20_000);
  assert.equal(service.exitCode, null, said);

  const address = `http://127.0.0.1:${port}`;
  const get = (path: string) => call(address + path, { method: 'GET' });
  assert.equal((await get('/livez')).status, 200);
  while ((await get('/readyz')).status !== 200) await new Promise((resolve) => setTimeout(resolve, 20));
  const headers = { authorization: `Bearer ${token}` };
  const answer = await call(`${address}/ai/generate-image`, { headers, body: generationBody() });
  assert.equal(answer.status, 200, answer.text);

  const [check = '', ...checkArgs] = asImageUser(commandOf(last, 'HEALTHCHECK'));
  const isHealthy = () =>
    promisify(execFile)(check, checkArgs, options).then(
      () => true,
      () => false,
    );
  assert.equal(await isHealthy(), true);
  // As `systemctl reload` and `docker kill -s HUP` do.
  service.kill('SIGHUP');
  await until(() => said.includes('"cause":"SIGHUP"') || service.exitCode !== null);
  assert.equal(await isHealthy(), true, said);
  service.kill('SIGTERM');
  assert.deepEqual(await once(service, 'exit'), [0, null], said);
  assert.equal(await isHealthy(), false);

  assert.deepEqual(inventory(app), before, 'nothing was written beside the program');
  for (const [folder, file] of [
    [options.env.DATA_DIR, 'proxy.db'],
    [options.env.LOG_DIR, 'app.log'],
  ] as const) {
    assert.ok(readdirSync(folder).includes(file), file);
    if (program === 'setpriv') assert.equal(statSync(join(folder, file)).uid, 1000);
  }
});

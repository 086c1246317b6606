// Tries real client programs, unchanged but for address and token, on the service and prints what works for each.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { attempt } from './attempt.ts';
import { tryTheCheck } from './checker-trial.ts';
import { type Feature, FEATURES, isFeature } from './features.ts';
import { type Gateway, startDirect, startService } from './gateway.ts';
import { drawInputs } from './inputs.ts';
import { CannotInstall, install } from './install.ts';
import { CLIENTS, type ClientSpec, SERVED_FEATURES } from './manifest.ts';
import { type ClientResults, details, table } from './table.ts';

const USAGE = `node bin/node24.mjs conformance/run.ts [options]
  --only NAME,...      only these clients (${CLIENTS.map(({ name }) => name).join(', ')})
  --features NAME,...  try these features, or "all" (default: those the service serves now)
  --direct             try against the simulator itself, without the service (default features: all)
  --install-only       install the clients and stop
  --jobs N             clients at a time (default 2)
  --no-skip            a client that cannot be installed on this machine is a failure
  --plant KIND         spoil NovelAI's answers in this way (garbage, truncate, short-body, ...): now a client that says
                       all is well is the failure, which shows that these checks can fail
  --json FILE          write the results there too
  --keep               keep the work folder: each client's log and pictures`;

// Ended by a signal, Node would not run what is to be run at the exit, and the clients' processes would stay.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const options = readOptions();
process.exitCode = await main();

async function main(): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'conformance-'));
  // Set early, so that whatever ends this process, nothing is left behind.
  process.on('exit', () => {
    if (!options.isKept) rmSync(work, { recursive: true, force: true });
  });
  const missing = await installAll(options.clients);
  if (options.isInstallOnly) return missing.size > 0 && !options.maySkip ? 1 : 0;
  await drawInputs(join(work, 'inputs'));
  await tryTheCheck(join(work, 'inputs'));
  const gateway = await (options.isDirect
    ? startDirect(CLIENTS, options.planted)
    : startService(CLIENTS, join(work, 'service'), options.planted));
  let rows: ClientResults[];
  try {
    rows = await inTurn(options.clients, (client) => tryClient(client, gateway, missing.get(client), work));
  } finally {
    await gateway.stop();
  }
  if (options.isKept) console.log(`Logs and pictures: ${work}\n`);
  return report(rows, gateway);
}

async function installAll(clients: readonly ClientSpec[]): Promise<Map<ClientSpec, string>> {
  const missing = new Map<ClientSpec, string>();
  await inTurn(clients, async (client) => {
    const startedMs = performance.now();
    try {
      if (!(await install(client))) return;
      console.log(
        `Installed ${client.name} ${client.version} in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`,
      );
    } catch (error) {
      if (!(error instanceof CannotInstall)) throw error;
      missing.set(client, error.message);
    }
  });
  return missing;
}

async function tryClient(
  client: ClientSpec,
  gateway: Gateway,
  skippedBecause: string | undefined,
  work: string,
): Promise<ClientResults> {
  const leftOut = options.isDirect ? client.serviceOnly : client.later;
  const features = client.features.filter(
    (feature) => options.features.includes(feature) && !leftOut?.includes(feature),
  );
  if (skippedBecause !== undefined) return { client, results: [], skippedBecause, durationMs: 0 };
  if (features.length === 0) return { client, results: [], durationMs: 0 };
  const startedMs = performance.now();
  const results = await attempt({
    client,
    features,
    access: gateway.accessOf(client),
    inputFolder: join(work, 'inputs'),
    workFolder: join(work, client.name),
  });
  return { client, results, durationMs: performance.now() - startedMs };
}

function report(rows: ClientResults[], gateway: Gateway): number {
  const results = rows.flatMap((row) => row.results);
  const skipped = rows.filter((row) => row.skippedBecause !== undefined).length;
  const failures = results.filter(({ outcome }) => outcome === 'fail').length;
  const passed = options.planted === undefined ? results.length - failures : failures;
  const faults = gateway.faults();
  if (passed === 0) faults.push('nothing passed at all');
  if (skipped > 0 && !options.maySkip) faults.push(`${skipped} clients could not be installed`);
  const failed = results.length - passed + faults.length;
  console.log(`${details(rows)}\n\n${table(rows)}\n\n${gateway.summary()}`);
  console.log(
    `refused: NovelAI itself no longer serves that client's way of asking; its own answer reached the client.`,
  );
  if (options.planted !== undefined) console.log(`Planted: ${options.planted}. Here FAIL is what has to be.`);
  for (const fault of faults) console.log(`FAULT: ${fault}`);
  console.log(`\n${passed} passed, ${failed} failed, ${options.maySkip ? skipped : 0} skipped`);
  if (options.jsonFile !== undefined) {
    const rowsOut = rows.map(({ client, ...rest }) => ({ client: client.name, version: client.version, ...rest }));
    writeFileSync(options.jsonFile, `${JSON.stringify({ rows: rowsOut, faults }, null, 2)}\n`);
  }
  return failed > 0 ? 1 : 0;
}

/** Runs `work` for each item, at most `--jobs` at a time; results keep the items' order. */
async function inTurn<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...items.entries()];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({ length: options.jobs }, worker));
  return results;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      features: { type: 'string' },
      direct: { type: 'boolean', default: false },
      'install-only': { type: 'boolean', default: false },
      jobs: { type: 'string', default: '2' },
      'no-skip': { type: 'boolean', default: false },
      plant: { type: 'string' },
      json: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1)
    throw new Error(`--jobs is a whole number from 1, not ${values.jobs}\n${USAGE}`);
  return {
    clients: chosenClients(values.only),
    features: chosenFeatures(values.features ?? (values.direct ? 'all' : SERVED_FEATURES.join(','))),
    isDirect: values.direct,
    isInstallOnly: values['install-only'],
    maySkip: !values['no-skip'],
    isKept: values.keep,
    planted: values.plant,
    jsonFile: values.json,
    jobs,
  };
}

function chosenClients(names: string | undefined): readonly ClientSpec[] {
  if (names === undefined) return CLIENTS;
  return names.split(',').map((name) => {
    const client = CLIENTS.find((candidate) => candidate.name === name.trim());
    if (client === undefined) throw new Error(`There is no client named ${name}\n${USAGE}`);
    return client;
  });
}

function chosenFeatures(names: string): readonly Feature[] {
  if (names === 'all') return FEATURES;
  return names.split(',').map((name) => {
    if (!isFeature(name.trim())) throw new Error(`There is no feature named ${name}; they are ${FEATURES.join(', ')}`);
    return name.trim() as Feature;
  });
}

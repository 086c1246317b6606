// Clients that read slower than NovelAI sends: their accounts are free as soon as NovelAI is done, and not a byte is lost.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

/** Far more than the buffers of a connection hold. */
const ANSWER_BYTES = 16 * 1024 ** 2;
const hasOpenFileList = existsSync('/proc/self/fd');

interface SlowReader {
  response: IncomingMessage;
  /** Reads the rest at full speed; gives the hash of everything. */
  catchUp(): Promise<string>;
  leave(): void;
  receivedBytes: number;
}

async function start(context: TestContext, accounts: number, environment: Record<string, string> = {}): Promise<Stack> {
  const stack = await startStack({
    accounts,
    simulator: { cannedAnswerBytes: ANSWER_BYTES },
    environment: { READ_AHEAD_MEMORY: '256k', ...environment },
  });
  context.after(() => stack.close());
  return stack;
}

/** Asks for a picture, and reads its head and first bytes only. */
function readSlowly(stack: Stack, prompt: string): Promise<SlowReader> {
  const body = generationBody({ prompt });
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${stack.address}/ai/generate-image`,
      {
        method: 'POST',
        agent: false,
        headers: {
          authorization: `Bearer ${stack.token}`,
          'content-type': 'application/json',
          'content-length': body.length,
        },
      },
      (response) => {
        const hash = createHash('sha256');
        const reader: SlowReader = {
          response,
          receivedBytes: 0,
          catchUp: () =>
            new Promise((done, fail) => {
              response.once('end', () => (response.complete ? done(hash.digest('hex')) : fail(new Error('cut off'))));
              response.once('error', fail);
              response.resume();
            }),
          leave: () => outgoing.destroy(),
        };
        response.on('data', (chunk: Buffer) => {
          hash.update(chunk);
          reader.receivedBytes += chunk.length;
        });
        response.pause();
        assert.equal(response.statusCode, 200);
        resolve(reader);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Spool files this process has open; they have no name any more. */
function openSpoolFiles(stack: Stack): number {
  const isSpool = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(join(stack.dir, 'data', 'spool'));
    } catch {
      return false;
    }
  };
  return hasOpenFileList ? readdirSync('/proc/self/fd').filter(isSpool).length : 0;
}

test('slow readers, their accounts are free when NovelAI has ended, and the bytes are whole in the end', async (context) => {
  const stack = await start(context, 4);
  const readers = await Promise.all(Array.from({ length: 4 }, (_, index) => readSlowly(stack, `slow ${index}`)));
  await until(() => stack.simulator.truth.openRequests === 0);
  await stack.settled();
  assert.deepEqual(stack.service.queue.stats('image').idleSlots, 4);
  for (const { receivedBytes } of readers)
    assert.ok(receivedBytes < ANSWER_BYTES / 4, 'they have read next to nothing');
  if (hasOpenFileList) assert.equal(openSpoolFiles(stack), 4);

  const quick = await stack.generate(generationBody({ prompt: 'quick' }));
  assert.equal(quick.status, 200);
  assert.ok(Number(quick.headers['x-queue-wait']) < 1000, 'no account was held');

  const hashes = await Promise.all(readers.map((reader) => reader.catchUp()));
  const sent = stack.simulator.truth.rows().filter(({ endpoint }) => endpoint === 'generate-image');
  assert.equal(sent.length, 5);
  for (const [index, hash] of hashes.entries()) {
    assert.equal(hash, sent[0]?.answerSha256, `reader ${index}`);
    assert.equal(readers[index]?.receivedBytes, ANSWER_BYTES);
  }
  await until(() => openSpoolFiles(stack) === 0);
  assert.deepEqual(readdirSync(join(stack.dir, 'data', 'spool')), []);
});

test('slow readers, one that leaves frees what was kept for it', async (context) => {
  const stack = await start(context, 1);
  const reader = await readSlowly(stack, 'leaver');
  await stack.settled();
  if (hasOpenFileList) assert.equal(openSpoolFiles(stack), 1);
  reader.response.once('error', () => undefined);
  reader.leave();
  await until(() => openSpoolFiles(stack) === 0);
  assert.equal((await stack.generate(generationBody())).body.length, ANSWER_BYTES);
});

test('slow readers, where no spool can be written NovelAI is slowed down instead, and nothing is lost', async (context) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'proxy-no-spool-'));
  context.after(() => rm(dataDir, { recursive: true, force: true }));
  // Where the folder should be there is a file.
  await writeFile(join(dataDir, 'spool'), '');
  const stack = await start(context, 1, { DATA_DIR: dataDir, IDLE_TIMEOUT: '400ms' });
  const reader = await readSlowly(stack, 'back-pressure');
  // Twice the idle limit: a pause of this side's making is not NovelAI's silence.
  await new Promise((resolve) => setTimeout(resolve, 800));
  assert.equal(stack.service.running, 1, 'the account is held: there is nowhere to put the rest');
  assert.equal(stack.simulator.truth.openRequests, 1);
  assert.equal(await reader.catchUp(), stack.simulator.truth.rows().at(-1)?.answerSha256);
  assert.equal(reader.receivedBytes, ANSWER_BYTES);
  await stack.settled();
  assert.equal((await stack.generate(generationBody())).body.length, ANSWER_BYTES);
});

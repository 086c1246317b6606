// Tests of the way of an answer to the client: byte for byte, at the client's pace, without slowing NovelAI down for it.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { NativeSink } from '../../../src/dialects/native/native-sink.ts';
import type { AnswerTap } from '../../../src/dispatch/answer-tap.ts';
import { passedHeaders, Relay } from '../../../src/dispatch/relay.ts';
import { Budget } from '../../../src/lib/budget.ts';
import { settle } from '../../support/fake-clock.ts';
import { FakeSink } from '../../support/fake-sink.ts';
import { until } from '../../support/until.ts';

const dir = mkdtempSync(join(tmpdir(), 'relay-test-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const HEAD = { 'content-type': 'binary/octet-stream' };

function setUp({
  memoryBytes = 1024 ** 2,
  diskBytes = 1024 ** 3,
  spoolDir = dir,
  tap = undefined as AnswerTap | undefined,
} = {}) {
  const sink = new FakeSink();
  const memory = new Budget(memoryBytes);
  const disk = new Budget(diskBytes);
  const relay = new Relay(sink, { memory, disk, dir: spoolDir }, tap);
  const all = { sink, relay, memory, disk, delivery: undefined as string | undefined, rooms: 0 };
  relay.onRoom = () => (all.rooms += 1);
  void relay.finished.then((delivery) => (all.delivery = delivery));
  return all;
}

function recordingTap() {
  const seen: string[] = [];
  const tap: AnswerTap = {
    head: (status) => seen.push(`head ${status}`),
    data: (chunk) => seen.push(chunk.toString()),
    end: (isWhole) => seen.push(isWhole ? 'whole' : 'broken'),
  };
  return { seen, tap };
}

test('relay, a client that keeps up gets every chunk as it comes, and nothing is stored', async () => {
  const { sink, relay, memory, ...all } = setUp();
  relay.head(200, HEAD);
  for (const text of ['a', 'b', 'c']) {
    assert.equal(relay.push(Buffer.from(text)), true);
    assert.equal(sink.chunks.at(-1)?.toString(), text);
  }
  assert.equal(memory.used + all.disk.used, 0);
  relay.end();
  assert.equal(await relay.finished, 'delivered');
  assert.equal(sink.body.toString(), 'abc');
  assert.equal(relay.sizeBytes, 3);
  assert.deepEqual(sink.violations, []);
});

test('relay, a slow client never makes NovelAI wait, and gets the rest in order when it catches up', async () => {
  const { sink, relay, memory } = setUp();
  sink.takes = () => false;
  relay.head(200, HEAD);
  for (let n = 0; n < 20; n += 1) assert.equal(relay.push(Buffer.from(`${n},`)), true);
  relay.end();
  await settle();
  assert.equal(sink.body.toString(), '0,');
  assert.ok(memory.used > 0);
  sink.drain();
  await until(() => sink.chunks.length === 2);
  while (!sink.hasEnded) {
    sink.drain();
    await settle(1);
  }
  assert.equal(await relay.finished, 'delivered');
  assert.equal(sink.body.toString(), Array.from({ length: 20 }, (_, n) => `${n},`).join(''));
  assert.equal(memory.used, 0);
  assert.deepEqual(sink.violations, []);
});

test('relay, what comes while the rest is read from the file waits its turn', async () => {
  const { sink, relay, disk } = setUp({ memoryBytes: 0 });
  sink.takes = () => false;
  relay.head(200, HEAD);
  relay.push(Buffer.from('1'));
  relay.push(Buffer.from('2'));
  await until(() => disk.used === 1);
  await settle(20);
  sink.takes = () => true;
  sink.drain();
  for (const text of ['3', '4']) {
    relay.push(Buffer.from(text));
    await settle(1);
  }
  relay.end();
  assert.equal(await relay.finished, 'delivered');
  assert.equal(sink.body.toString(), '1234');
  assert.deepEqual(sink.violations, []);
});

test('relay, is not delivered before the last byte has gone out', async () => {
  const all = setUp();
  all.sink.finishesAtOnce = false;
  all.relay.head(200, HEAD);
  all.relay.push(Buffer.from('x'));
  all.relay.end();
  await settle();
  assert.equal(all.delivery, undefined);
  all.sink.finish();
  await settle();
  assert.equal(all.delivery, 'delivered');
});

test('relay, an answer without a body is delivered', async () => {
  const { relay, sink } = setUp();
  relay.head(204, {});
  relay.end();
  assert.equal(await relay.finished, 'delivered');
  assert.equal(sink.body.length, 0);
});

test('relay, a client that leaves lets NovelAI finish, frees what was stored, and is told apart', async () => {
  for (const moment of ['before the head', 'kept up', 'slow', 'pumping', 'after the end', 'while ending']) {
    const all = setUp({ memoryBytes: 2 });
    const { sink, relay } = all;
    sink.finishesAtOnce = false;
    if (moment === 'before the head') sink.leave();
    relay.head(200, HEAD);
    sink.takes = () => moment === 'kept up';
    for (let n = 0; n < 10; n += 1) relay.push(Buffer.from('0123456789'));
    if (moment === 'pumping') sink.drain();
    if (moment === 'while ending') {
      sink.takes = () => true;
      sink.drain();
    }
    if (moment === 'after the end' || moment === 'while ending') relay.end();
    if (moment === 'while ending') await until(() => sink.hasEnded);
    sink.leave();
    assert.equal(relay.push(Buffer.from('more')), true, moment);
    relay.end();
    assert.equal(await relay.finished, 'client_left', moment);
    await until(() => all.memory.used + all.disk.used === 0);
    assert.deepEqual(sink.violations, [], moment);
  }
});

test('relay, a broken answer is cut so that nobody takes it for whole', async () => {
  for (const isSlow of [false, true]) {
    const all = setUp();
    all.sink.takes = () => !isSlow;
    all.relay.head(200, HEAD);
    all.relay.push(Buffer.from('a'));
    all.relay.push(Buffer.from('b'));
    all.relay.cut();
    assert.equal(await all.relay.finished, 'cut');
    assert.equal(all.sink.wasCut, true);
    assert.equal(all.sink.hasEnded, false);
    assert.equal(all.memory.used, 0);
    all.sink.leave();
    assert.deepEqual(all.sink.violations, []);
  }
});

test('relay, after a cut nothing more is written, whatever still comes', async () => {
  const all = setUp();
  all.relay.head(200, HEAD);
  all.relay.cut();
  assert.equal(all.relay.push(Buffer.from('late')), true);
  all.relay.end();
  all.relay.cut();
  await settle();
  assert.deepEqual(all.sink.violations, []);
  assert.equal(all.delivery, 'cut');
});

test('relay, back-pressure reaches NovelAI only when memory and disk are at their end, and is lifted', async () => {
  const blocked = join(dir, 'no-folder');
  writeFileSync(blocked, '');
  const all = setUp({ memoryBytes: 0, spoolDir: join(blocked, 'spool') });
  all.sink.takes = () => false;
  all.relay.head(200, HEAD);
  assert.equal(all.relay.push(Buffer.from('1')), true);
  await until(() => !all.relay.push(Buffer.from('2')));
  assert.equal(all.rooms, 0);
  all.sink.takes = () => true;
  all.sink.drain();
  await until(() => all.rooms === 1);
  all.relay.end();
  assert.equal(await all.relay.finished, 'delivered');
  assert.match(all.sink.body.toString(), /^12+$/);
  assert.equal(all.sink.body.length, all.relay.sizeBytes);
});

test('tap, sees the whole answer, also when the client has left, and how it ended', async () => {
  for (const isWhole of [true, false]) {
    const { seen, tap } = recordingTap();
    const { relay, sink } = setUp({ tap });
    relay.head(200, HEAD);
    relay.push(Buffer.from('a'));
    sink.leave();
    relay.push(Buffer.from('b'));
    if (isWhole) relay.end();
    else relay.cut();
    await relay.finished;
    assert.deepEqual(seen, ['head 200', 'a', 'b', isWhole ? 'whole' : 'broken']);
  }
});

test('events, are written whole however the chunks fall, also to a slow client', async () => {
  const events = ['event: a\ndata: 1\n\n', 'event: b\ndata: 22\n\n', 'data: rest without an end'];
  const bytes = Buffer.from(events.join(''));
  for (const size of [1, 3, 7, 100])
    for (const isSlow of [false, true]) {
      const { relay, sink } = setUp();
      sink.takes = () => !isSlow;
      relay.head(200, { 'content-type': 'text/event-stream' });
      for (let at = 0; at < bytes.length; at += size) relay.push(bytes.subarray(at, at + size));
      relay.end();
      while (!sink.hasEnded) {
        sink.drain();
        await settle(1);
      }
      assert.equal(await relay.finished, 'delivered');
      assert.deepEqual(
        sink.chunks.map((chunk) => chunk.toString()),
        events,
      );
    }
});

test('headers, only what is between NovelAI and the client passes', () => {
  const passed = {
    'content-type': 'binary/octet-stream',
    'content-disposition': 'attachment; filename=images.zip',
    'content-length': '5',
    'content-encoding': 'br',
    'cache-control': 'no-cache',
    'retry-after': '7',
  };
  const kept = {
    server: 'cloudflare',
    'set-cookie': ['a=b'],
    connection: 'close',
    'transfer-encoding': 'chunked',
    vary: 'x',
  };
  assert.deepEqual(passedHeaders({ ...passed, ...kept }), passed);
});

test('headers, one beyond Latin letters reaches the client with the bytes that NovelAI sent', async (context) => {
  const name = 'attachment; filename="絵.zip"';
  const headers = passedHeaders({ 'content-disposition': name });
  const server = createServer((_incoming, response) => {
    const relay = new Relay(new NativeSink(response), { memory: new Budget(0), disk: new Budget(0), dir });
    relay.head(200, headers);
    relay.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => server.close());
  const got = await new Promise<string | undefined>((resolve, reject) => {
    const { port } = server.address() as AddressInfo;
    request({ port, host: '127.0.0.1', agent: false }, (response) => {
      response.resume();
      resolve(response.headers['content-disposition']);
    })
      .on('error', reject)
      .end();
  });
  assert.equal(Buffer.from(got ?? '', 'latin1').toString('utf8'), name);
});

test('any sequence, the client has a prefix of the answer, all of it when delivered, and exactly one end', async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.nat(4000).map((size) => ({ do: 'push' as const, size })) },
    { weight: 3, arbitrary: fc.constant({ do: 'drain' as const, size: 0 }) },
    {
      weight: 3,
      arbitrary: fc.boolean().map((takes) => ({ do: takes ? ('keepUp' as const) : ('slowDown' as const), size: 0 })),
    },
    { weight: 3, arbitrary: fc.nat(3).map((size) => ({ do: 'wait' as const, size })) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('leave' as const, 'end' as const, 'cut' as const).map((act) => ({ do: act, size: 0 })),
    },
  );
  const budget = fc.constantFrom(0, 100, 5000, 1024 ** 2);
  const outcomes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), budget, budget, async (steps, memoryBytes, diskBytes) => {
      const all = setUp({ memoryBytes, diskBytes });
      const { sink, relay } = all;
      const sent: Buffer[] = [];
      let isOver = false;
      relay.head(200, HEAD);
      for (const next of steps) {
        if (next.do === 'push' && !isOver) {
          sent.push(Buffer.alloc(next.size, sent.length + 1));
          relay.push(sent.at(-1)!);
        } else if (next.do === 'drain') sink.drain();
        else if (next.do === 'keepUp') sink.takes = () => true;
        else if (next.do === 'slowDown') sink.takes = () => false;
        else if (next.do === 'wait') await settle(next.size);
        else if (next.do === 'leave') sink.leave();
        else if ((next.do === 'end' || next.do === 'cut') && !isOver) {
          isOver = true;
          relay[next.do]();
        }
      }
      if (!isOver) relay.end();
      sink.takes = () => true;
      await until(() => {
        sink.drain();
        return all.delivery !== undefined;
      });
      const whole = Buffer.concat(sent);
      assert.ok(whole.subarray(0, sink.body.length).equals(sink.body), 'in order');
      if (all.delivery === 'delivered') assert.equal(sink.body.length, whole.length);
      sink.drain();
      await settle(3);
      await until(() => all.memory.used + all.disk.used === 0);
      assert.deepEqual(sink.violations, []);
      outcomes.set(all.delivery ?? '', (outcomes.get(all.delivery ?? '') ?? 0) + 1);
    }),
    { numRuns: 150 },
  );
  assert.equal(outcomes.size, 3, 'delivered, left and cut all happened');
});

// Checks that server-sent events are cut between events only, whatever the chunks, and that no byte changes or waits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isEventStream, SseEventCutter } from '../../../src/dispatch/sse-events.ts';

const lineText = fc.string({ minLength: 1, maxLength: 12 }).map((text) => text.replaceAll(/[\r\n]/g, '.'));
/** Events of one to four lines, with a line ending of their own each. */
const events = fc.array(
  fc
    .record({ lines: fc.array(lineText, { minLength: 1, maxLength: 4 }), newline: fc.constantFrom('\n', '\r\n') })
    .map(({ lines, newline }) => Buffer.from(lines.map((line) => line + newline).join('') + newline)),
  { minLength: 1, maxLength: 6 },
);

/** Cuts `whole` after each of `lengths` bytes in turn. */
function chunksOf(whole: Buffer, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, index = 0; at < whole.length; index += 1) {
    const length = lengths[index % lengths.length] ?? 1;
    chunks.push(whole.subarray(at, at + length));
    at += length;
  }
  return chunks;
}

const chunkLengths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 });

/** The property itself, so that a planted fault can be shown to break it. */
function checkWholeEvents(
  sent: readonly Buffer[],
  lengths: readonly number[],
  cutter: Pick<SseEventCutter, 'push' | 'rest'>,
) {
  const whole = Buffer.concat(sent);
  let arrived = 0;
  const written: Buffer[] = [];
  for (const chunk of chunksOf(whole, lengths)) {
    arrived += chunk.length;
    written.push(...cutter.push(chunk));
    let complete = 0;
    for (let end = sent[0]?.length ?? 0; end <= arrived && complete < sent.length; end += sent[complete]?.length ?? 0)
      complete += 1;
    assert.deepEqual(
      written.map(String),
      sent.slice(0, complete).map(String),
      'every event that is complete, and no more',
    );
  }
  assert.equal(cutter.rest(), undefined);
}

test('SseEventCutter, any chunks: one write for each event, given with its last byte', () => {
  fc.assert(
    fc.property(events, chunkLengths, (sent, lengths) => checkWholeEvents(sent, lengths, new SseEventCutter())),
  );
});

test('SseEventCutter, a cutter that passes chunks on as they come is caught by that check', () => {
  const passing = { push: (chunk: Buffer) => [chunk], rest: () => undefined };
  assert.throws(() =>
    fc.assert(fc.property(events, chunkLengths, (sent, lengths) => checkWholeEvents(sent, lengths, passing))),
  );
});

test('SseEventCutter, any bytes at all: none is changed, lost or doubled', () => {
  const piece = fc
    .oneof(fc.constantFrom('\n', '\r', '\r\n', '\n\n', 'data: x'), fc.string())
    .map((text) => Buffer.from(text));
  fc.assert(
    fc.property(fc.array(piece), fc.integer({ min: 1, max: 40 }), (chunks, largestEventBytes) => {
      const cutter = new SseEventCutter({ largestEventBytes });
      const written = chunks.flatMap((chunk) => cutter.push(chunk));
      const rest = cutter.rest();
      assert.deepEqual(Buffer.concat(rest ? [...written, rest] : written), Buffer.concat(chunks));
    }),
  );
});

test('SseEventCutter, an end without a blank line: the rest is given, once', () => {
  const cutter = new SseEventCutter();
  assert.deepEqual(cutter.push(Buffer.from('data: a\n\ndata: b')).map(String), ['data: a\n\n']);
  assert.equal(String(cutter.rest()), 'data: b');
  assert.equal(cutter.rest(), undefined);
});

test('SseEventCutter, lines that end in a lone CR: passed on as they come', () => {
  const cutter = new SseEventCutter();
  assert.deepEqual(cutter.push(Buffer.from('data: a\r\rdata: b')).map(String), ['data: a\r\rdata: b']);
  assert.deepEqual(cutter.push(Buffer.from('\r\r')).map(String), ['\r\r']);
});

test('SseEventCutter, an event beyond all measure is not kept in memory', () => {
  const cutter = new SseEventCutter({ largestEventBytes: 10 });
  assert.deepEqual(cutter.push(Buffer.from('data: 1')).map(String), []);
  assert.deepEqual(cutter.push(Buffer.from('2345678')).map(String), ['data: 12345678']);
  assert.deepEqual(cutter.push(Buffer.from('9')).map(String), ['9']);
});

test('isEventStream, only for events in plain bytes', () => {
  assert.ok(isEventStream({ 'content-type': 'text/event-stream' }));
  assert.ok(isEventStream({ 'content-type': 'text/event-stream; charset=utf-8' }));
  assert.ok(!isEventStream({ 'content-type': 'text/event-stream', 'content-encoding': 'br' }));
  assert.ok(!isEventStream({ 'content-type': 'application/msgpack' }));
  assert.ok(!isEventStream({}));
});

// Checks the bytes of both stream forms, and that the frame reader survives every cut and every lie.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  encodeServerSentEvent,
  encodeStreamEventAsSse,
  encodeStreamFrame,
  StreamFrameError,
  StreamFrameReader,
} from '../../../src/novelai/stream-frames.ts';
import type { StreamEvent } from '../../../src/novelai/stream-frames.ts';

const INTERMEDIATE: StreamEvent = {
  event_type: 'intermediate',
  samp_ix: 0,
  step_ix: 3,
  gen_id: 2_807_180,
  sigma: 113.89996337890625,
  image: Buffer.from([0xff, 0xd8, 0xff, 0xe0]),
};
const FINAL: StreamEvent = { event_type: 'final', samp_ix: 1, gen_id: 2_807_180, image: Buffer.from('RIFF') };
const FAILURE: StreamEvent = { event_type: 'error', message: 'no', samp_ix: 0 };

const anyEvent: fc.Arbitrary<StreamEvent> = fc.oneof(
  fc.record({
    event_type: fc.constant('final' as const),
    samp_ix: fc.nat(9),
    gen_id: fc.nat(),
    image: fc.uint8Array({ maxLength: 400 }),
  }),
  fc.record({ event_type: fc.constant('error' as const), message: fc.string(), samp_ix: fc.nat(9) }),
);

test('encodeStreamFrame, writes the length big-endian and then a msgpack map in the order given', () => {
  assert.equal(
    encodeStreamFrame(FAILURE).toString('hex'),
    '0000002683aa6576656e745f74797065a56572726f72a76d657373616765a26e6fa773616d705f697800',
  );
});

test('encodeServerSentEvent, writes three lines and compact JSON', () => {
  assert.equal(
    encodeServerSentEvent('newToken', { a: 1, b: 'x' }).toString(),
    'event: newToken\ndata: {"a":1,"b":"x"}\n\n',
  );
});

test('encodeStreamEventAsSse, has the members of the captured event in their order', () => {
  assert.equal(
    encodeStreamEventAsSse({ ...INTERMEDIATE, step_ix: 0, sigma: 20_000 }).toString(),
    'event: intermediate\ndata: {"event_type":"intermediate","samp_ix":0,"step_ix":0,"gen_id":2807180,"sigma":20000,"image":"/9j/4A=="}\n\n',
  );
  assert.equal(
    encodeStreamEventAsSse(FAILURE).toString(),
    'event: error\ndata: {"event_type":"error","message":"no","samp_ix":0}\n\n',
  );
});

test('StreamFrameReader, gives every event back however the bytes are cut', () => {
  const chunking = fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 8 }), chunking, (events, sizes) => {
      const bytes = Buffer.concat(events.map((event) => encodeStreamFrame(event)));
      const reader = new StreamFrameReader();
      const read = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % sizes.length]!;
        const chunk = Buffer.from(bytes.subarray(at, at + size));
        read.push(...reader.push(chunk));
        chunk.fill(0xaa); // the reader must own what it gives
        at += size;
      }
      assert.equal(reader.isInsideFrame, false);
      assert.deepEqual(read.map(plain), events.map(plain));
    }),
  );
});

test('StreamFrameReader, knows that a stream was cut', () => {
  const bytes = encodeStreamFrame(FINAL);
  for (let size = 1; size < bytes.length; size++) {
    const reader = new StreamFrameReader();
    assert.deepEqual(reader.push(bytes.subarray(0, size)), []);
    assert.equal(reader.isInsideFrame, true, `after ${size} bytes`);
  }
});

test('StreamFrameReader, refuses long frames, foreign maps and garbage, and stays refused', () => {
  const large = new StreamFrameReader({ largestFrameBytes: 16 });
  assert.throws(() => large.push(encodeStreamFrame(FINAL)), /at most 16/);
  for (const hex of ['ffffffff', '00000001c1', '0000000180', '00000001c0', '0000000101', '00000000']) {
    const reader = new StreamFrameReader();
    assert.throws(() => reader.push(Buffer.from(hex, 'hex')), StreamFrameError, hex);
    assert.throws(() => reader.push(encodeStreamFrame(FINAL)), StreamFrameError);
  }
});

test('StreamFrameReader, throws nothing but StreamFrameError', () => {
  let failures = 0;
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 5, maxLength: 200 }), (body) => {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(body.length);
      try {
        new StreamFrameReader().push(Buffer.concat([header, body]));
      } catch (error) {
        assert.ok(error instanceof StreamFrameError);
        failures++;
      }
    }),
  );
  assert.ok(failures > 50);
});

function plain(event: object): unknown {
  const members = Object.entries(event).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? [...value] : value,
  ]);
  return Object.fromEntries(members);
}

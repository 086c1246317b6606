// An error event inside a stream that was begun with 200 is seen, however the bytes arrive, and nothing else is taken for one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { watchForStreamError } from '../../../src/novelai/stream-error-watch.ts';
import {
  encodeStreamEventAsSse,
  encodeStreamFrame,
  MSGPACK_CONTENT_TYPE,
  SSE_CONTENT_TYPE,
  type StreamEvent,
} from '../../../src/novelai/stream-frames.ts';

const PICTURES: StreamEvent[] = [10_000, 300, 4096, 70_000].map((sizeBytes, index) => ({
  event_type: 'intermediate',
  samp_ix: 0,
  step_ix: index,
  gen_id: 7,
  sigma: 1.5,
  // Holds the very words, as a picture may.
  image: Buffer.alloc(sizeBytes, 'event: error\n event_type error '),
}));
const ERROR: StreamEvent = { event_type: 'error', message: 'made to fail\nevent: error', samp_ix: 0 };
const FORMS = [
  { type: MSGPACK_CONTENT_TYPE, encode: encodeStreamFrame },
  { type: `${SSE_CONTENT_TYPE}; charset=utf-8`, encode: encodeStreamEventAsSse },
];

function sees(type: string, bytes: Buffer, pieceBytes: number): boolean {
  const watch = watchForStreamError(type, false);
  assert.ok(watch);
  for (let at = 0; at < bytes.length; at += pieceBytes) watch.push(bytes.subarray(at, at + pieceBytes));
  return watch.hasError;
}

describe('stream error watch', () => {
  for (const { type, encode } of FORMS)
    for (const pieceBytes of [1, 3, 13, 4096, 1_000_000]) {
      test(`${type} in pieces of ${pieceBytes}, an error event is seen wherever it stands`, () => {
        const pictures = PICTURES.map((event) => encode(event));
        for (let at = 0; at <= pictures.length; at += 1)
          assert.equal(sees(type, Buffer.concat(pictures.toSpliced(at, 0, encode(ERROR))), pieceBytes), true, `${at}`);
      });

      test(`${type} in pieces of ${pieceBytes}, pictures are no error`, () => {
        const final: StreamEvent = { event_type: 'final', samp_ix: 0, gen_id: 7, image: Buffer.alloc(50, 'error') };
        assert.equal(sees(type, Buffer.concat([...PICTURES, final].map((event) => encode(event))), pieceBytes), false);
      });
    }

  test('garbage, no error and nothing thrown', () => {
    const garbage = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7919) % 256));
    for (const { type } of FORMS) assert.equal(sees(type, garbage, 100), false);
    assert.equal(sees(MSGPACK_CONTENT_TYPE, Buffer.alloc(1000), 7), false);
  });

  test('what is no image stream, or is packed, is not watched', () => {
    assert.equal(watchForStreamError('binary/octet-stream', false), undefined);
    assert.equal(watchForStreamError(SSE_CONTENT_TYPE, true), undefined);
  });
});

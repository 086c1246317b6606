// Checks that error answers have NovelAI's exact bytes, and that its sentences are recognised.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { errorBody, NOVELAI_MESSAGES, readErrorBody, recogniseError } from '../../../src/novelai/error-form.ts';

test('errorBody, has the byte counts of the captured answers', () => {
  assert.equal(
    errorBody(500, NOVELAI_MESSAGES.internalServerError).toString(),
    '{"statusCode":500,"message":"Internal Server Error"}\n',
  );
  assert.equal(errorBody(500, NOVELAI_MESSAGES.internalServerError).length, 53);
  const absentModel = NOVELAI_MESSAGES.modelDoesNotExist('nai-diffusion-5-curated-inpainting');
  assert.equal(errorBody(400, absentModel).length, 104);
});

test('errorBody, carries details after the message', () => {
  const body = errorBody(400, NOVELAI_MESSAGES.invalidCacheKeys, { invalidKeys: ['a'] });
  assert.equal(body.toString(), '{"statusCode":400,"message":"INVALID_CACHE_KEYS","details":{"invalidKeys":["a"]}}\n');
});

test('NOVELAI_MESSAGES, name an absent model with two spaces and cannot be changed', () => {
  assert.equal(NOVELAI_MESSAGES.modelDoesNotExist(''), "Validation error: model  doesn't exist");
  assert.ok(Object.isFrozen(NOVELAI_MESSAGES));
});

test('recogniseError, knows the sentences that concern an account or a host and no other', () => {
  assert.equal(recogniseError(NOVELAI_MESSAGES.movedHost), 'moved-host');
  assert.equal(recogniseError(NOVELAI_MESSAGES.concurrentGenerationLocked), 'locked');
  assert.equal(recogniseError(NOVELAI_MESSAGES.notEnoughAnlas), 'no-anlas');
  assert.equal(recogniseError(NOVELAI_MESSAGES.persistentTokenNotAllowed), 'persistent-token');
  assert.equal(recogniseError(NOVELAI_MESSAGES.unauthorized), 'unauthorized');
  assert.equal(recogniseError(NOVELAI_MESSAGES.internalServerError), undefined);
  assert.equal(recogniseError(NOVELAI_MESSAGES.modelNotFound), undefined);
});

test('readErrorBody, reads the JSON in front of an appended ZIP', () => {
  const json = errorBody(400, 'a "quoted" } brace');
  assert.deepEqual(readErrorBody(Buffer.concat([json, Buffer.from('PK\u0003\u0004{"message":"x"}')])), {
    message: 'a "quoted" } brace',
  });
});

test('readErrorBody, gives undefined for HTML, empty, cut and foreign bodies', () => {
  for (const body of ['', '<html>403</html>', '{"statusCode":400', '{"error":"x"}', '[1]', '{"message":1}']) {
    assert.equal(readErrorBody(Buffer.from(body)), undefined, body);
  }
});

test('readErrorBody, gives back what errorBody wrote and never throws', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer(), (message, status) => {
      assert.equal(readErrorBody(errorBody(status, message.toWellFormed()))?.message, message.toWellFormed());
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array(), (body) => void readErrorBody(Buffer.concat([Buffer.from('{"message":'), body]))),
  );
});

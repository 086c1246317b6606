// Checks the endpoint table: what is served, what is refused, and how paths are found.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { endpointById, ENDPOINTS, findEndpoint } from '../../../src/novelai/endpoints.ts';
import type { Endpoint, EndpointId } from '../../../src/novelai/endpoints.ts';

function found(method: string, path: string): Endpoint | undefined {
  const match = findEndpoint(method, path);
  return match !== undefined && 'found' in match ? match.found : undefined;
}

test('findEndpoint, finds every path of the contract with its host, slot and answering', () => {
  const rows: [method: string, path: string, id: EndpointId, role: string, slot: string, by: string][] = [
    ['POST', '/ai/generate-image', 'generate-image', 'image', 'image', 'relay'],
    ['GET', '/ai/generate-image', 'generate-image', 'image', 'image', 'relay'],
    ['POST', '/ai/generate-image-stream', 'generate-image-stream', 'image', 'image', 'relay'],
    ['POST', '/ai/augment-image', 'augment-image', 'image', 'image', 'relay'],
    ['POST', '/ai/encode-vibe', 'encode-vibe', 'image', 'image', 'relay'],
    ['POST', '/ai/upscale', 'upscale', 'image', 'image', 'relay'],
    ['POST', '/ai/annotate-image', 'annotate-image', 'api', 'image', 'relay'],
    ['GET', '/ai/generate-image/suggest-tags', 'suggest-tags', 'image', 'none', 'relay'],
    ['GET', '/ai/generate-voice', 'generate-voice', 'api', 'none', 'relay'],
    ['POST', '/ai/generate', 'text-generate', 'text', 'text', 'relay'],
    ['POST', '/ai/generate-stream', 'text-generate-stream', 'text', 'text', 'relay'],
    ['POST', '/oa/v1/completions', 'text-completions', 'text', 'text', 'relay'],
    ['POST', '/oa/v1/chat/completions', 'text-chat-completions', 'text', 'text', 'relay'],
    ['POST', '/oa/v1/internal/token-count', 'text-token-count', 'text', 'none', 'relay'],
    ['GET', '/oa/v1/models', 'text-models', 'text', 'none', 'relay'],
    ['POST', '/user/login', 'user-login', 'image', 'none', 'made-up'],
    ['GET', '/user/subscription', 'user-subscription', 'image', 'none', 'made-up'],
    ['GET', '/user/data', 'user-data', 'image', 'none', 'made-up'],
    ['GET', '/user/information', 'user-information', 'image', 'none', 'made-up'],
    ['GET', '/user/priority', 'user-priority', 'image', 'none', 'made-up'],
    ['POST', '/user/create-persistent-token', 'user-create-persistent-token', 'image', 'none', 'refused'],
    ['GET', '/user/keystore', 'user-keystore', 'image', 'none', 'refused'],
    ['GET', '/user/objects/stories', 'user-objects', 'image', 'none', 'refused'],
    ['DELETE', '/user/objects/stories/abc', 'user-objects', 'image', 'none', 'refused'],
    ['POST', '/user/recovery/request', 'user-recovery', 'image', 'none', 'refused'],
    ['POST', '/ai/module/train', 'module', 'api', 'none', 'refused'],
  ];
  for (const [method, path, id, role, slot, by] of rows) {
    const endpoint = found(method, path);
    assert.deepEqual([endpoint?.id, endpoint?.role, endpoint?.slot, endpoint?.answers.by], [id, role, slot, by], path);
  }
});

test('findEndpoint, tolerates doubled and trailing slashes and a query, and gives the plain path', () => {
  for (const path of [
    '//ai/generate-image',
    '/ai//generate-image/',
    '/ai/generate-image?x=//y/',
    '///ai///generate-image///?',
  ]) {
    assert.deepEqual(findEndpoint('POST', path), { found: endpointById('generate-image'), path: '/ai/generate-image' });
  }
  assert.equal(found('GET', '/user/objects/')?.id, undefined);
});

test('findEndpoint, names the allowed methods of a known path', () => {
  assert.deepEqual(findEndpoint('GET', '/ai/upscale'), { methodNotAllowed: true, allow: ['POST'] });
  assert.deepEqual(findEndpoint('DELETE', '/ai/generate-image'), { methodNotAllowed: true, allow: ['POST', 'GET'] });
  assert.ok('methodNotAllowed' in (findEndpoint('post', '/ai/upscale') ?? {}));
});

test('findEndpoint, gives undefined for paths NovelAI has not', () => {
  for (const path of [
    '',
    '/',
    '/ai',
    '/ai/models',
    '/AI/generate-image',
    '/ai/generate-image/request-price',
    '/user',
    '/oa/v1',
    '/ai/generate-image/../upscale',
    '/user/objects',
    'ai/generate-image',
  ]) {
    assert.equal(findEndpoint('POST', path), undefined, path);
  }
});

test('ENDPOINTS, what costs Anlas takes the image slot, and what is not relayed takes none', () => {
  for (const endpoint of ENDPOINTS) {
    if (endpoint.mayCostAnlas) assert.equal(endpoint.slot, 'image', endpoint.id);
    if (endpoint.answers.by !== 'relay') assert.equal(endpoint.slot, 'none', endpoint.id);
    if (endpoint.answers.by === 'refused') assert.match(endpoint.answers.why, /^This .*\.$/, endpoint.id);
    if (endpoint.answers.by === 'relay')
      assert.ok(!endpoint.path.endsWith('*'), `${endpoint.id} is relayed by exact path`);
    assert.ok(Object.isFrozen(endpoint));
  }
  assert.equal(new Set(ENDPOINTS.map((endpoint) => endpoint.id)).size, ENDPOINTS.length);
  assert.equal(new Set(ENDPOINTS.map((endpoint) => endpoint.path)).size, ENDPOINTS.length);
});

test('findEndpoint, never throws', () => {
  fc.assert(fc.property(fc.string(), fc.webPath(), (method, path) => void findEndpoint(method, path)));
});

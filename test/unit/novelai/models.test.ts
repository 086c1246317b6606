// Checks the model table against contract 4.2 and 4.4.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findModel, MODELS } from '../../../src/novelai/models.ts';

test('findModel, knows the eight current models and their inpainting ones', () => {
  const expected = {
    'nai-diffusion-5-full': 'v5',
    'nai-diffusion-5-curated': 'v5',
    'nai-diffusion-4-5-full': 'v4.5',
    'nai-diffusion-4-5-curated': 'v4.5',
    'nai-diffusion-4-full': 'v4',
    'nai-diffusion-4-curated-preview': 'v4',
    'nai-diffusion-3': 'v3',
    'nai-diffusion-furry-3': 'v3',
  };
  for (const [id, generation] of Object.entries(expected)) {
    const model = findModel(id);
    assert.equal(model?.generation, generation, id);
    assert.ok(model?.isAccepted, id);
    assert.ok(!model?.isInpainting, id);
    const inpainting = findModel(model?.inpaintingId ?? '');
    assert.ok(inpainting?.isInpainting && inpainting.isAccepted, `${id} has a usable inpainting model`);
  }
});

test('findModel, gives undefined for absent and mis-spelt ids', () => {
  for (const id of ['', 'nai-diffusion-4-full-preview', 'NAI-Diffusion-3', ' nai-diffusion-3', 'constructor']) {
    assert.equal(findModel(id), undefined, id);
  }
});

test('MODELS, V5 Curated inpaints with the V4.5 model and its own id is refused', () => {
  assert.equal(findModel('nai-diffusion-5-curated')?.inpaintingId, 'nai-diffusion-4-5-curated-inpainting');
  assert.equal(findModel('nai-diffusion-5-curated-inpainting')?.isAccepted, false);
});

test('MODELS, features differ by generation as the contract says', () => {
  for (const model of MODELS) {
    const isNew = ['v4', 'v4.5', 'v5'].includes(model.generation);
    assert.equal(model.features.needsV4Prompt, isNew, model.id);
    assert.equal(model.features.hasSmea, !isNew, model.id);
    assert.equal(model.features.usesAllowance, model.generation === 'v5', model.id);
    assert.equal(model.features.hasCharacterReference, model.generation === 'v4.5', model.id);
    assert.equal(model.features.vibe, model.generation === 'v5' ? 'error' : isNew ? 'encoded' : 'raw', model.id);
    assert.equal('varietyBoostSigma' in model.features, model.generation !== 'v5', model.id);
  }
});

test('MODELS, ids are unique and the table cannot be changed', () => {
  assert.equal(new Set(MODELS.map((model) => model.id)).size, MODELS.length);
  assert.ok(
    Object.isFrozen(MODELS) && MODELS.every((model) => Object.isFrozen(model) && Object.isFrozen(model.features)),
  );
});

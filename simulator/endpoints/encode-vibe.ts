// POST /ai/encode-vibe: an opaque encoding of a picture, for V4 and V4.5 (contract 3.6).
import type { Exchange } from '../exchange.ts';
import { generate } from '../generation.ts';
import { hashOf } from '../hashing.ts';
import { ImageFields } from '../images/image-fields.ts';
import { requireModel } from '../images/image-request.ts';
import { SeededRandom } from '../random.ts';
import { Refusal } from '../refusal.ts';
import { numberOf, readBody } from '../request-body.ts';
import type { World } from '../world.ts';
import { requirePicture } from './director-tools.ts';

/** As captured for V4.5 Full. */
const ENCODING_BYTES = 48_916;
const FIRST_BYTES = Buffer.from('489bea09cde5f00a', 'hex');
const NAME_LENGTH = 8;

export async function encodeVibe(exchange: Exchange, world: World): Promise<void> {
  const { json, parts } = await readBody(exchange);
  const model = requireModel(json);
  if (model.features.vibe !== 'encoded') {
    throw new Refusal(400, `Validation error: model ${model.id} doesn't support vibe encoding`);
  }
  const fields = new ImageFields(exchange.account, parts);
  const image = fields.single(json, 'image');
  fields.requireKnownKeys();
  requirePicture(image);
  const extracted = numberOf(json, 'information_extracted') ?? 1;
  const encoding = await generate(exchange, world, {
    slot: 'image',
    work: { kind: 'encode-vibe' },
    billable: { kind: 'encode-vibe' },
    produce: () => encodingOf(`${model.id} ${extracted} ${hashOf(image as Buffer)}`),
  });
  const name = `${world.random.alphanumerics(NAME_LENGTH)}.vibe40`;
  return exchange.answer({
    status: 200,
    headers: [
      ['content-type', 'application/binary'],
      ['content-disposition', `attachment; filename=${name}`],
    ],
    pieces: [encoding],
    framing: 'chunked',
  });
}

/** Gives noise of the right size; the same for the same picture, model and amount of information. */
function encodingOf(source: string): Buffer {
  const seed = Number.parseInt(hashOf(Buffer.from(source)).slice(0, 8), 16);
  const encoding = new SeededRandom(seed).fill(Buffer.alloc(ENCODING_BYTES));
  FIRST_BYTES.copy(encoding);
  return encoding;
}

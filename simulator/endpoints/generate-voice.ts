// GET /ai/generate-voice, on the old host: speech as MP3, or WebM with Opus (contract 3.8).
import type { Exchange } from '../exchange.ts';
import { Refusal } from '../refusal.ts';
import { SeededRandom } from '../random.ts';
import type { World } from '../world.ts';

const LONGEST_TEXT = 1000;
/** MPEG-1 layer III, 128 kbit/s, 44.1 kHz: a frame is 417 bytes and lasts 26 ms. */
const MP3_FRAME_HEADER = Buffer.from('fffb9000', 'hex');
const MP3_FRAME_BYTES = 417;
const FRAMES_PER_CHARACTER = 3;
/** The beginning of any WebM: the EBML header with document type "webm". */
const WEBM_HEADER = Buffer.from('1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853', 'hex');
const WEBM_BYTES_PER_CHARACTER = 400;

export async function generateVoice(exchange: Exchange, world: World): Promise<void> {
  const text = exchange.query.get('text') ?? '';
  if (text === '' || text.length > LONGEST_TEXT) {
    throw new Refusal(400, `Validation error: text must have 1 to ${LONGEST_TEXT} characters`);
  }
  await world.clock.wait(world.latency.generationMs({ kind: 'voice' }));
  const isOpus = exchange.query.get('opus') === 'true';
  return exchange.answer({
    status: 200,
    headers: [['content-type', isOpus ? 'audio/webm' : 'audio/mpeg']],
    pieces: [isOpus ? lookalikeWebm(text.length) : silentMp3(text.length)],
    framing: 'chunked',
  });
}

/** Silence: frames whose side information and data are all zero. */
function silentMp3(characters: number): Buffer {
  const frame = Buffer.alloc(MP3_FRAME_BYTES);
  MP3_FRAME_HEADER.copy(frame);
  return Buffer.concat(Array.from({ length: characters * FRAMES_PER_CHARACTER }, () => frame));
}

/** Begins as a WebM does; the rest is noise. */
function lookalikeWebm(characters: number): Buffer {
  const rest = new SeededRandom(characters).fill(Buffer.alloc(characters * WEBM_BYTES_PER_CHARACTER));
  return Buffer.concat([WEBM_HEADER, rest]);
}

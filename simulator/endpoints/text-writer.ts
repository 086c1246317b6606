// Makes up the text of the text endpoints: words by lot, the same for the same request; a word stands for a token.
import { hashOf } from '../hashing.ts';
import { SeededRandom } from '../random.ts';

const WORDS = (
  'the a and of to in her his was had not but with for on it she he they rain light door hand voice night street old small ' +
  'window river stone quiet slow bright cold warm turned waited walked heard opened closed answered smiled remembered again ' +
  'never always still almost under over between beyond after before morning evening winter garden letter story road'
).split(' ');
const TOKENS = 20_000;
const SENTENCE_WORDS = 11;

/** One token: how it reads, and its number, which fits in two bytes. */
export interface WrittenToken {
  readonly text: string;
  readonly id: number;
}

/** Gives `count` tokens for a request of this make-up. */
export function writeTokens(makeUp: string, count: number): WrittenToken[] {
  const random = new SeededRandom(Number.parseInt(hashOf(Buffer.from(makeUp)).slice(0, 8), 16));
  return Array.from({ length: count }, (_, index) => {
    const word = WORDS[random.below(WORDS.length)] ?? 'the';
    const isLast = index === count - 1 || index % SENTENCE_WORDS === SENTENCE_WORDS - 1;
    return { text: ` ${word}${isLast ? '.' : ''}`, id: 1000 + random.below(TOKENS) };
  });
}

/** Gives the numbers of a text's words: no real tokeniser, but the same for the same word. */
export function countTokens(text: string): number[] {
  const words = text.match(/\S+/g) ?? [];
  return words.map((word) => 1000 + (Number.parseInt(hashOf(Buffer.from(word)).slice(0, 8), 16) % TOKENS));
}

/** Packs token numbers as the text models do: little-endian, 2 bytes each for Kayra and 4 for Erato (contract 3.10). */
export function packTokens(ids: readonly number[], bytesPerToken: 2 | 4): string {
  const packed = Buffer.alloc(ids.length * bytesPerToken);
  for (const [index, id] of ids.entries()) packed.writeUIntLE(id, index * bytesPerToken, bytesPerToken);
  return packed.toString('base64');
}

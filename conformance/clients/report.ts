// What the scripts of the JavaScript clients share: one function per feature, one JSON line per result, pictures as files.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Feature, isFeature, type Outcome } from '../features.ts';

/** One picture a client gave back, and the size that was asked for (left out where the client may choose). */
interface Picture {
  readonly data: Uint8Array;
  readonly width?: number;
  readonly height?: number;
}

/** What a feature's function gives when the client got what it asked for. */
export interface Got {
  readonly detail: string;
  readonly pictures?: readonly Picture[];
}

/** NovelAI's own refusal of this client's way of asking, arrived whole. */
export class Refused extends Error {}

/** The size of both input pictures, in pixels. */
export const WIDTH = 512;
export const HEIGHT = 768;

/** The sentence NovelAI answers to the old upscale body (no model): the two spaces are its own (contract 3.7). */
export const OLD_UPSCALE_REFUSAL = "model  doesn't exist";

/** Gives the environment variable the runner set for this script, or throws with its name. */
export function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; these scripts are started by conformance/run.ts`);
  return value;
}

/** Tries the features named on the command line, one after the other, and writes one JSON line for each. */
export async function tryFeatures(functions: Partial<Record<Feature, () => Promise<Got>>>): Promise<void> {
  for (const name of process.argv.slice(2)) {
    const run = isFeature(name) ? functions[name] : undefined;
    if (run === undefined) {
      emit(name, 'fail', 'this script has no such feature');
      continue;
    }
    try {
      const got = await run();
      emit(name, 'ok', got.detail, got.pictures);
    } catch (error) {
      if (error instanceof Refused) emit(name, 'refused', error.message);
      else emit(name, 'fail', String(error).replaceAll('\n', ' ').slice(0, 600));
    }
  }
}

function emit(feature: string, outcome: Outcome, detail: string, pictures: readonly Picture[] = []): void {
  const images = pictures.map((picture, index) => {
    const file = join(given('OUTPUT_DIR'), `${feature}-${index}`);
    writeFileSync(file, picture.data);
    return { file, width: picture.width ?? null, height: picture.height ?? null };
  });
  process.stdout.write(`${JSON.stringify({ feature, outcome, detail, images })}\n`);
}

// The features of NovelAI that client programs are tried on, and what can come of one try.

/** In the order of the result table's columns. `chat` is `/oa/v1`, `text` is `/ai/generate` and its stream. */
export const FEATURES = [
  'generate',
  'stream',
  'img2img',
  'infill',
  'vibe',
  'director',
  'upscale',
  'tags',
  'subscription',
  'text',
  'chat',
  'login',
] as const;

export type Feature = (typeof FEATURES)[number];

export function isFeature(word: string): word is Feature {
  return (FEATURES as readonly string[]).includes(word);
}

/**
 * - `ok`: the client got what it asked for, and it was checked.
 * - `refused`: the client asks in a form that NovelAI itself no longer serves, and NovelAI's own refusal reached it whole.
 * - `fail`: anything else.
 */
export type Outcome = 'ok' | 'refused' | 'fail';

/** One feature tried by one client. */
export interface FeatureResult {
  readonly feature: Feature;
  readonly outcome: Outcome;
  readonly detail: string;
}

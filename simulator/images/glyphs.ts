// A 3x5 pixel alphabet, so that a picture can say which prompt it answers.

/** Each glyph is five rows from the top, one octal digit a row, the left pixel in its highest bit. */
const GLYPHS: Readonly<Record<string, number>> = {
  A: 0o25755,
  B: 0o65656,
  C: 0o34443,
  D: 0o65556,
  E: 0o74647,
  F: 0o74644,
  G: 0o34553,
  H: 0o55755,
  I: 0o72227,
  J: 0o11152,
  K: 0o55655,
  L: 0o44447,
  M: 0o57755,
  N: 0o65555,
  O: 0o25552,
  P: 0o65644,
  Q: 0o25573,
  R: 0o65655,
  S: 0o34216,
  T: 0o72222,
  U: 0o55557,
  V: 0o55552,
  W: 0o55775,
  X: 0o55255,
  Y: 0o55222,
  Z: 0o71247,
  '0': 0o75557,
  '1': 0o26227,
  '2': 0o61247,
  '3': 0o61216,
  '4': 0o55711,
  '5': 0o74616,
  '6': 0o34652,
  '7': 0o71222,
  '8': 0o25252,
  '9': 0o25316,
  '.': 0o00002,
  ',': 0o00024,
  ':': 0o02020,
  '-': 0o00700,
  _: 0o00007,
  '(': 0o12221,
  ')': 0o42224,
  '/': 0o11244,
  '!': 0o22202,
  '?': 0o61202,
  '+': 0o02720,
  '=': 0o07070,
  '#': 0o57575,
  "'": 0o22000,
  '"': 0o55000,
  '{': 0o32623,
  '}': 0o62326,
  '[': 0o64446,
  ']': 0o31113,
  ' ': 0,
};
/** For every other character: a block. */
const UNKNOWN_GLYPH = 0o77777;

export const GLYPH_WIDTH = 3;
export const GLYPH_HEIGHT = 5;

/** Whether the glyph of a character has ink at column `x` of row `y`. Small letters look like capitals. */
export function hasInk(character: string, x: number, y: number): boolean {
  const glyph = GLYPHS[character.toUpperCase()] ?? UNKNOWN_GLYPH;
  return ((glyph >> (3 * (GLYPH_HEIGHT - 1 - y) + (GLYPH_WIDTH - 1 - x))) & 1) === 1;
}

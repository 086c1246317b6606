// Draws the pictures: colours and shapes from a hash, the prompt in small letters, and noise so that they are as large as real ones.
import { SeededRandom } from '../random.ts';
import { GLYPH_HEIGHT, GLYPH_WIDTH, hasInk } from './glyphs.ts';

/** What to draw. Equal drawings have equal pixels. */
export interface Drawing {
  /** Hex; the colours, shapes and noise come from its first 8 digits. */
  readonly identity: string;
  readonly widthPx: number;
  readonly heightPx: number;
  /** Written across the foot, as far as there is room. */
  readonly caption: string;
  /** 0 to 1: how much of the picture is still noise, as in the intermediate pictures of a stream. */
  readonly unfinished?: number;
}

export const BYTES_PER_PIXEL = 4;
const SHAPES = 6;
/** 4 levels a channel: what makes a PNG of 832x1216 about 1.6 MB, as captured (contract 9.1). */
const NOISE_MASK = 0x03;
const SMALLEST_CAPTIONED_PX = 64;
const CAPTION_GLYPHS_ACROSS = 40;

/** Gives RGBA pixels, row by row from the top; all but opaque. */
export function drawPicture(drawing: Drawing): Uint8Array {
  const random = new SeededRandom(Number.parseInt(drawing.identity.slice(0, 8), 16));
  const pixels = new Uint8Array(drawing.widthPx * drawing.heightPx * BYTES_PER_PIXEL);
  drawGradient(pixels, drawing, random);
  for (let shape = 0; shape < SHAPES; shape++) drawDisc(pixels, drawing, random);
  if (Math.min(drawing.widthPx, drawing.heightPx) >= SMALLEST_CAPTIONED_PX) drawCaption(pixels, drawing);
  addNoise(pixels, random, drawing.unfinished ?? 0);
  return pixels;
}

type Colour = readonly [red: number, green: number, blue: number];

function randomColour(random: SeededRandom): Colour {
  const bits = random.nextUint32();
  return [40 + (bits & 0x7f), 40 + ((bits >>> 8) & 0x7f), 60 + ((bits >>> 16) & 0x7f)];
}

function drawGradient(pixels: Uint8Array, { widthPx, heightPx }: Drawing, random: SeededRandom): void {
  const [r0, g0, b0] = randomColour(random);
  const [r1, g1, b1] = randomColour(random);
  let at = 0;
  for (let y = 0; y < heightPx; y++) {
    for (let x = 0; x < widthPx; x++) {
      const share = (y / heightPx + x / widthPx) / 2;
      pixels[at++] = r0 + (r1 - r0) * share;
      pixels[at++] = g0 + (g1 - g0) * share;
      pixels[at++] = b0 + (b1 - b0) * share;
      pixels[at++] = 255;
    }
  }
}

function drawDisc(pixels: Uint8Array, { widthPx, heightPx }: Drawing, random: SeededRandom): void {
  const colour = randomColour(random);
  const radius = (0.08 + 0.2 * random.next()) * Math.min(widthPx, heightPx);
  const centreX = random.next() * widthPx;
  const centreY = random.next() * heightPx;
  const bottom = Math.min(heightPx, Math.ceil(centreY + radius));
  const right = Math.min(widthPx, Math.ceil(centreX + radius));
  for (let y = Math.max(0, Math.floor(centreY - radius)); y < bottom; y++) {
    for (let x = Math.max(0, Math.floor(centreX - radius)); x < right; x++) {
      if ((x - centreX) ** 2 + (y - centreY) ** 2 > radius * radius) continue;
      blend(pixels, (y * widthPx + x) * BYTES_PER_PIXEL, colour);
    }
  }
}

function blend(pixels: Uint8Array, at: number, [red, green, blue]: Colour): void {
  pixels[at] = ((pixels[at] as number) + red) >> 1;
  pixels[at + 1] = ((pixels[at + 1] as number) + green) >> 1;
  pixels[at + 2] = ((pixels[at + 2] as number) + blue) >> 1;
}

function drawCaption(pixels: Uint8Array, { widthPx, heightPx, caption }: Drawing): void {
  const scale = Math.max(1, Math.floor(widthPx / (CAPTION_GLYPHS_ACROSS * (GLYPH_WIDTH + 1))));
  const advance = (GLYPH_WIDTH + 1) * scale;
  const characters = Array.from(caption).slice(0, Math.floor(widthPx / advance) - 1);
  const top = heightPx - (GLYPH_HEIGHT + 2) * scale;
  for (const [index, character] of characters.entries()) {
    const left = scale + index * advance;
    for (let y = 0; y < GLYPH_HEIGHT * scale; y++) {
      for (let x = 0; x < GLYPH_WIDTH * scale; x++) {
        if (!hasInk(character, Math.floor(x / scale), Math.floor(y / scale))) continue;
        pixels.fill(
          235,
          ((top + y) * widthPx + left + x) * BYTES_PER_PIXEL,
          ((top + y) * widthPx + left + x) * BYTES_PER_PIXEL + 3,
        );
      }
    }
  }
}

/** One lot serves two pixels: the noise is most of the work of a large picture. */
function addNoise(pixels: Uint8Array, random: SeededRandom, unfinished: number): void {
  const gain = 1 + unfinished * 50;
  let bits = 0;
  for (let at = 0; at < pixels.length; at += BYTES_PER_PIXEL) {
    bits = at % (2 * BYTES_PER_PIXEL) === 0 ? random.nextUint32() : bits >>> 12;
    pixels[at] = (pixels[at] as number) + (bits & NOISE_MASK) * gain;
    pixels[at + 1] = (pixels[at + 1] as number) + ((bits >>> 4) & NOISE_MASK) * gain;
    pixels[at + 2] = (pixels[at + 2] as number) + ((bits >>> 8) & NOISE_MASK) * gain;
    // NovelAI hides a copy of the metadata in alpha's lowest bits (contract 9.2); noise there keeps alpha from being dropped.
    pixels[at + 3] = 254 | (bits & 1);
  }
}

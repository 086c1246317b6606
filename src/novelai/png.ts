// Writes PNG pictures with NovelAI's text chunks, and reads or adds such chunks in a PNG that is there.
import { promisify } from 'node:util';
import { crc32, deflate, deflateSync, inflateSync } from 'node:zlib';

/** One text chunk: a keyword (1-79 Latin-1 characters) and its text. */
export type PngText = readonly [keyword: string, text: string];

/** A picture to encode: `rgba` holds 4 bytes a pixel, row by row from the top. */
export interface PngPicture {
  readonly widthPx: number;
  readonly heightPx: number;
  readonly rgba: Uint8Array;
  readonly texts?: readonly PngText[];
  /** zlib's 0-9; 1 by default, since speed matters more than size here. */
  readonly level?: number;
}

/** Why bytes could not be read as a PNG. */
export class PngError extends Error {
  override readonly name = 'PngError';
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const BIT_DEPTH = 8;
const COLOUR_TYPE_RGBA = 6;
const BYTES_PER_PIXEL = 4;
/** The "up" filter: every byte as the difference to the one above it; cheap, and good for smooth pictures. */
const FILTER_UP = 2;
/** Below this, a trip to zlib's thread costs more than the work. */
const SYNC_BELOW_BYTES = 65_536;
const CHUNK_OVERHEAD_BYTES = 12;
const LONGEST_TEXT_BYTES = 16 * 1024 ** 2;

const deflateAsync = promisify(deflate);

/**
 * Gives a PNG: 8 bits, RGBA, text chunks before the pixels as NovelAI writes them (contract 9.2). The same picture gives the
 * same bytes. Large pictures are compressed off the event loop. Throws RangeError when `rgba` has the wrong length.
 */
export async function encodePng(picture: PngPicture): Promise<Buffer> {
  const { widthPx, heightPx, rgba, texts = [], level = 1 } = picture;
  if (rgba.length !== widthPx * heightPx * BYTES_PER_PIXEL) {
    throw new RangeError(
      `The picture could not be encoded: expected ${widthPx * heightPx * BYTES_PER_PIXEL} bytes for ${widthPx}x${heightPx}, given ${rgba.length}.`,
    );
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(widthPx, 0);
  header.writeUInt32BE(heightPx, 4);
  header[8] = BIT_DEPTH;
  header[9] = COLOUR_TYPE_RGBA;
  const rows = filterRows(widthPx, heightPx, rgba);
  const packed = rows.length < SYNC_BELOW_BYTES ? deflateSync(rows, { level }) : await deflateAsync(rows, { level });
  return Buffer.concat([
    SIGNATURE,
    pngChunk('IHDR', header),
    ...texts.map(textChunk),
    pngChunk('IDAT', packed),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

/** Gives one PNG chunk: length, type, data, CRC. */
export function pngChunk(type: string, data: Uint8Array): Buffer {
  const chunk = Buffer.allocUnsafe(CHUNK_OVERHEAD_BYTES + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, 4, 'latin1');
  chunk.set(data, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

/**
 * Gives the text chunks of a PNG in file order: tEXt, zTXt and iTXt. A text chunk that is broken is left out. Throws PngError
 * when the bytes are no PNG or break off.
 */
export function readPngTexts(png: Buffer): PngText[] {
  const texts: PngText[] = [];
  for (const { type, data } of pngChunks(png)) {
    const text = readTextChunk(type, data);
    if (text) texts.push(text);
  }
  return texts;
}

/** Gives the same PNG with text chunks added right after its header. Throws PngError when the bytes are no PNG. */
export function addPngTexts(png: Buffer, texts: readonly PngText[]): Buffer {
  if (!isPng(png)) throw notPng(png);
  const afterHeader = SIGNATURE.length + CHUNK_OVERHEAD_BYTES + png.readUInt32BE(SIGNATURE.length);
  return Buffer.concat([png.subarray(0, afterHeader), ...texts.map(textChunk), png.subarray(afterHeader)]);
}

/** Whether the bytes begin as a PNG with a header does. */
export function isPng(bytes: Buffer): boolean {
  return (
    bytes.length >= SIGNATURE.length + CHUNK_OVERHEAD_BYTES && bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)
  );
}

function filterRows(widthPx: number, heightPx: number, rgba: Uint8Array): Buffer {
  const rowBytes = widthPx * BYTES_PER_PIXEL;
  const rows = Buffer.allocUnsafe(heightPx * (rowBytes + 1));
  let to = 0;
  let from = 0;
  for (let y = 0; y < heightPx; y++) {
    rows[to++] = FILTER_UP;
    if (y === 0) {
      for (let x = 0; x < rowBytes; x++) rows[to++] = rgba[from++] as number;
    } else {
      for (let x = 0; x < rowBytes; x++, from++) {
        rows[to++] = (rgba[from] as number) - (rgba[from - rowBytes] as number);
      }
    }
  }
  return rows;
}

/** tEXt where the text is Latin-1, else iTXt: as Pillow, which NovelAI uses, does. */
function textChunk([keyword, text]: PngText): Buffer {
  const latin1 = Buffer.from(text, 'latin1');
  if (latin1.toString('latin1') === text) {
    return pngChunk('tEXt', Buffer.concat([Buffer.from(`${keyword}\0`, 'latin1'), latin1]));
  }
  return pngChunk('iTXt', Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text, 'utf8')]));
}

function* pngChunks(png: Buffer): Generator<{ type: string; data: Buffer }> {
  if (!isPng(png)) throw notPng(png);
  let at = SIGNATURE.length;
  while (at + CHUNK_OVERHEAD_BYTES <= png.length) {
    const end = at + 8 + png.readUInt32BE(at);
    if (end + 4 > png.length) break;
    const type = png.toString('latin1', at + 4, at + 8);
    yield { type, data: png.subarray(at + 8, end) };
    if (type === 'IEND') return;
    at = end + 4;
  }
  throw new PngError(
    `The PNG could not be read: it breaks off at byte ${at} of ${png.length}; expected an IEND chunk.`,
  );
}

function readTextChunk(type: string, data: Buffer): PngText | undefined {
  const end = data.indexOf(0);
  if (end < 1) return undefined;
  const keyword = data.toString('latin1', 0, end);
  const rest = data.subarray(end + 1);
  switch (type) {
    case 'tEXt':
      return [keyword, rest.toString('latin1')];
    case 'zTXt': {
      const text = inflateText(rest.subarray(1));
      return text && [keyword, text.toString('latin1')];
    }
    case 'iTXt': {
      const text = readInternationalText(rest);
      return text && [keyword, text.toString('utf8')];
    }
    default:
      return undefined;
  }
}

/** After the keyword: compression flag, method, language tag, translated keyword, text. */
function readInternationalText(rest: Buffer): Buffer | undefined {
  const languageEnd = rest.indexOf(0, 2);
  const translatedEnd = languageEnd < 0 ? -1 : rest.indexOf(0, languageEnd + 1);
  if (translatedEnd < 0) return undefined;
  const text = rest.subarray(translatedEnd + 1);
  return rest[0] === 1 ? inflateText(text) : text;
}

function inflateText(packed: Buffer): Buffer | undefined {
  try {
    return inflateSync(packed, { maxOutputLength: LONGEST_TEXT_BYTES });
  } catch {
    return undefined;
  }
}

function notPng(bytes: Buffer): PngError {
  return new PngError(
    `No PNG could be read: expected the PNG signature, found ${bytes.subarray(0, SIGNATURE.length).toString('hex') || 'nothing'}.`,
  );
}

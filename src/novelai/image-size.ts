// Reads the size of a PNG, JPEG or WebP from its first bytes, without decoding it.

export interface ImageSize {
  format: 'png' | 'jpeg' | 'webp';
  widthPx: number;
  heightPx: number;
}

/** As many bytes as are looked through for a JPEG's frame header, which follows its EXIF and colour profiles. */
const JPEG_SEARCH_BYTES = 512 * 1024;
/** Enough for the size of a PNG or WebP. */
const SHORT_HEADER_BYTES = 64;
const BASE64_BYTES_PER_GROUP = 3;
const BASE64_CHARACTERS_PER_GROUP = 4;
const DATA_URL_LONGEST_PREFIX = 64;

/** Gives format and size, or undefined when the bytes are none of the three or end before they tell. Never throws. */
export function readImageSize(bytes: Uint8Array): ImageSize | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const format = imageFormat(view);
  if (format === 'png') return sizeIfWhole('png', pngSize(view));
  if (format === 'jpeg') return sizeIfWhole('jpeg', jpegSize(view));
  if (format === 'webp') return sizeIfWhole('webp', webpSize(view));
  return undefined;
}

/**
 * Gives format and size of an image in base64 as it stands in a JSON body: with or without a `data:` prefix, and with slashes
 * that may be escaped as some encoders do (`\/`). Decodes only as much as the format needs.
 */
export function readBase64ImageSize(base64: Uint8Array): ImageSize | undefined {
  const start = base64Start(base64);
  const head = decodeBase64(base64.subarray(start), SHORT_HEADER_BYTES);
  if (imageFormat(head) !== 'jpeg') return readImageSize(head);
  return readImageSize(decodeBase64(base64.subarray(start), JPEG_SEARCH_BYTES));
}

/** Tells whether base64 text is an image of the three formats: how a raw vibe differs from an encoded one. */
export function isBase64Image(base64: Uint8Array): boolean {
  return imageFormat(decodeBase64(base64.subarray(base64Start(base64)), SHORT_HEADER_BYTES)) !== undefined;
}

/** Gives the format by its first bytes, or undefined. */
export function imageFormat(bytes: Uint8Array): ImageSize['format'] | undefined {
  if (startsWith(bytes, 0, PNG_SIGNATURE)) return 'png';
  if (startsWith(bytes, 0, JPEG_SIGNATURE)) return 'jpeg';
  if (startsWith(bytes, 0, RIFF) && startsWith(bytes, 8, WEBP)) return 'webp';
  return undefined;
}

const PNG_SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
const JPEG_SIGNATURE = Buffer.from('ffd8ff', 'hex');
const RIFF = Buffer.from('RIFF');
const WEBP = Buffer.from('WEBP');

function startsWith(bytes: Uint8Array, at: number, signature: Uint8Array): boolean {
  return bytes.length >= at + signature.length && signature.every((byte, index) => bytes[at + index] === byte);
}

function sizeIfWhole(
  format: ImageSize['format'],
  size: readonly [widthPx: number, heightPx: number] | undefined,
): ImageSize | undefined {
  if (size === undefined || size[0] === 0 || size[1] === 0) return undefined;
  return { format, widthPx: size[0], heightPx: size[1] };
}

function pngSize(png: Buffer): [number, number] | undefined {
  const isWhole = png.length >= 24 && png.toString('latin1', 12, 16) === 'IHDR';
  return isWhole ? [png.readUInt32BE(16), png.readUInt32BE(20)] : undefined;
}

/** Walks the segments up to the frame header (SOF0 to SOF15 but DHT, JPG and DAC). */
function jpegSize(jpeg: Buffer): [number, number] | undefined {
  const searchedBytes = Math.min(jpeg.length, JPEG_SEARCH_BYTES);
  let at = 2;
  while (at + 9 <= searchedBytes) {
    const marker = jpeg[at + 1] ?? 0;
    if (jpeg[at] !== 0xff) return undefined;
    if (marker === 0xff) at += 1;
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else if (isFrameHeader(marker)) return [jpeg.readUInt16BE(at + 7), jpeg.readUInt16BE(at + 5)];
    else at += 2 + Math.max(jpeg.readUInt16BE(at + 2), 2);
  }
  return undefined;
}

function isFrameHeader(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function webpSize(webp: Buffer): [number, number] | undefined {
  if (webp.length < 30) return undefined;
  const chunk = webp.toString('latin1', 12, 16);
  if (chunk === 'VP8X') return [webp.readUIntLE(24, 3) + 1, webp.readUIntLE(27, 3) + 1];
  if (chunk === 'VP8L' && webp[20] === 0x2f) {
    const bits = webp.readUInt32LE(21);
    return [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
  }
  const isKeyFrame = chunk === 'VP8 ' && webp.readUIntBE(23, 3) === 0x9d012a;
  return isKeyFrame ? [webp.readUInt16LE(26) & 0x3fff, webp.readUInt16LE(28) & 0x3fff] : undefined;
}

function base64Start(text: Uint8Array): number {
  if (!startsWith(text, 0, DATA_URL)) return 0;
  const comma = text.subarray(0, DATA_URL_LONGEST_PREFIX).indexOf(0x2c);
  return comma === -1 ? 0 : comma + 1;
}

const DATA_URL = Buffer.from('data:');

/** Gives at most `mostBytes` decoded bytes; the decoder itself skips escaping backslashes and white space. */
function decodeBase64(text: Uint8Array, mostBytes: number): Buffer {
  const characters = Math.ceil(mostBytes / BASE64_BYTES_PER_GROUP) * BASE64_CHARACTERS_PER_GROUP;
  // Twice as many characters, since every one could be preceded by an escaping backslash.
  const head = Buffer.from(text.buffer, text.byteOffset, Math.min(text.byteLength, characters * 2));
  return Buffer.from(head.toString('latin1').replaceAll('\\', ''), 'base64').subarray(0, mostBytes);
}

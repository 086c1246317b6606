// Writes and reads the ZIP files NovelAI answers with: streamed ones (generate-image) and stored ones (augment-image).
//
// A streamed ZIP has no sizes in its local headers (flag bit 3; they follow the data in a descriptor), so whoever reads it from
// the front is lost: the reader here goes through the central directory only, and trusts none of the sizes it finds there.
import { promisify } from 'node:util';
import { crc32, deflateRaw, deflateRawSync, inflateRaw } from 'node:zlib';

/** One file of a ZIP. Names are as written in the archive: check them before using one as a path. */
export interface ZipEntry {
  readonly name: string;
  readonly bytes: Buffer;
}

/** What a ZIP may cost its reader. */
export interface ZipLimits {
  readonly maxEntries: number;
  /** Bytes of all entries together, inflated. */
  readonly maxInflatedBytes: number;
  /** Inflated size divided by the compressed size, for each entry. */
  readonly maxRatio: number;
}

/** Room for 8 samples of the largest picture there is, upscaled. */
export const DEFAULT_ZIP_LIMITS: ZipLimits = { maxEntries: 64, maxInflatedBytes: 256 * 1024 ** 2, maxRatio: 1000 };

/** Why a ZIP could not be read; `code` tells a broken one from one that breaks a limit. */
export class ZipError extends Error {
  override readonly name = 'ZipError';
  readonly code: 'not-a-zip' | 'damaged' | 'unsupported' | 'over-limit';

  constructor(code: ZipError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const LOCAL_SIGNATURE = 0x04034b50;
const DESCRIPTOR_SIGNATURE = 0x08074b50;
const CENTRAL_SIGNATURE = 0x02014b50;
const END_SIGNATURE = 0x06054b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR_BYTES = 16;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
const LONGEST_COMMENT_BYTES = 0xffff;
const VERSION = 20;
const STORED = 0;
const DEFLATED = 8;
const FLAG_ENCRYPTED = 1;
const FLAG_STREAMED = 8;
const FLAG_UTF8 = 0x800;
/** 1980-01-01, the oldest date a ZIP can hold; a real date would make two equal pictures unequal archives. */
const FIRST_DOS_DATE = 0x0021;
/** Below this, a trip to zlib's thread costs more than the work. */
const SYNC_BELOW_BYTES = 65_536;

const deflateRawAsync = promisify(deflateRaw);
const inflateRawAsync = promisify(inflateRaw);

/** What both headers of an entry say about it. */
interface EntryHeader {
  readonly name: Buffer;
  readonly flags: number;
  readonly method: number;
  readonly dosDate: number;
  readonly crc: number;
  readonly packedBytes: number;
  readonly plainBytes: number;
}

/**
 * Gives a ZIP as NovelAI streams it for generated pictures: deflate, sizes in data descriptors, no dates (contract 3.1). The
 * pieces, in order, are the archive: for each entry its header, data and descriptor, and at last the central directory.
 */
export async function writeStreamedZip(entries: readonly ZipEntry[], level = 1): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, bytes } of entries) {
    const packed =
      bytes.length < SYNC_BELOW_BYTES ? deflateRawSync(bytes, { level }) : await deflateRawAsync(bytes, { level });
    const header: EntryHeader = {
      ...nameAndFlags(name, FLAG_STREAMED),
      method: DEFLATED,
      dosDate: 0,
      crc: crc32(bytes),
      packedBytes: packed.length,
      plainBytes: bytes.length,
    };
    directory.push(centralHeader(header, offset));
    const piece = Buffer.concat([
      localHeader({ ...header, crc: 0, packedBytes: 0, plainBytes: 0 }),
      packed,
      dataDescriptor(header),
    ]);
    offset += piece.length;
    pieces.push(piece);
  }
  pieces.push(endOfZip(directory, offset));
  return pieces;
}

/** Gives a ZIP as augment-image answers: entries stored as they are, sizes in the headers, no descriptors (contract 3.1, 3.5). */
export function writeStoredZip(entries: readonly ZipEntry[]): Buffer {
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, bytes } of entries) {
    const header: EntryHeader = {
      ...nameAndFlags(name, 0),
      method: STORED,
      dosDate: FIRST_DOS_DATE,
      crc: crc32(bytes),
      packedBytes: bytes.length,
      plainBytes: bytes.length,
    };
    directory.push(centralHeader(header, offset));
    const local = localHeader(header);
    pieces.push(local, bytes);
    offset += local.length + bytes.length;
  }
  return Buffer.concat([...pieces, endOfZip(directory, offset)]);
}

/**
 * Gives the entries of a ZIP in the order of its central directory, inflated and checked against their CRC. Bytes in front of
 * the archive are tolerated (contract 3.2, "Trap"). Throws ZipError for anything broken, encrypted, ZIP64 or over a limit.
 */
export async function readZip(bytes: Buffer, limits: ZipLimits = DEFAULT_ZIP_LIMITS): Promise<ZipEntry[]> {
  const end = findEnd(bytes);
  const count = bytes.readUInt16LE(end + 10);
  const directoryBytes = bytes.readUInt32LE(end + 12);
  const directoryOffset = bytes.readUInt32LE(end + 16);
  if (bytes.readUInt16LE(end + 4) !== 0 || count === 0xffff || directoryOffset === 0xffffffff) {
    throw new ZipError('unsupported', 'The ZIP could not be read: it is split or ZIP64; expected one plain ZIP file.');
  }
  if (count > limits.maxEntries) {
    throw new ZipError(
      'over-limit',
      `The ZIP has too many entries: expected at most ${limits.maxEntries}, found ${count}.`,
    );
  }
  const start = end - directoryBytes - directoryOffset;
  if (start < 0) throw damaged('its central directory does not fit in front of its end');

  const entries: ZipEntry[] = [];
  let at = start + directoryOffset;
  let inflatedBytes = 0;
  for (let index = 0; index < count; index++) {
    if (at + CENTRAL_BYTES > end || bytes.readUInt32LE(at) !== CENTRAL_SIGNATURE) {
      throw damaged(`its central directory breaks off at entry ${index}`);
    }
    const header = readCentralHeader(bytes, at);
    inflatedBytes += header.plainBytes;
    checkLimits(header, inflatedBytes, limits);
    entries.push(await readEntry(bytes.subarray(start, end), header));
    at += CENTRAL_BYTES + header.name.length + header.trailingBytes;
  }
  return entries;
}

function nameAndFlags(name: string, flags: number): { name: Buffer; flags: number } {
  const encoded = Buffer.from(name, 'utf8');
  return { name: encoded, flags: encoded.length === name.length ? flags : flags | FLAG_UTF8 };
}

function localHeader(header: EntryHeader): Buffer {
  const bytes = Buffer.alloc(LOCAL_BYTES);
  bytes.writeUInt32LE(LOCAL_SIGNATURE, 0);
  writeCommonFields(bytes, 4, header);
  return Buffer.concat([bytes, header.name]);
}

function dataDescriptor(header: EntryHeader): Buffer {
  const bytes = Buffer.alloc(DESCRIPTOR_BYTES);
  bytes.writeUInt32LE(DESCRIPTOR_SIGNATURE, 0);
  bytes.writeUInt32LE(header.crc, 4);
  bytes.writeUInt32LE(header.packedBytes, 8);
  bytes.writeUInt32LE(header.plainBytes, 12);
  return bytes;
}

function centralHeader(header: EntryHeader, offset: number): Buffer {
  const bytes = Buffer.alloc(CENTRAL_BYTES);
  bytes.writeUInt32LE(CENTRAL_SIGNATURE, 0);
  bytes.writeUInt16LE(VERSION, 4);
  writeCommonFields(bytes, 6, header);
  bytes.writeUInt32LE(offset, 42);
  return Buffer.concat([bytes, header.name]);
}

/** The 26 bytes that a local and a central header share, from "version needed" to the length of the extra field. */
function writeCommonFields(bytes: Buffer, at: number, header: EntryHeader): void {
  bytes.writeUInt16LE(VERSION, at);
  bytes.writeUInt16LE(header.flags, at + 2);
  bytes.writeUInt16LE(header.method, at + 4);
  bytes.writeUInt16LE(header.dosDate, at + 8);
  bytes.writeUInt32LE(header.crc, at + 10);
  bytes.writeUInt32LE(header.packedBytes, at + 14);
  bytes.writeUInt32LE(header.plainBytes, at + 18);
  bytes.writeUInt16LE(header.name.length, at + 22);
}

function endOfZip(directory: readonly Buffer[], offset: number): Buffer {
  const end = Buffer.alloc(END_BYTES);
  end.writeUInt32LE(END_SIGNATURE, 0);
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(
    directory.reduce((sum, header) => sum + header.length, 0),
    12,
  );
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...directory, end]);
}

function findEnd(bytes: Buffer): number {
  const first = Math.max(0, bytes.length - END_BYTES - LONGEST_COMMENT_BYTES);
  for (let at = bytes.length - END_BYTES; at >= first; at--) {
    if (bytes.readUInt32LE(at) === END_SIGNATURE && at + END_BYTES + bytes.readUInt16LE(at + 20) === bytes.length) {
      return at;
    }
  }
  throw new ZipError(
    'not-a-zip',
    `No ZIP could be read: expected an end record, found ${bytes.length} bytes without one.`,
  );
}

interface CentralHeader extends EntryHeader {
  readonly localOffset: number;
  /** Extra field and comment, between this header and the next. */
  readonly trailingBytes: number;
}

function readCentralHeader(bytes: Buffer, at: number): CentralHeader {
  const nameBytes = bytes.readUInt16LE(at + 28);
  return {
    flags: bytes.readUInt16LE(at + 8),
    method: bytes.readUInt16LE(at + 10),
    dosDate: bytes.readUInt16LE(at + 14),
    crc: bytes.readUInt32LE(at + 16),
    packedBytes: bytes.readUInt32LE(at + 20),
    plainBytes: bytes.readUInt32LE(at + 24),
    name: bytes.subarray(at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameBytes),
    trailingBytes: bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32),
    localOffset: bytes.readUInt32LE(at + 42),
  };
}

function checkLimits(header: CentralHeader, inflatedBytes: number, limits: ZipLimits): void {
  if (inflatedBytes > limits.maxInflatedBytes) {
    throw new ZipError(
      'over-limit',
      `The ZIP is too large: expected at most ${limits.maxInflatedBytes} bytes unpacked, found ${inflatedBytes}.`,
    );
  }
  if (header.plainBytes > Math.max(header.packedBytes, 1) * limits.maxRatio) {
    throw new ZipError(
      'over-limit',
      `The ZIP is packed too tightly: expected at most ${limits.maxRatio} times smaller, found ${header.packedBytes} bytes for ${header.plainBytes}.`,
    );
  }
}

/** `archive` ends where the end record begins, so no entry can reach past it. */
async function readEntry(archive: Buffer, header: CentralHeader): Promise<ZipEntry> {
  const name = header.name.toString('utf8');
  if (header.flags & FLAG_ENCRYPTED) throw new ZipError('unsupported', `Entry ${name} of the ZIP is encrypted.`);
  const local = header.localOffset;
  if (local + LOCAL_BYTES > archive.length || archive.readUInt32LE(local) !== LOCAL_SIGNATURE) {
    throw damaged(`entry ${name} is not where its directory says`);
  }
  const from = local + LOCAL_BYTES + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  if (from + header.packedBytes > archive.length) throw damaged(`entry ${name} breaks off`);
  const packed = archive.subarray(from, from + header.packedBytes);
  const bytes = await unpack(packed, header, name);
  if (bytes.length !== header.plainBytes) throw damaged(`entry ${name} has another size than its directory says`);
  if (crc32(bytes) !== header.crc) throw damaged(`entry ${name} has another checksum than its directory says`);
  return { name, bytes };
}

async function unpack(packed: Buffer, header: CentralHeader, name: string): Promise<Buffer> {
  if (header.method === STORED) return packed;
  if (header.method !== DEFLATED) {
    throw new ZipError(
      'unsupported',
      `Entry ${name} of the ZIP is packed by method ${header.method}; expected 0 or 8.`,
    );
  }
  try {
    // One byte more than announced is enough to know a liar, and never more memory than the limits allow.
    return await inflateRawAsync(packed, { maxOutputLength: header.plainBytes + 1 });
  } catch (cause) {
    throw damaged(`entry ${name} could not be unpacked`, cause);
  }
}

function damaged(what: string, cause?: unknown): ZipError {
  return new ZipError('damaged', `The ZIP is damaged: ${what}.`, cause === undefined ? {} : { cause });
}

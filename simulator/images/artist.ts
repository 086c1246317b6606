// Makes pictures and their ZIPs, and keeps the recent ones: the same request is drawn once.
import { LRUCache } from 'lru-cache';
import { encodePng } from '../../src/novelai/png.ts';
import { writeStreamedZip } from '../../src/novelai/zip.ts';
import { generatedTexts } from './metadata.ts';
import { makeCannedAnswer } from './canned.ts';
import type { CannedAnswer } from './canned.ts';
import { encodeJpeg, encodeWebp } from './other-formats.ts';
import { drawPicture } from './picture.ts';
import type { ImageRequest } from './image-request.ts';

const CACHE_BYTES = 96 * 1024 ** 2;
/** Intermediates are a quarter of the picture a side, which gives JPEGs of 9-18 kB (contract 3.2). */
const INTERMEDIATE_SCALE = 0.25;
const SMALLEST_SIDE_PX = 8;
const CANNED_IDENTITY = '0'.repeat(64);

export class Artist {
  readonly #imageScale: number;
  readonly #canned: Promise<CannedAnswer> | undefined;
  readonly #cache = new LRUCache<string, Buffer>({
    maxSize: CACHE_BYTES,
    sizeCalculation: (bytes) => bytes.length + 200,
  });

  constructor(options: { imageScale: number; cannedAnswerBytes: number | undefined }) {
    this.#imageScale = options.imageScale;
    this.#canned = options.cannedAnswerBytes === undefined ? undefined : makeCannedAnswer(options.cannedAnswerBytes);
  }

  /** Gives the ZIP of all samples, as one Buffer that is the same object for the same request while it is kept. */
  async zipOf(request: ImageRequest): Promise<Buffer> {
    if (this.#canned) return (await this.#canned).zip;
    return this.#kept(`zip ${request.samples} ${request.identityOf(0)}`, async () => {
      const entries = [];
      for (let sample = 0; sample < request.samples; sample++) {
        entries.push({ name: `image_${sample}.${request.format}`, bytes: await this.pictureOf(request, sample) });
      }
      return Buffer.concat(await writeStreamedZip(entries));
    });
  }

  /** Gives one sample as PNG or WebP. */
  async pictureOf(request: ImageRequest, sample: number): Promise<Buffer> {
    if (this.#canned) return (await this.#canned).png;
    const identity = request.identityOf(sample);
    return this.#kept(`${request.format} ${identity}`, () => {
      const seed = request.seed + sample;
      const texts = generatedTexts(request, seed, identity);
      const factor = request.billable.isUpscaled === true ? 2 : 1;
      const size = this.#scaled(request.widthPx * factor, request.heightPx * factor);
      const rgba = drawPicture({ identity, ...size, caption: `${request.prompt} #${seed}` });
      return request.format === 'webp' ? encodeWebp({ ...size, rgba, texts }) : encodePng({ ...size, rgba, texts });
    });
  }

  /** Gives a picture that no generation request stands behind, e.g. a Director tool's. */
  plainPicture(drawing: {
    identity: string;
    widthPx: number;
    heightPx: number;
    caption: string;
    texts: readonly (readonly [string, string])[];
  }): Promise<Buffer> {
    return this.#kept(`plain ${drawing.identity}`, () => {
      const size = this.#scaled(drawing.widthPx, drawing.heightPx);
      const rgba = drawPicture({ identity: drawing.identity, ...size, caption: drawing.caption });
      return encodePng({ ...size, rgba, texts: drawing.texts });
    });
  }

  /** Gives the JPEG of a sample after a step; `progress` runs from 0 to 1. */
  intermediateOf(request: ImageRequest, sample: number, progress: number): Promise<Buffer> {
    if (this.#canned) return this.#jpeg(CANNED_IDENTITY, 832, 1216, 1);
    return this.#jpeg(request.identityOf(sample), request.widthPx, request.heightPx, progress);
  }

  #jpeg(identity: string, widthPx: number, heightPx: number, progress: number): Promise<Buffer> {
    return this.#kept(`jpeg ${progress.toFixed(3)} ${identity}`, () => {
      const size = this.#scaled(widthPx * INTERMEDIATE_SCALE, heightPx * INTERMEDIATE_SCALE);
      const rgba = drawPicture({ identity, ...size, caption: '', unfinished: 1 - progress });
      return encodeJpeg({ ...size, rgba });
    });
  }

  #scaled(widthPx: number, heightPx: number): { widthPx: number; heightPx: number } {
    const scale = (sidePx: number) => Math.max(SMALLEST_SIDE_PX, Math.round(sidePx * this.#imageScale));
    return { widthPx: scale(widthPx), heightPx: scale(heightPx) };
  }

  async #kept(key: string, make: () => Promise<Buffer>): Promise<Buffer> {
    const kept = this.#cache.get(key);
    if (kept) return kept;
    const made = ownMemory(await make());
    this.#cache.set(key, made);
    return made;
  }
}

/** A small Buffer is a view into a larger pool, which would be kept with it. */
function ownMemory(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}

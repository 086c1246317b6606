// POST /ai/generate-image-stream: intermediate pictures while the steps pass, then the finished ones (contract 3.2).
import {
  encodeStreamEventAsSse,
  encodeStreamFrame,
  MSGPACK_CONTENT_TYPE,
  SSE_CONTENT_TYPE,
} from '../../src/novelai/stream-frames.ts';
import type { StreamEvent } from '../../src/novelai/stream-frames.ts';
import type { Exchange } from '../exchange.ts';
import { isChargedFault } from '../faults.ts';
import { generate } from '../generation.ts';
import type { Pace } from '../generation.ts';
import { readImageRequest } from '../images/image-request.ts';
import type { ImageRequest } from '../images/image-request.ts';
import { sigmaOf } from '../images/sigmas.ts';
import type { World } from '../world.ts';
import { allPictures, workOf } from './generate-image.ts';

/** First and last intermediate, as shares of the duration: 0.56 s and about 2.3 s of 2.4 s were seen. */
const FIRST_SHARE = 0.2;
const LAST_SHARE = 0.95;
const FRAMES_BEFORE_ERROR = 3;

/** Ends a generation that a planned fault breaks off in the middle. */
class BrokenOff extends Error {
  override readonly name = 'BrokenOff';
}

export async function generateImageStream(exchange: Exchange, world: World): Promise<void> {
  const request = await readImageRequest(exchange, world);
  const sender = new FrameSender(exchange, request);
  const job = { slot: 'image' as const, work: workOf(request), billable: request.billable };
  try {
    const pictures = await generate(exchange, world, {
      ...job,
      async produce(pace) {
        sender.open();
        const finished = allPictures(request, world);
        await sendIntermediates(sender, request, world, pace);
        return finished;
      },
    });
    if (exchange.fault?.kind === 'stream-error') throw new BrokenOff();
    for (const [sample, image] of pictures.entries()) {
      sender.send({ event_type: 'final', samp_ix: sample, gen_id: sender.generationId, image });
    }
  } catch (error) {
    if (!(error instanceof BrokenOff)) throw error;
    sender.send({ event_type: 'error', message: exchange.fault?.message ?? 'Internal Server Error', samp_ix: 0 });
  }
  exchange.end();
}

/** Gives how many intermediates a request has: one less than its steps, and with img2img only the steps it really does. */
export function intermediatesOf({ steps, strength, hasImage, hasMask }: ImageRequest): number {
  const count = hasImage && !hasMask ? Math.floor(steps * strength) : Math.ceil(steps) - 1;
  return Math.max(0, count);
}

/** Writes events in the form the request asked for; each in one piece, since some clients cut at network chunks. */
class FrameSender {
  readonly generationId: number;
  readonly #exchange: Exchange;
  readonly #isSse: boolean;
  readonly #failsAfter: number;
  #sent = 0;

  constructor(exchange: Exchange, request: ImageRequest) {
    const { fault } = exchange;
    this.#exchange = exchange;
    this.#isSse = request.stream === 'sse';
    this.generationId = Number.parseInt(request.identityOf(0).slice(16, 22), 16);
    const breaksOff = fault?.kind === 'stream-error' && !isChargedFault(fault);
    this.#failsAfter = breaksOff ? (fault.afterFrames ?? FRAMES_BEFORE_ERROR) : Infinity;
  }

  open(): void {
    this.#exchange.openStream([
      ['content-type', this.#isSse ? SSE_CONTENT_TYPE : MSGPACK_CONTENT_TYPE],
      ['cache-control', 'no-cache'],
    ]);
  }

  /** Whether nobody is left to draw for. */
  get isUseless(): boolean {
    return this.#exchange.isClosed;
  }

  sendIntermediate(event: StreamEvent): void {
    if (this.#sent >= this.#failsAfter) throw new BrokenOff();
    this.send(event);
  }

  send(event: StreamEvent): void {
    this.#sent++;
    this.#exchange.write(this.#isSse ? encodeStreamEventAsSse(event) : encodeStreamFrame(event));
  }
}

async function sendIntermediates(sender: FrameSender, request: ImageRequest, world: World, pace: Pace): Promise<void> {
  const count = intermediatesOf(request);
  for (let step = 0; step < count; step++) {
    const progress = count === 1 ? 1 : step / (count - 1);
    await pace.until(FIRST_SHARE + (LAST_SHARE - FIRST_SHARE) * progress);
    for (let sample = 0; sample < request.samples && !sender.isUseless; sample++) {
      const image = await world.artist.intermediateOf(request, sample, progress);
      sender.sendIntermediate({
        event_type: 'intermediate',
        samp_ix: sample,
        step_ix: step,
        gen_id: sender.generationId,
        sigma: sigmaOf(step, count),
        image,
      });
    }
  }
}

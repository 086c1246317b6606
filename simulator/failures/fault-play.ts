// Plays a fault: instead of handling the request, or on the answer it would have had.
import type { Answer, Exchange } from '../exchange.ts';
import { faultAnswer } from './fault-answer.ts';
import { BEFORE_CUT_MS, noise } from './faulty-body.ts';
import type { FaultRule } from '../faults.ts';
import type { World } from '../world.ts';

const SLOW_PIECES = 20;

/** Plays a fault that needs no answer: after its pause, a hang, a reset or another status. */
export async function playAtOnce(exchange: Exchange, world: World, fault: FaultRule): Promise<void> {
  await world.clock.wait(fault.delayMs ?? 0);
  if (fault.kind === 'hang') return exchange.closed;
  if (fault.kind === 'reset-before-headers') return exchange.cut('reset');
  exchange.sendWhole(faultAnswer(fault));
}

/** Sends what the fault makes of `answer`. The generation behind it is over, and charged if it was to be. */
export async function answerWithFault(exchange: Exchange, answer: Answer, fault: FaultRule): Promise<void> {
  const delayMs = fault.delayMs ?? 0;
  if (fault.kind !== 'slow-body') await pause(delayMs);
  switch (fault.kind) {
    case 'delay':
      return exchange.sendWhole(answer);
    case 'hang':
      return exchange.closed;
    case 'reset-before-headers':
      return exchange.cut('reset');
    case 'reset-after-headers':
    case 'truncate':
      return cutWithin(exchange, answer, fault);
    case 'short-body': {
      const body = Buffer.concat(answer.pieces);
      return exchange.sendWhole({ ...answer, pieces: [body.subarray(0, fault.afterBytes ?? body.length >> 1)] });
    }
    case 'garbage':
      return exchange.sendWhole({ ...answer, pieces: answer.pieces.map((piece) => noise(piece.length)) });
    case 'slow-body':
      return dripOut(exchange, answer, delayMs);
    case 'status':
    case 'stream-error':
      return exchange.sendWhole(faultAnswer(fault));
  }
}

async function cutWithin(exchange: Exchange, answer: Answer, fault: FaultRule): Promise<void> {
  const body = Buffer.concat(answer.pieces);
  exchange.sendHead(answer.status, answer.headers, answer.framing === 'length' ? body.length : undefined);
  const passed = body.subarray(0, fault.afterBytes ?? body.length >> 1);
  if (passed.length > 0) exchange.writeRaw(passed);
  else exchange.response.flushHeaders();
  await pause(BEFORE_CUT_MS);
  exchange.cut(fault.kind === 'truncate' ? 'fin' : 'reset');
}

async function dripOut(exchange: Exchange, answer: Answer, overMs: number): Promise<void> {
  const body = Buffer.concat(answer.pieces);
  exchange.sendHead(answer.status, answer.headers, answer.framing === 'length' ? body.length : undefined);
  const pieceBytes = Math.max(1, Math.ceil(body.length / SLOW_PIECES));
  for (let at = 0; at < body.length; at += pieceBytes) {
    await pause(overMs / SLOW_PIECES);
    exchange.writeRaw(body.subarray(at, at + pieceBytes));
  }
  exchange.endRaw();
}

/** Short, real pauses that a closing simulator need not cut short. */
function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs).unref();
  });
}

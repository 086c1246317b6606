// Holds the bodies of the service's own routes to the limit of the moment: Fastify's own is fixed when a route is made.
import { pipeline, Transform } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { ProxyError } from '../lib/proxy-error.ts';

/** Refuses with 413 what is larger than the limit at that time: by its declared size at once, otherwise as it comes. */
export function limitBodies(app: FastifyInstance, limit: () => number): void {
  app.addHook('preParsing', ({ headers }, _reply, payload, done) => {
    const limitBytes = limit();
    if (Number(headers['content-length'] ?? 0) > limitBytes) done(tooLarge(limitBytes));
    else if (headers['transfer-encoding'] === undefined) done(null, payload);
    else
      done(
        null,
        // Its reader is told of a failure; there is nobody else to tell.
        pipeline(payload, bounded(limitBytes), () => undefined),
      );
  });
}

function bounded(limitBytes: number): Transform {
  let sizeBytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      sizeBytes += chunk.length;
      if (sizeBytes > limitBytes) callback(tooLarge(limitBytes));
      else callback(null, chunk);
    },
  });
}

function tooLarge(limitBytes: number): ProxyError {
  return new ProxyError('client_body_too_large', {
    message: `The request body is too large: expected at most ${limitBytes} bytes.`,
  });
}

// `GET /metrics`, for Prometheus.
import { timingSafeEqual, createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';

export interface MetricsRouteOptions {
  /** Opens the metrics to other machines; without one they are for this machine only. Secret. */
  token: string | undefined;
  /** Gives all metrics in Prometheus' text form. */
  read: () => Promise<{ contentType: string; text: string }>;
}

/** Whoever has been forwarded came from elsewhere, whatever machine the front proxy runs on. */
const FORWARDED_HEADERS = ['forwarded', 'x-forwarded-for', 'x-real-ip'] as const;

export function registerMetricsRoutes(app: FastifyInstance, { token, read }: MetricsRouteOptions): void {
  app.get('/metrics', async (request, reply) => {
    const isAllowed = isLocal(request) || (token !== undefined && hasToken(request, token));
    if (!isAllowed) {
      // The metrics name accounts and clients.
      const message =
        token === undefined
          ? 'Metrics are given to this machine only. Set METRICS_TOKEN to read them from elsewhere.'
          : 'Metrics are given to this machine, and elsewhere for METRICS_TOKEN as a bearer token.';
      return reply.status(403).type('text/plain').send(`${message}\n`);
    }
    const { contentType, text } = await read();
    return reply.type(contentType).send(text);
  });
}

function isLocal({ socket, headers }: FastifyRequest): boolean {
  const { remoteAddress = '' } = socket;
  const isLoopback = remoteAddress === '::1' || /^(::ffff:)?127\./.test(remoteAddress);
  return isLoopback && FORWARDED_HEADERS.every((name) => headers[name] === undefined);
}

function hasToken({ headers: { authorization = '' } }: FastifyRequest, token: string): boolean {
  const [, given = ''] = /^Bearer (.+)$/i.exec(authorization) ?? [];
  const digest = (secret: string) => createHash('sha256').update(secret).digest();
  return timingSafeEqual(digest(given), digest(token));
}

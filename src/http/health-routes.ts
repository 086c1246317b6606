// Liveness and readiness for supervisors and people.
import type { FastifyInstance } from 'fastify';

export interface HealthSource {
  /** Whether a generation sent now could be served, and what stands in the way of each account otherwise. */
  readiness(): { isReady: boolean; accounts: { name: string; state: string; why?: string | undefined }[] };
}

export function registerHealthRoutes(app: FastifyInstance, health: HealthSource): void {
  app.get('/livez', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    const { isReady, accounts } = health.readiness();
    return reply.status(isReady ? 200 : 503).send({ status: isReady ? 'ready' : 'not ready', accounts });
  });
}

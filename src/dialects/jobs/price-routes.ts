// `POST /v1/price`: what a request would cost, and on which accounts; nothing is sent.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as z from 'zod';
import type { AccountPool } from '../../accounts/account-pool.ts';
import { pricedAccount, quotePrice, type AskedPayer, type PriceQuote } from '../../accounts/price-quote.ts';
import type { ClientRegistry } from '../../clients/client-registry.ts';
import { ProxyError } from '../../lib/proxy-error.ts';
import { ENDPOINTS } from '../../novelai/endpoints.ts';
import { readRequestBody } from '../../novelai/request-body.ts';
import { identifyClient } from '../identify-client.ts';

export interface PriceRouteOptions {
  clients: ClientRegistry;
  pool: AccountPool;
}

const PRICED = ENDPOINTS.filter(({ mayCostAnlas }) => mayCostAnlas).map(({ id }) => id);

const querySchema = z.object({
  /** For which endpoint the body is. */
  endpoint: z.enum(PRICED, { error: `expected one of ${PRICED.join(', ')}` }).default('generate-image'),
  /** For another kind of account than those at hand. */
  tier: z.coerce
    .number({ error: 'expected 0 to 3' })
    .int()
    .min(0, { error: 'expected 0 to 3' })
    .max(3, { error: 'expected 0 to 3' })
    .optional(),
  active: z.enum(['true', 'false'], { error: 'expected true or false' }).optional(),
});

export function registerPriceRoutes(app: FastifyInstance, { clients, pool }: PriceRouteOptions): void {
  void app.register((scope, _options, done) => {
    // The body is NovelAI's, in any form NovelAI takes.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body));
    scope.post('/v1/price', (request): PriceQuote => {
      identifyClient(request, clients);
      const { endpoint, asked } = readQuery(request);
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const { billable } = readRequestBody(endpoint, request.headers['content-type'], body);
      const accounts = pool.accounts.map(({ name, balance }) => pricedAccount(name, balance.subscription));
      return quotePrice(billable, accounts, asked);
    });
    done();
  });
}

function readQuery({ query }: FastifyRequest): { endpoint: (typeof PRICED)[number]; asked: AskedPayer } {
  const parsed = querySchema.safeParse(query);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new ProxyError('client_invalid_field', { message: faults.join('; ') });
  }
  const { endpoint, tier, active } = parsed.data;
  const isActive = active === undefined ? undefined : active === 'true';
  return { endpoint, asked: { ...(tier !== undefined && { tier }), ...(isActive !== undefined && { isActive }) } };
}

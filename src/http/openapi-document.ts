// The OpenAPI 3.1 document of everything the service itself defines: its own routes, and what it adds to NovelAI's.
import * as z from 'zod';
import { BANDS } from '../clients/client.ts';
import { proxyErrors } from '../lib/proxy-error.ts';
import { VERSION } from '../lib/version.ts';
import { answerHeaders, requestHeaders } from './openapi-headers.ts';
import {
  errorSchema,
  livenessSchema,
  priceSchema,
  queueSchema,
  readinessSchema,
  versionSchema,
} from './openapi-schemas.ts';

const DESCRIPTION = `One address and a token per program for your own NovelAI subscriptions.

Everything under \`/ai/\`, \`/oa/v1/\` and \`/user/\` is NovelAI's own API (https://image.novelai.net/docs): requests and answers
pass through unchanged. Described here is what the service itself defines: its own routes, the headers it reads and adds on NovelAI's
paths (\`components/pathItems/NovelAI\`), and its errors. They have NovelAI's form, and the header \`x-proxy-error\` tells them apart from
NovelAI's: a code that begins with the one at fault, \`client_\`, \`policy_\`, \`upstream_\` or \`proxy_\`.`;

const BEARER = [{ token: [] }];

/** Gives the document, ready to be written as JSON. */
export function openApiDocument() {
  return {
    openapi: '3.1.0',
    info: {
      title: 'NovelAI Proxy Service',
      version: VERSION,
      summary: 'What the service defines beside the NovelAI API that it passes on.',
      description: DESCRIPTION,
      license: { name: 'GPL-3.0-only', identifier: 'GPL-3.0-only' },
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'work', description: 'For programs; need a token.' },
      { name: 'operation', description: 'For supervisors and people; need no token.' },
    ],
    paths: { ...operationPaths(), ...workPaths() },
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: "The program's token. Any other scheme word, and the bare token, are taken as well.",
        },
      },
      schemas: {
        Error: jsonSchema(errorSchema),
        Liveness: jsonSchema(livenessSchema),
        Readiness: jsonSchema(readinessSchema),
        Version: jsonSchema(versionSchema),
        Queue: jsonSchema(queueSchema),
        Price: jsonSchema(priceSchema),
      },
      headers: answerHeaders(),
      parameters: requestHeaders(BANDS),
      responses: refusals(),
      pathItems: { NovelAI: novelaiPath() },
    },
  };
}

function operationPaths() {
  const operation = (operationId: string, summary: string, responses: object) => ({
    get: { operationId, summary, tags: ['operation'], responses },
  });
  return {
    '/': operation('about', 'What this is, for a person with a browser.', { 200: text('A few lines.'), ...stopping() }),
    '/livez': operation('isAlive', 'Whether the process runs. Also while it stops.', {
      200: json('It does.', 'Liveness'),
    }),
    '/readyz': operation(
      'isReady',
      'Whether a generation sent now could be served, and what stands in the way otherwise.',
      {
        200: json('At least one account can take work, or is only resting.', 'Readiness'),
        503: json('No account can, or the service is stopping.', 'Readiness'),
      },
    ),
    '/version': operation('version', 'Which version runs, on what, and for how long.', {
      200: json('The version.', 'Version'),
    }),
    '/metrics': {
      get: {
        operationId: 'metrics',
        summary: 'Metrics in the Prometheus text form.',
        description: 'For this machine; for others with METRICS_TOKEN as the bearer token.',
        tags: ['operation'],
        security: [{}, ...BEARER],
        responses: { 200: text('All metrics.'), 403: text('Asked from another machine without the token.') },
      },
    },
    '/openapi.json': operation('openApi', 'This document.', {
      200: { description: 'OpenAPI 3.1.', content: { 'application/json': { schema: { type: 'object' } } } },
      ...stopping(),
    }),
  };
}

function workPaths() {
  return {
    '/v1/queue': {
      get: {
        operationId: 'queue',
        summary: "The program's own waiting requests, their places and expected starts, and totals.",
        tags: ['work'],
        security: BEARER,
        parameters: [
          query('limit', 'How many of its requests are listed at most.', {
            type: 'integer',
            minimum: 1,
            maximum: 1000,
            default: 100,
          }),
        ],
        responses: { 200: json('The queue as this program sees it.', 'Queue'), ...refused(400, 401), ...stopping() },
      },
    },
    '/v1/price': {
      post: {
        operationId: 'price',
        summary: 'What a request would cost, and on which accounts. Nothing is sent to NovelAI.',
        tags: ['work'],
        security: BEARER,
        parameters: [
          query('endpoint', 'For which endpoint the body is.', { type: 'string', default: 'generate-image' }),
          query('tier', 'For an account of this tier instead of those at hand: 0 Paper to 3 Opus.', {
            type: 'integer',
            minimum: 0,
            maximum: 3,
          }),
          query('active', 'For an account whose subscription is active or not.', { type: 'boolean' }),
        ],
        requestBody: {
          description: 'The body as it would go to NovelAI, JSON or multipart.',
          required: true,
          content: { 'application/json': {}, 'multipart/form-data': {} },
        },
        responses: { 200: json('The price.', 'Price'), ...refused(400, 401, 413), ...stopping() },
      },
    },
  };
}

/** What the service adds to every path of NovelAI's. */
function novelaiPath() {
  const statuses = [...new Set(proxyErrors().map(({ status }) => status))].filter(isAnswered);
  return {
    summary: "Any path of NovelAI's, such as /ai/generate-image.",
    post: {
      operationId: 'novelai',
      tags: ['work'],
      security: BEARER,
      parameters: Object.keys(requestHeaders(BANDS)).map((name) => ({ $ref: `#/components/parameters/${name}` })),
      responses: {
        ...refused(...statuses),
        default: {
          description: "NovelAI's answer, errors included: status, type and bytes as they came.",
          headers: headers(
            'x-request-id',
            'x-queue-wait',
            'x-account',
            'x-proxy-cache',
            'x-anlas-saved',
            'x-proxy-replay',
            'x-proxy-changed',
          ),
        },
      },
    },
  };
}

/** One for each status: which codes it can have, and what they mean. */
function refusals(): Record<string, object> {
  const byStatus = Map.groupBy(proxyErrors(), ({ status }) => status);
  const entries = [...byStatus]
    .filter(([status]) => isAnswered(status))
    .map(([status, errors]) => {
      const isRetryable = errors.some((error) => error.isRetryable);
      return [
        `Refused${status}`,
        {
          description: `The service's own refusal. \`x-proxy-error\`:\n${errors.map(({ code, sentence }) => `- \`${code}\`: ${sentence}`).join('\n')}`,
          headers: headers('x-proxy-error', 'x-request-id', ...(isRetryable ? (['retry-after'] as const) : [])),
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
        },
      ];
    });
  return Object.fromEntries(entries) as Record<string, object>;
}

/** 499 is only for the log: the client has left. */
function isAnswered(status: number): boolean {
  return status !== 499;
}

function refused(...statuses: number[]) {
  return Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/Refused${status}` }]));
}

function stopping() {
  return refused(503);
}

function json(description: string, schema: string) {
  return { description, content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } } };
}

function text(description: string) {
  return { description, content: { 'text/plain': { schema: { type: 'string' } } } };
}

function query(name: string, description: string, schema: object) {
  return { name, in: 'query', description, schema };
}

function headers(...names: (keyof ReturnType<typeof answerHeaders>)[]) {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function jsonSchema(schema: z.ZodType): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema);
  return rest;
}

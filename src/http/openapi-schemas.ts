// The answers of the service's own routes as schemas: their types here, their description in the OpenAPI document. Loaded only
// when that document is asked for; routes import nothing but the types.
import * as z from 'zod';

export const livenessSchema = z.object({ status: z.literal('ok') });

export const readinessSchema = z.object({
  status: z
    .enum(['ready', 'not ready', 'stopping'])
    .describe('`stopping`: the service takes no new requests and finishes what is at NovelAI.'),
  accounts: z.array(
    z.object({
      name: z.string(),
      state: z.string().describe('`ready`, `cooling`, `refreshing`, `draining` or `disabled`.'),
      why: z.string().optional().describe('What stands in the way; absent when ready.'),
    }),
  ),
});

export const versionSchema = z.object({
  name: z.string(),
  version: z.string(),
  node: z.string().describe('Version of Node it runs on.'),
  startedAt: z.iso.datetime().describe('When it started, UTC.'),
  uptimeSeconds: z.int().min(0),
});

const totalsSchema = z.object({
  waiting: z.int().min(0),
  running: z.int().min(0),
  slots: z.int().min(0),
  idleSlots: z.int().min(0),
});

export const queueSchema = z.object({
  waiting: z
    .array(
      z.object({
        requestId: z.string(),
        endpoint: z.string(),
        model: z.string().optional(),
        position: z.int().min(1).describe('Place in the order of all starts, 1 = next.'),
        etaP50Seconds: z
          .number()
          .nullable()
          .describe('Half of such forecasts are met by then; null when no slot is in sight.'),
        etaP90Seconds: z.number().nullable().describe('Nine in ten such forecasts are met by then.'),
        waitedSeconds: z.number(),
      }),
    )
    .describe("The first of the program's own requests that wait, in the order they are expected to start."),
  waitingCount: z.int().min(0).describe("How many of the program's requests wait in all."),
  totals: z.object({ image: totalsSchema, text: totalsSchema }).describe('Of all programs together.'),
});

export const priceSchema = z.object({
  anlas: z.int().min(0).describe('On the account that was asked for, or on the cheapest that can pay.'),
  free: z.boolean(),
  reason: z.string().describe('How the price came about.'),
  refusal: z.string().optional().describe('Set when NovelAI does not do this at any price.'),
  accounts: z.array(z.object({ name: z.string(), anlas: z.int().min(0), free: z.boolean(), can_pay: z.boolean() })),
});

/** NovelAI's own error form, which the service's errors have as well. */
export const errorSchema = z.object({
  statusCode: z.int().min(400).max(599).describe('The HTTP status.'),
  message: z.string(),
  details: z.unknown().optional(),
});

export type Liveness = z.infer<typeof livenessSchema>;
export type Readiness = z.infer<typeof readinessSchema>;
export type VersionAnswer = z.infer<typeof versionSchema>;

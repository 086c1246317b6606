// POST /ai/generate and /ai/generate-stream: NovelAI's own text form (contract 3.10).
import { NOVELAI_MESSAGES } from '../../src/novelai/error-form.ts';
import { encodeServerSentEvent, SSE_CONTENT_TYPE } from '../../src/novelai/stream-frames.ts';
import type { Exchange } from '../exchange.ts';
import { generate } from '../generation.ts';
import type { Pace } from '../generation.ts';
import { Refusal } from '../refusal.ts';
import { isMembers, numberOf, parseMembers, textOf } from '../request-body.ts';
import type { World } from '../world.ts';
import { packTokens, writeTokens } from './text-writer.ts';
import type { WrittenToken } from './text-writer.ts';

const BYTES_PER_TOKEN: Readonly<Record<string, 2 | 4>> = { 'kayra-v1': 2, 'llama-3-erato-v1': 4 };
const LONGEST_INPUT = 100_000;
const DEFAULT_TOKENS = 40;
/** Longest answer by tier: Paper and Tablet, Scroll, Opus. */
const MOST_TOKENS = [150, 150, 150, 250] as const;

interface TextRequest {
  readonly tokens: readonly WrittenToken[];
  readonly bytesPerToken: 2 | 4;
  /** Whether text goes both ways rather than packed tokens. */
  readonly isString: boolean;
}

export async function generateText(exchange: Exchange, world: World): Promise<void> {
  const request = readTextRequest(exchange);
  const tokens = await write(exchange, world, request, (pace) => pace.until(1));
  const ids = tokens.map(({ id }) => id);
  const output = request.isString ? tokens.map(({ text }) => text).join('') : packTokens(ids, request.bytesPerToken);
  return exchange.json(200, { output });
}

export async function generateTextStream(exchange: Exchange, world: World): Promise<void> {
  const request = readTextRequest(exchange);
  const event = (token: WrittenToken, ptr: number) => ({
    token: request.isString ? token.text : packTokens([token.id], request.bytesPerToken),
    ptr,
    final: ptr === request.tokens.length - 1,
    logprobs: null,
  });
  const send = (token: WrittenToken, ptr: number) =>
    exchange.write(encodeServerSentEvent('newToken', event(token, ptr)));
  await write(exchange, world, request, async (pace) => {
    exchange.openStream([
      ['content-type', SSE_CONTENT_TYPE],
      ['cache-control', 'no-cache'],
    ]);
    for (const [index, token] of request.tokens.slice(0, -1).entries()) {
      await pace.until((index + 1) / request.tokens.length);
      send(token, index);
    }
  });
  const last = request.tokens.at(-1);
  if (last) send(last, request.tokens.length - 1);
  exchange.end();
}

function write(
  exchange: Exchange,
  world: World,
  { tokens }: TextRequest,
  pass: (pace: Pace) => Promise<void>,
): Promise<readonly WrittenToken[]> {
  return generate(exchange, world, {
    slot: 'text',
    work: { kind: 'text', tokens: tokens.length },
    billable: { kind: 'nothing' },
    async produce(pace) {
      await pass(pace);
      return tokens;
    },
  });
}

function readTextRequest(exchange: Exchange): TextRequest {
  const body = parseMembers(exchange.body);
  const model = textOf(body, 'model') ?? '';
  const bytesPerToken = BYTES_PER_TOKEN[model];
  if (bytesPerToken === undefined) throw new Refusal(400, NOVELAI_MESSAGES.modelDoesNotExist(model));
  const input = textOf(body, 'input');
  if (input === undefined || input.length > LONGEST_INPUT) {
    throw new Refusal(400, `Validation error: input must have at most ${LONGEST_INPUT} characters`);
  }
  const parameters = isMembers(body['parameters']) ? body['parameters'] : {};
  const isString = parameters['use_string'] !== false;
  if (!isString && Buffer.from(input, 'base64').length % bytesPerToken !== 0) {
    throw new Refusal(400, NOVELAI_MESSAGES.invalidPackedInputSize);
  }
  const wanted = numberOf(parameters, 'max_length') ?? DEFAULT_TOKENS;
  const count = Math.max(1, Math.min(Math.floor(wanted), MOST_TOKENS[exchange.account.tier]));
  const makeUp = JSON.stringify([model, input, parameters]);
  return { tokens: writeTokens(makeUp, count), bytesPerToken, isString };
}

// The /oa/v1 endpoints: OpenAI's form as NovelAI speaks it, with its oddities (contract 3.10).
import { SSE_CONTENT_TYPE } from '../../src/novelai/stream-frames.ts';
import type { Exchange } from '../exchange.ts';
import { generate } from '../generation.ts';
import { Refusal } from '../refusal.ts';
import { arrayOf, isMembers, numberOf, parseMembers, textOf } from '../request-body.ts';
import type { Members } from '../request-body.ts';
import type { World } from '../world.ts';
import { countTokens, writeTokens } from './text-writer.ts';
import type { WrittenToken } from './text-writer.ts';

/** Each model and the lowest tier that may use it. */
const MODELS: ReadonlyMap<string, number> = new Map([
  ['glm-4-6', 0],
  ['xialong-v1', 3],
]);
const MODELS_CREATED = 1_760_000_000;
const DEFAULT_TOKENS = 100;
const MOST_TOKENS = 2048;
const ID_LENGTH = 24;

type Kind = 'chat' | 'completion';

interface Completion {
  readonly kind: Kind;
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly promptTokens: number;
  readonly tokens: readonly WrittenToken[];
  readonly isStream: boolean;
}

export function completions(exchange: Exchange, world: World): Promise<void> {
  return complete(exchange, world, 'completion');
}

export function chatCompletions(exchange: Exchange, world: World): Promise<void> {
  return complete(exchange, world, 'chat');
}

export function tokenCount(exchange: Exchange): Promise<void> {
  const encoded = countTokens(promptOf(parseMembers(exchange.body), 'completion'));
  return exchange.json(200, { encoded, length: encoded.length });
}

export function textModels(exchange: Exchange): Promise<void> {
  const data = [...MODELS.keys()].map((id) => ({ id, object: 'model', created: MODELS_CREATED, owned_by: 'novelai' }));
  return exchange.json(200, { object: 'list', data });
}

async function complete(exchange: Exchange, world: World, kind: Kind): Promise<void> {
  const completion = readCompletion(exchange, world, kind);
  const { tokens, isStream } = completion;
  const send = (data: unknown) => exchange.write(Buffer.from(`data: ${JSON.stringify(data)}\n\n`));
  await generate(exchange, world, {
    slot: 'text',
    work: { kind: 'text', tokens: tokens.length },
    billable: { kind: 'nothing' },
    async produce(pace) {
      if (!isStream) return;
      exchange.openStream([
        ['content-type', SSE_CONTENT_TYPE],
        ['cache-control', 'no-cache'],
      ]);
      for (const [index, token] of tokens.entries()) {
        await pace.until((index + 1) / (tokens.length + 1));
        send(chunkOf(completion, token));
      }
    },
  });
  if (!isStream) return exchange.json(200, wholeOf(completion));
  send(chunkOf(completion, undefined));
  exchange.write(Buffer.from('data: [DONE]\n\n'));
  exchange.end();
}

function readCompletion(exchange: Exchange, world: World, kind: Kind): Completion {
  const body = parseMembers(exchange.body);
  const model = textOf(body, 'model') ?? '';
  const lowestTier = MODELS.get(model);
  if (lowestTier === undefined) throw new Refusal(403, `model '${model}' doesn't exist`);
  if (exchange.account.tier < lowestTier) throw new Refusal(403, `model '${model}' is not available on this tier`);
  const prompt = promptOf(body, kind);
  const wanted = numberOf(body, 'max_tokens') ?? DEFAULT_TOKENS;
  return {
    kind,
    id: `${kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${world.random.alphanumerics(ID_LENGTH)}`,
    created: world.clock.wallSeconds(),
    model,
    promptTokens: countTokens(prompt).length,
    tokens: writeTokens(`${model} ${prompt}`, Math.max(1, Math.min(Math.floor(wanted), MOST_TOKENS))),
    isStream: body['stream'] === true,
  };
}

/** Gives the prompt as one text. Throws Refusal 400 for message contents that are no text: NovelAI takes no parts. */
function promptOf(body: Members, kind: Kind): string {
  if (kind === 'completion') {
    const prompt = body['prompt'] ?? arrayOf(body, 'messages');
    return Array.isArray(prompt)
      ? prompt
          .flat()
          .map((part) => JSON.stringify(part))
          .join(' ')
      : JSON.stringify(prompt);
  }
  const messages = arrayOf(body, 'messages');
  const contents = messages.map((message) => (isMembers(message) ? textOf(message, 'content') : undefined));
  if (contents.length === 0 || contents.includes(undefined)) {
    throw new Refusal(400, 'Validation error: messages must have text contents');
  }
  return contents.join('\n');
}

/** A piece of a stream; without a token, the last, which only says that it is over. */
function chunkOf({ kind, id, created, model }: Completion, token: WrittenToken | undefined): unknown {
  const finish_reason = token ? null : 'length';
  const choice =
    kind === 'chat'
      ? { index: 0, delta: token ? { content: token.text } : {}, finish_reason }
      : { index: 0, text: token?.text ?? '', logprobs: null, finish_reason };
  const object = kind === 'chat' ? 'chat.completion.chunk' : 'text_completion';
  return { id, object, created, model, choices: [choice] };
}

/** For chat NovelAI answers a lone chunk with an empty text and token numbers: clients effectively always stream. */
function wholeOf({ kind, id, created, model, tokens, promptTokens }: Completion): unknown {
  const usage = {
    prompt_tokens: promptTokens,
    completion_tokens: tokens.length,
    total_tokens: promptTokens + tokens.length,
  };
  if (kind === 'chat') {
    const choice = { index: 0, text: '', token_ids: tokens.map((token) => token.id), finish_reason: 'length' };
    return { id, object: 'chat.completion.chunk', created, model, choices: [choice], usage };
  }
  const text = tokens.map((token) => token.text).join('');
  const choice = { index: 0, text, logprobs: null, finish_reason: 'length' };
  return { id, object: 'text_completion', created, model, choices: [choice], usage };
}

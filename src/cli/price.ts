// `novelai-proxy price`: what a request would cost, without asking NovelAI.
import { readFile } from 'node:fs/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { quotePrice, type PriceQuote } from '../accounts/price-quote.ts';
import { ENDPOINTS, type EndpointId } from '../novelai/endpoints.ts';
import type { Billable } from '../novelai/price.ts';
import { readRequestBody } from '../novelai/request-body.ts';
import { terminalIo, type CommandIo } from './command-io.ts';
import { formatTable } from './table.ts';

interface PriceOptions {
  endpoint: EndpointId;
  model: string;
  size: { widthPx: number; heightPx: number };
  steps: number;
  samples: number;
  tier?: number;
  active: boolean;
  json?: boolean;
}

/** The kinds of account that NovelAI charges differently (contract 7.1). */
const KINDS = [
  { name: 'Opus', payer: { tier: 3, isActive: true, isAllowanceExhausted: false } },
  { name: 'Opus, V5 allowance used up', payer: { tier: 3, isActive: true, isAllowanceExhausted: true } },
  { name: 'every other account', payer: { tier: 1, isActive: true, isAllowanceExhausted: true } },
] as const;
const ASKABLE = ENDPOINTS.filter(({ mayCostAnlas }) => mayCostAnlas).map(({ id }) => id);

export function addPriceCommand(program: Command, { io = terminalIo }: { io?: CommandIo } = {}): void {
  program
    .command('price')
    .argument('[file]', 'a request body as JSON, as programs send it; "-" is standard input')
    .description('What a request would cost in Anlas; nothing is sent')
    .addOption(
      new Option('--endpoint <id>', 'which endpoint the body is for').choices(ASKABLE).default('generate-image'),
    )
    .option('--model <id>', 'without a file: the model', 'nai-diffusion-4-5-full')
    .option('--size <pixels>', 'without a file: width x height', readSize, { widthPx: 832, heightPx: 1216 })
    .option('--steps <number>', 'without a file: the steps', readCount, 28)
    .option('--samples <number>', 'without a file: images in one request', readCount, 1)
    .addOption(new Option('--tier <number>', 'only for this tier: 0 Paper to 3 Opus').argParser(readTier))
    .option('--no-active', 'with --tier: for a subscription that has ended')
    .option('--json', 'print JSON, as POST /v1/price answers')
    .action(async (file: string | undefined, options: PriceOptions) => {
      try {
        print(io, file === undefined ? billableOf(options) : await readBillable(io, file, options), options);
      } catch (error) {
        io.fail(error);
      }
    });
}

function print(io: CommandIo, billable: Billable, { tier, active, json }: PriceOptions): void {
  const asked = tier === undefined && active ? {} : { tier, isActive: active };
  const quote = quotePrice(billable, KINDS, asked);
  if (json) {
    io.print(JSON.stringify(quote, null, 2));
    return;
  }
  if (quote.refusal !== undefined) io.print(quote.refusal);
  if (tier !== undefined || !active) io.print(`${inWords(quote)} (${quote.reason})`);
  else
    io.print(
      formatTable(
        [
          { title: 'ACCOUNT', of: ({ name }) => name },
          { title: 'ANLAS', of: ({ anlas }) => anlas },
          { title: 'HOW', of: ({ name }) => reasonFor(billable, name) },
        ],
        quote.accounts,
      ),
    );
}

function reasonFor(billable: Billable, name: string): string {
  return quotePrice(
    billable,
    KINDS.filter((kind) => kind.name === name),
  ).reason;
}

function inWords({ anlas, free }: PriceQuote): string {
  return free ? 'Free' : `${anlas} Anlas`;
}

function billableOf({ endpoint, model, size, steps, samples }: PriceOptions): Billable {
  const parameters = { width: size.widthPx, height: size.heightPx, steps, n_samples: samples };
  const body = { model, action: 'generate', parameters, width: size.widthPx, height: size.heightPx };
  return readRequestBody(endpoint, 'application/json', Buffer.from(JSON.stringify(body))).billable;
}

async function readBillable(io: CommandIo, file: string, { endpoint }: PriceOptions): Promise<Billable> {
  const body = file === '-' ? await io.readInput() : await readFile(file);
  return readRequestBody(endpoint, 'application/json', body).billable;
}

function readSize(text: string): { widthPx: number; heightPx: number } {
  const [, width, height] = /^(\d{1,5})\s*[x×]\s*(\d{1,5})$/i.exec(text) ?? [];
  if (width === undefined || height === undefined) throw new InvalidArgumentError('Expected a size such as 832x1216.');
  return { widthPx: Number(width), heightPx: Number(height) };
}

function readCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw new InvalidArgumentError('Expected a whole number from 1.');
  return count;
}

function readTier(text: string): number {
  const tier = Number(text);
  if (!/^[0-3]$/.test(text)) throw new InvalidArgumentError('Expected 0, 1, 2 or 3.');
  return tier;
}

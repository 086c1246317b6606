// The compose file: shut in, reachable from this machine alone, time enough to stop, and every path it names is there.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseEnv } from 'node:util';
import { parse } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import { commandOf, environmentOf, parseDockerfile } from './dockerfile.ts';
import { readProjectFile, ROOT } from './tools.ts';

interface ComposeService {
  image: string;
  build?: { context: string };
  environment?: Record<string, string>;
  env_file?: string;
  ports?: string[];
  volumes: string[];
  profiles?: string[];
  tmpfs?: string[];
  read_only: boolean;
  cap_drop: string[];
  security_opt: string[];
  stop_grace_period?: string;
  network_mode?: string;
}

const { services, volumes } = parse(readProjectFile('deploy/compose.yaml'), { merge: true }) as {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
};
const { proxy, ...others } = services as { proxy: ComposeService } & Record<string, ComposeService>;

test('compose, every service is shut in and published to this machine alone', () => {
  assert.deepEqual(Object.keys(services), ['proxy', 'prometheus', 'grafana']);
  for (const [name, service] of Object.entries(services)) {
    assert.equal(service.read_only, true, name);
    assert.deepEqual(service.cap_drop, ['ALL'], name);
    assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
  }
  for (const [name, { profiles, image }] of Object.entries(others)) {
    assert.deepEqual(profiles, ['watch'], `${name} comes only when asked for`);
    assert.match(image, /:v?\d+\.\d+\.\d+$/, `${name} has a fixed version`);
  }
});

test('compose, the service gets longer to stop than it takes at most', () => {
  const graceSeconds = Number(/^(\d+)s$/.exec(proxy.stop_grace_period ?? '')?.[1]);
  assert.ok(graceSeconds * 1000 >= readConfig(madeUp({})).limits.shutdownMs + 10_000, proxy.stop_grace_period);
});

test('compose, a .env made for the machine itself works inside: address, port, and folders that are volumes', () => {
  const image = environmentOf(parseDockerfile(readProjectFile('Dockerfile')).at(-1)!);
  const config = readConfig(madeUp({ ...image, ...parseEnv(readProjectFile('.env.example')), ...proxy.environment }));
  assert.equal(config.host, '0.0.0.0');
  assert.ok(proxy.ports?.[0]?.endsWith(`:${config.port}`));
  const mounted = proxy.volumes.map((volume) => volume.split(':')[1]);
  assert.deepEqual(mounted, [config.dataDir, config.log.dir]);
  assert.deepEqual(mounted, commandOf(parseDockerfile(readProjectFile('Dockerfile')).at(-1)!, 'VOLUME'));
  assert.match(proxy.tmpfs?.join() ?? '', /^\/tmp:/);
});

test('compose, every volume is declared and every file it names is there', () => {
  const sources = Object.values(services).flatMap((service) => service.volumes.map((volume) => volume.split(':')[0]!));
  for (const source of sources)
    if (source.startsWith('.')) assert.ok(existsSync(join(ROOT, 'deploy', source)), source);
    else assert.ok(source in volumes, source);
  for (const volume of Object.keys(volumes)) assert.ok(sources.includes(volume), volume);
  assert.ok(existsSync(join(ROOT, 'deploy', proxy.build?.context ?? '', 'Dockerfile')));
  assert.equal(proxy.env_file, '../.env');
});

/** What every configuration needs, and the rest. */
function madeUp(rest: Record<string, string | undefined>): Record<string, string | undefined> {
  return { ...rest, NOVEL_TOKEN: 'made-up-token', SERVER_TOKENS: 'made-up' };
}

// The version of this service, as package.json says it.
import { readFileSync } from 'node:fs';

function readVersion(): string {
  // First from dist/, where everything is bundled, then from here.
  for (const path of ['../package.json', '../../package.json'])
    try {
      const json: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
      if (typeof json === 'object' && json !== null && 'version' in json) return String(json.version);
    } catch {
      continue;
    }
  return 'unknown';
}

export const VERSION = readVersion();

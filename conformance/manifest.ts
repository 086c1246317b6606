// Which client programs are tried, in which release, what each can do, and what had to be changed in it.
import { FEATURES, type Feature } from './features.ts';
import type { Access } from './access.ts';

/** A client program from a public package registry. */
export interface ClientSpec {
  /** Our name for it, and that of its folder in `.cache`. */
  readonly name: string;
  readonly runtime: 'python' | 'node';
  /** What drives it. */
  readonly script: URL;
  /** The package's name in PyPI or npm, and the release that is installed. */
  readonly package: string;
  readonly version: string;
  /** The oldest Python minor (3.x) its release installs on; 10 by default. */
  readonly minPythonMinor?: number;
  /** Further requirements, where its own are too loose for it to work at all. */
  readonly alsoRequires?: readonly string[];
  /** What its script tries. */
  readonly features: readonly Feature[];
  /** Of those, what only the service offers: there is nothing to try against NovelAI's stand-in itself. */
  readonly serviceOnly?: readonly Feature[];
  /** Of those, what the service does not serve to this client yet, though it does to others. */
  readonly later?: readonly Feature[];
  /** Its own settings by which it is pointed at the service, where it has any. */
  readonly environment?: (access: Access) => Record<string, string>;
  /** What is not as it came from the registry, apart from address and token given in its own settings. */
  readonly changed: string;
}

export const CLIENTS: readonly ClientSpec[] = [
  {
    name: 'novelai-api',
    runtime: 'python',
    script: new URL('./clients/with-novelai-api.py', import.meta.url),
    package: 'novelai-api',
    version: '0.34.1',
    features: ['generate', 'img2img', 'infill', 'vibe', 'director', 'upscale', 'tags', 'subscription', 'text', 'login'],
    changed: 'its four address constants are set before use',
  },
  {
    name: 'sillytavern',
    runtime: 'node',
    script: new URL('./clients/with-sillytavern.ts', import.meta.url),
    package: 'sillytavern',
    version: '1.19.0',
    features: ['generate', 'upscale', 'subscription', 'text'],
    changed: 'its three address constants are replaced while the module loads; CSRF and the address whitelist are off',
  },
  {
    name: 'novelai',
    runtime: 'python',
    script: new URL('./clients/with-novelai.py', import.meta.url),
    package: 'novelai',
    version: '1.3.0',
    minPythonMinor: 12,
    // It passes `proxies=` to httpx, which 0.28 removed; its own requirement has no upper bound.
    alsoRequires: ['httpx<0.28'],
    features: ['generate', 'img2img', 'infill', 'vibe', 'login'],
    changed: 'its two host addresses are set at run time; the token is given in place of a login',
  },
  {
    name: 'novelai-sdk',
    runtime: 'python',
    script: new URL('./clients/with-novelai-sdk.py', import.meta.url),
    package: 'novelai-sdk',
    version: '0.14.1',
    features: ['generate', 'stream', 'img2img', 'infill', 'vibe', 'director', 'upscale', 'tags', 'subscription'],
    environment: ({ url, token }) => ({ NOVELAI_IMAGE_BASE: url, NOVELAI_TEXT_BASE: url, NOVELAI_API_KEY: token }),
    changed: 'nothing',
  },
  {
    name: 'novelai-python',
    runtime: 'python',
    script: new URL('./clients/with-novelai-python.py', import.meta.url),
    package: 'novelai-python',
    version: '0.9.0',
    minPythonMinor: 12,
    features: [
      'generate',
      'stream',
      'img2img',
      'infill',
      'vibe',
      'director',
      'upscale',
      'tags',
      'subscription',
      'chat',
      'login',
    ],
    changed: 'the endpoint property of each request',
  },
  {
    name: 'nekoai-api',
    runtime: 'python',
    script: new URL('./clients/with-nekoai-api.py', import.meta.url),
    package: 'nekoai-api',
    version: '0.5.0',
    features: [
      'generate',
      'stream',
      'img2img',
      'infill',
      'vibe',
      'director',
      'upscale',
      'tags',
      'subscription',
      'text',
      'login',
    ],
    changed: 'nothing',
  },
  {
    name: 'novelai-image-mcp',
    runtime: 'python',
    script: new URL('./clients/with-novelai-image-mcp.py', import.meta.url),
    package: 'novelai-image-mcp',
    version: '0.7.0',
    minPythonMinor: 13,
    features: ['generate', 'img2img', 'infill', 'vibe', 'director', 'upscale', 'tags', 'subscription'],
    changed: 'nothing',
  },
  {
    name: 'mcp-server-novelai',
    runtime: 'python',
    script: new URL('./clients/with-mcp-server-novelai.py', import.meta.url),
    package: 'mcp-server-novelai',
    version: '0.1.0',
    features: ['generate', 'img2img', 'infill', 'vibe', 'director', 'upscale', 'tags'],
    changed: 'its address, a class attribute, is set before its main() runs',
  },
  {
    name: 'openai',
    runtime: 'node',
    script: new URL('./clients/with-openai.ts', import.meta.url),
    package: 'openai',
    version: '7.57.0',
    features: ['generate', 'text', 'chat'],
    serviceOnly: ['generate'],
    later: ['generate'],
    changed: 'nothing',
  },
];

/** What the service is expected to serve now; the table says `later` for the rest. Grow it as the service grows. */
export const SERVED_FEATURES: readonly Feature[] = FEATURES;

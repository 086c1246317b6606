// Loaded before SillyTavern's server: points its three NovelAI addresses, which are constants, at the gateway.
//
// Only the text of one module is changed, in memory, while it is loaded; the installed package stays as it came. It
// throws when a constant is not found, so that a new release cannot quietly be tried against nothing.
import { registerHooks } from 'node:module';

const CONSTANTS = ['API_NOVELAI', 'TEXT_NOVELAI', 'IMAGE_NOVELAI'];

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.endsWith('/src/endpoints/novelai.js')) return loaded;
    let source = String(loaded.source);
    for (const name of CONSTANTS) {
      const pattern = new RegExp(`const ${name} = '[^']*';`);
      if (!pattern.test(source)) throw new Error(`SillyTavern's novelai.js has no constant ${name} any more`);
      source = source.replace(pattern, `const ${name} = ${JSON.stringify(process.env.GATEWAY_URL)};`);
    }
    return { ...loaded, source };
  },
});

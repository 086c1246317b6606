// Plants one fault in the source as it is loaded (`PLANT=name node --import ./test/faults/plant.ts ...`), so that a storm can be
// shown to notice it. The files themselves stay as they are.
import { registerHooks } from 'node:module';
import { CHARGES_PLANTS, KILL_PLANTS } from './money-plants.ts';
import { PLANTS } from './plants.ts';

const ALL = { ...PLANTS, ...CHARGES_PLANTS, ...KILL_PLANTS };
const plant = ALL[process.env['PLANT'] ?? ''];
if (!plant) throw new Error(`PLANT must be one of ${Object.keys(ALL).join(', ')}.`);
let isPlanted = false;

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.endsWith(plant.file)) return loaded;
    const source = Buffer.from(loaded.source as Uint8Array | string).toString('utf8');
    if (!source.includes(plant.sound))
      throw new Error(`${plant.file} no longer holds what this fault replaces; adapt test/faults/plants.ts.`);
    isPlanted = true;
    return { ...loaded, source: source.replace(plant.sound, plant.faulty) };
  },
});
process.on('exit', () => {
  if (!isPlanted) process.exitCode = 99;
});

// A second, independently written Anlas formula: exact whole-number arithmetic and counting, no table or code of src/novelai.

/** One generation for the oracle; every number given and sane. */
export interface OracleJob {
  model: string;
  widthPx: number;
  heightPx: number;
  steps: number;
  samples: number;
  isSmea: boolean;
  isSmeaDyn: boolean;
  hasImage: boolean;
  hasMask: boolean;
  strength: number;
  inpaintStrength: number | undefined;
  vibes: number;
  unencodedVibes: number;
  characterReferences: number;
}

const SCALE = 10n ** 22n;
const PER_PX = 29_518_231_748_848_650n;
const PER_PX_STEP = 5_753_298_233_447_344n;

/** Anlas for the whole request, or -3 where NovelAI's client refuses; for models V3 to V5 only. */
export function oracleAnlas(
  job: OracleJob,
  account: { tier: number; isActive: boolean; isAllowanceExhausted: boolean },
): number {
  const areaPx = BigInt(job.widthPx) * BigInt(job.heightPx);
  const exact = areaPx * PER_PX + areaPx * PER_PX_STEP * BigInt(job.steps);
  let tenths = ((exact + SCALE - 1n) / SCALE) * 10n;
  const isV3 = /^nai-diffusion-(furry-)?3(-inpainting)?$/.test(job.model);
  const isV5 = job.model.startsWith('nai-diffusion-5');
  if (isV3 && job.isSmea) tenths = (tenths * (job.isSmeaDyn ? 14n : 12n)) / 10n;
  if (isV5) tenths = (tenths * 15n) / 10n;

  // The smallest whole number, from 2 on, that is not below the sample's price.
  const sample = (Number(tenths) / 10) * factor(job);
  let perSample = 2;
  while (perSample < sample) perSample++;
  if (perSample > 140) return -3;

  const isFirstFree = [
    Number(areaPx) <= 1024 * 1024,
    job.steps <= 28,
    account.tier >= 3,
    account.isActive,
    !isV5 || !account.isAllowanceExhausted,
  ].every(Boolean);
  let total = 0;
  for (let index = isFirstFree ? 1 : 0; index < job.samples; index++) total += perSample;
  for (let index = 0; index < job.samples; index++) total += 5 * job.characterReferences;
  total += 2 * job.unencodedVibes;
  for (let vibe = 5; vibe <= job.vibes; vibe++) {
    if (!job.hasMask && job.characterReferences === 0) total += 2;
  }
  return total;
}

function factor(job: OracleJob): number {
  if (job.hasMask) return job.inpaintStrength ?? 1;
  if (job.hasImage) return job.strength;
  return 1;
}

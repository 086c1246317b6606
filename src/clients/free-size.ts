// The largest size that NovelAI generates free of charge, in the shape that was asked for.
import { FREE_AREA_PX } from '../novelai/price.ts';

/** NovelAI's sides are multiples of this (contract 4.5). */
const SIDE_STEP_PX = 64;

export interface Size {
  widthPx: number;
  heightPx: number;
}

/**
 * Gives the size as it is when its area is free (1,048,576 px); otherwise smaller with the same ratio, as far as multiples of
 * 64 allow: 1536x1024 becomes 1216x832, NovelAI's own preset. Both sides must be above 0.
 */
export function freeSize({ widthPx, heightPx }: Size): Size {
  if (widthPx * heightPx <= FREE_AREA_PX) return { widthPx, heightPx };
  const scale = Math.sqrt(FREE_AREA_PX / (widthPx * heightPx));
  const width = stepDown(widthPx * scale);
  const height = stepDown(heightPx * scale);
  // A strip so thin that its short side had to be made longer than its ratio says leaves less for the long one.
  return {
    widthPx: Math.min(width, stepDown(FREE_AREA_PX / height)),
    heightPx: Math.min(height, stepDown(FREE_AREA_PX / width)),
  };
}

function stepDown(sidePx: number): number {
  return Math.max(Math.floor(sidePx / SIDE_STEP_PX) * SIDE_STEP_PX, SIDE_STEP_PX);
}

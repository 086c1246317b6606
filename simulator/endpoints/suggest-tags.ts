// GET /ai/generate-image/suggest-tags: tags that begin with what was typed, then those that contain it (contract 3.8).
import { NOVELAI_MESSAGES } from '../../src/novelai/error-form.ts';
import { findModel } from '../../src/novelai/models.ts';
import type { Exchange } from '../exchange.ts';
import { Refusal } from '../refusal.ts';
import type { World } from '../world.ts';

/** A few of the tags there are; the Japanese ones are what `lang=jp` goes by. */
const TAGS: readonly (readonly [english: string, japanese: string, count: number])[] = [
  ['1girl', '女の子', 5_800_000],
  ['1boy', '男の子', 1_600_000],
  ['solo', 'ソロ', 4_900_000],
  ['smile', '笑顔', 2_800_000],
  ['smirk', 'にやり', 120_000],
  ['smiley face', 'スマイルマーク', 9000],
  ['blue eyes', '青い目', 1_700_000],
  ['blue hair', '青髪', 840_000],
  ['blue sky', '青空', 210_000],
  ['black hair', '黒髪', 1_500_000],
  ['blonde hair', '金髪', 1_500_000],
  ['cherry blossoms', '桜', 66_000],
  ['cat', '猫', 190_000],
  ['cat ears', '猫耳', 370_000],
  ['cat girl', '猫娘', 120_000],
  ['dog', '犬', 60_000],
  ['hat', '帽子', 1_100_000],
  ['witch hat', '魔女帽', 130_000],
  ['long hair', 'ロングヘア', 4_200_000],
  ['short hair', 'ショートヘア', 2_200_000],
  ['open mouth', '開いた口', 2_300_000],
  ['outdoors', '屋外', 560_000],
  ['indoors', '屋内', 430_000],
  ['upper body', '上半身', 770_000],
  ['full body', '全身', 760_000],
  ['night sky', '夜空', 60_000],
  ['rain', '雨', 51_000],
  ['landscape', '風景', 36_000],
  ['no humans', '人物なし', 150_000],
  ['school uniform', '学生服', 780_000],
];
const EXACT_COUNT = 10_000;
const MOST_TAGS = 20;

export async function suggestTags(exchange: Exchange, world: World): Promise<void> {
  const { query } = exchange;
  if (!findModel(query.get('model') ?? '')?.isAccepted) throw new Refusal(400, NOVELAI_MESSAGES.modelNotFound);
  await world.clock.wait(world.latency.smallCallMs());
  const typed = (query.get('prompt') ?? '').trim().toLowerCase();
  const found = typed === '' ? [] : matchesOf(typed);
  if (query.get('lang') === 'jp') {
    return exchange.json(
      200,
      found.map(([en_tag, jp_tag, count]) => ({ jp_tag, en_tag, power: Math.round(Math.log2(count)) })),
    );
  }
  const tags = found.map(([tag, , count]) =>
    // Those that begin with it carry a count of 10,000 and no confidence, as NovelAI's do.
    tag.startsWith(typed) ? { tag, count: EXACT_COUNT, confidence: 0 } : { tag, count, confidence: 0.5 },
  );
  return exchange.json(200, { tags });
}

function matchesOf(typed: string): typeof TAGS {
  const matching = TAGS.filter(([english, japanese]) => english.includes(typed) || japanese.startsWith(typed));
  const beginning = matching.filter(([english]) => english.startsWith(typed));
  return [...beginning, ...matching.filter((tag) => !beginning.includes(tag))].slice(0, MOST_TAGS);
}

// Alert rules and dashboard: sound to Prometheus, and every metric, label and value they name is one that the service has.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parse, stringify } from 'yaml';
import type { Outcome } from '../../src/lib/outcome.ts';
import { samplePicture } from '../support/native-samples.ts';
import { scrape } from '../support/scrape.ts';
import { generationBody, startStack, type Stack } from '../support/stack.ts';
import {
  alertQuestions,
  dashboardQuestions,
  groupsOf,
  readAlerts,
  readDashboard,
  shownBy,
  usesOf,
  type Question,
} from './expressions.ts';
import { startPrometheus } from './prometheus.ts';
import { readProjectFile, reasonForNo, ROOT, runTool } from './tools.ts';

const questions = [...alertQuestions(), ...dashboardQuestions()];
const skip = reasonForNo('promtool', 'prometheus');
/** Labels that Prometheus itself adds. */
const OWN_LABELS = ['instance', 'job'];
/** Ends of requests that are asked for, and that a short run does not have. The compiler knows whether there are such. */
const ENDS: readonly Outcome[] = ['succeeded', 'unknown'];

function makeFolder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'watching-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('Prometheus, configuration and rules are sound', { skip }, async () => {
  assert.match(await runTool('promtool', ['check', 'config', 'deploy/prometheus/prometheus.yml']), /is valid/);
  assert.match(await runTool('promtool', ['check', 'rules', 'deploy/prometheus/alerts.yml']), /SUCCESS/);
});

test('alerts, each is silent where all is well and speaks where it is not', { skip }, async (t) => {
  const cases = readProjectFile('test/deploy/alert-cases.yml');
  for (const { alert } of readAlerts()) assert.ok(cases.includes(`alertname="${alert}"`), `${alert} has no case`);
  const file = join(makeFolder(t), 'cases.yml');
  writeFileSync(file, cases.replace('RULES', join(ROOT, 'deploy/prometheus/alerts.yml')));
  assert.match(await runTool('promtool', ['test', 'rules', file]), /SUCCESS/);
});

test('alerts, each says how urgent it is and what is the matter', () => {
  const alerts = readAlerts();
  assert.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length);
  for (const { alert, labels, annotations } of alerts) {
    assert.match(labels['severity'] ?? '', /^(critical|warning)$/, alert);
    assert.ok(annotations['summary'], alert);
  }
});

test('dashboard, panels have numbers of their own, a place of their own, and the data source that is chosen', () => {
  const { panels, templating } = readDashboard();
  assert.deepEqual(
    templating.list.map(({ name, type }) => [name, type]),
    [
      ['datasource', 'datasource'],
      ['instance', 'query'],
    ],
  );
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { title, type, targets = [], datasource, gridPos } of panels) {
    if (type !== 'row') {
      assert.ok(targets.length > 0, title);
      for (const uid of [datasource?.uid, ...targets.map((target) => target.datasource.uid)])
        assert.equal(uid, '${datasource}', title);
    }
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.ok(!taken.has(`${x},${y}`), `${title} lies over another panel`);
        taken.add(`${x},${y}`);
      }
  }
});

test('dashboard, every question is sound to Prometheus', { skip }, async (t) => {
  const file = join(makeFolder(t), 'questions.yml');
  const rules = dashboardQuestions().map(({ expr }, index) => ({ record: `question_${index}`, expr }));
  writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
  assert.match(await runTool('promtool', ['check', 'rules', file]), new RegExp(`SUCCESS: ${rules.length} rules`));
});

test('Grafana, finds its data source and its dashboard where the compose file puts them', () => {
  const folder = 'deploy/grafana/provisioning';
  const { datasources } = parse(readProjectFile(`${folder}/datasources/prometheus.yml`)) as {
    datasources: { url: string; type: string }[];
  };
  const { providers } = parse(readProjectFile(`${folder}/dashboards/novelai-proxy.yml`)) as {
    providers: { options: { path: string } }[];
  };
  const { services } = parse(readProjectFile('deploy/compose.yaml'), { merge: true }) as {
    services: Record<string, { volumes: string[]; network_mode?: string }>;
  };
  // Prometheus lives in the service's network, so it is found under the service's name.
  assert.equal(services['prometheus']?.network_mode, 'service:proxy');
  assert.deepEqual(
    datasources.map(({ url, type }) => [url, type]),
    [['http://proxy:9090', 'prometheus']],
  );
  const mount = services['grafana']?.volumes.find((volume) => volume.startsWith('./grafana/dashboard.json:'));
  assert.equal(dirname(mount?.split(':')[1] ?? ''), providers[0]?.options.path);
});

/** Lets everything happen that makes series: a picture, a vibe that is paid once and then kept, a refusal, a pause. */
async function live(stack: Stack): Promise<void> {
  assert.equal((await stack.generate(generationBody())).status, 200);
  const image = (await samplePicture()).toString('base64');
  const vibe = JSON.stringify({ image, model: 'nai-diffusion-4-5-full', information_extracted: 1 });
  for (let count = 0; count < 2; count += 1)
    assert.equal((await stack.generate(vibe, { path: '/ai/encode-vibe' })).status, 200);
  assert.equal((await stack.generate('{}', { token: 'made-up' })).status, 401);
  stack.simulator.faults.add({ kind: 'status', status: 429, times: 1 });
  assert.equal((await stack.generate(generationBody({ prompt: 'another' }))).status, 200);
}

test('metrics, every name, label and value that rules and dashboard ask for is one the service has; none is left out', async (t) => {
  const stack = await startStack();
  t.after(() => stack.close());
  await live(stack);
  const { text } = await scrape(stack.address);
  const labelsOf = seriesLabels(text);
  const types = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]));
  const baseOf = (metric: string) => {
    const base = metric.replace(/_bucket$/, '');
    return types.get(base) === 'histogram' && base !== metric ? base : metric;
  };
  for (const question of questions)
    for (const { metric, labels } of usesOf(question)) {
      if (metric === 'up') continue;
      assert.ok(types.has(baseOf(metric)), `${question.where}: ${metric} is no metric of the service`);
      assert.notEqual(
        types.get(metric),
        'histogram',
        `${question.where}: ${metric} is a histogram, ask for its buckets`,
      );
      for (const { name, values } of labels.filter((label) => !OWN_LABELS.includes(label.name))) {
        const known = name === 'outcome' ? new Set<string>(ENDS) : labelsOf(metric).get(name);
        assert.ok(known, `${question.where}: ${metric} has no label ${name}`);
        // These come and go with what NovelAI answers.
        if (name === 'status_class') continue;
        for (const value of values)
          assert.ok(known.has(value), `${question.where}: ${metric}, ${name} is never ${value}`);
      }
    }
  for (const question of questions) assertLabelsAreThere(question, labelsOf);
  const shown = new Set(questions.flatMap(usesOf).map(({ metric }) => baseOf(metric)));
  const unseen = [...types.keys()].filter((name) => name.startsWith('novelai_proxy_') && !shown.has(name));
  assert.deepEqual(unseen, [], 'no metric goes unwatched');
});

/** Fails when a question groups by a label that none of its metrics has, or shows one that its answer has not. */
function assertLabelsAreThere(question: Question, labelsOf: (metric: string) => ReadonlyMap<string, unknown>): void {
  const had = new Set(OWN_LABELS);
  for (const { metric } of usesOf(question)) for (const name of labelsOf(metric).keys()) had.add(name);
  const groups = groupsOf(question);
  for (const name of groups) assert.ok(had.has(name), `${question.where}: none of its metrics has the label ${name}`);
  const left = new Set(groups.length > 0 ? groups : had);
  for (const name of shownBy(question)) assert.ok(left.has(name), `${question.where}: its answer has no label ${name}`);
}

/** Gives for each metric its labels, and for each label the values it has. */
function seriesLabels(text: string): (metric: string) => ReadonlyMap<string, ReadonlySet<string>> {
  const known = new Map<string, Map<string, Set<string>>>();
  for (const [, metric = '', inside = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const labels = known.get(metric) ?? new Map<string, Set<string>>();
    known.set(metric, labels);
    for (const [, name = '', value = ''] of inside.matchAll(/(\w+)="([^"]*)"/g))
      labels.set(name, (labels.get(name) ?? new Set()).add(value));
  }
  return (metric) => known.get(metric) ?? new Map<string, Set<string>>();
}

test(
  'Prometheus, reads the running service: the rules are in good health and every panel has data',
  { skip },
  async (t) => {
    const stack = await startStack();
    t.after(() => stack.close());
    await live(stack);
    const prometheus = await startPrometheus(join(makeFolder(t), 'prometheus'), new URL(stack.address).host);
    t.after(() => prometheus.stop());
    const rules = await prometheus.rules();
    assert.deepEqual(
      rules.map(({ name }) => name),
      readAlerts().map(({ alert }) => alert),
    );
    const silent: string[] = [];
    for (const { where, expr } of dashboardQuestions()) {
      const series = await prometheus.query(expr);
      if (series.length === 0) silent.push(where);
    }
    assert.deepEqual(silent, []);
    const firing = await prometheus.query('ALERTS{alertstate="firing"}');
    assert.deepEqual(firing, []);
  },
);

// What the alert rules and the dashboard ask Prometheus, and what of a service's metrics that means.
import { parse } from 'yaml';
import { readProjectFile } from './tools.ts';

export interface AlertRule {
  alert: string;
  expr: string;
  for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  datasource?: { type: string; uid: string };
  targets?: { refId: string; expr: string; legendFormat: string; datasource: { uid: string } }[];
  gridPos: { x: number; y: number; w: number; h: number };
}

export interface Dashboard {
  uid: string;
  panels: Panel[];
  templating: { list: { name: string; type: string }[] };
}

/** One question: where it stands, what it is, and what its lines are called. */
export interface Question {
  where: string;
  expr: string;
  legend: string;
}

export function readAlerts(): AlertRule[] {
  const { groups } = parse(readProjectFile('deploy/prometheus/alerts.yml')) as { groups: { rules: AlertRule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export function readDashboard(): Dashboard {
  return JSON.parse(readProjectFile('deploy/grafana/dashboard.json')) as Dashboard;
}

/** Gives every question of the dashboard, its variables filled in as Grafana does for "All". */
export function dashboardQuestions(): Question[] {
  return readDashboard().panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ refId, expr, legendFormat }) => ({
      where: `dashboard, ${title}, ${refId}`,
      expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'),
      legend: legendFormat,
    })),
  );
}

/** Gives every question of the alerts; their summaries are the legend. */
export function alertQuestions(): Question[] {
  return readAlerts().map(({ alert, expr, annotations }) => ({
    where: `alert ${alert}`,
    expr,
    legend: Object.values(annotations)
      .join(' ')
      .replaceAll(/\$labels\./g, ''),
  }));
}

/** One use of a metric inside a question. */
export interface Use {
  metric: string;
  /** Labels that are asked for by value, with the values where they are plain. */
  labels: { name: string; values: string[] }[];
}

/** Gives the metrics that a question uses. A metric here is a name of several words that is no function and no label. */
export function usesOf({ expr }: Question): Use[] {
  return [...expr.matchAll(/\b((?:novelai_proxy|process|nodejs)_\w+|up)\b(?:\{([^}]*)\})?/g)].map(
    ([, metric = '', inside = '']) => ({
      metric,
      labels: [...inside.matchAll(/(\w+)(=~?)"([^"]*)"/g)].map(([, name = '', , value = '']) => ({
        name,
        values: value === '.*' ? [] : value.split('|'),
      })),
    }),
  );
}

/** Gives the labels that a question's answer is grouped by. */
export function groupsOf({ expr }: Question): string[] {
  return [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
}

/** Gives the labels that a question's legend shows. */
export function shownBy({ legend }: Question): string[] {
  return [...legend.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(([, name = '']) => name);
}

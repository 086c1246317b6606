// The budgets of a client: what they limit, and which stretch of time they count in.

/** What an operator may limit. */
export type BudgetKind = 'anlas_day' | 'anlas_month' | 'anlas_total' | 'images_day';

/** A client's limits; null for none. */
export interface BudgetLimits {
  anlasPerDay: number | null;
  anlasPerMonth: number | null;
  anlasTotal: number | null;
  imagesPerDay: number | null;
}

export const NO_LIMITS: BudgetLimits = { anlasPerDay: null, anlasPerMonth: null, anlasTotal: null, imagesPerDay: null };

/** The budgets that count Anlas; the remaining one counts images. */
export const ANLAS_BUDGETS = ['anlas_total', 'anlas_month', 'anlas_day'] as const satisfies BudgetKind[];
export const IMAGE_BUDGETS = ['images_day'] as const satisfies BudgetKind[];

/** Gives the UTC day of a time, such as `2026-11-24`. */
export function utcDay(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 10);
}

/** Gives the stretch of time that a budget counts a day into: the day itself, its month, or `all`. */
export function periodOf(kind: BudgetKind, day: string): string {
  switch (kind) {
    case 'anlas_day':
    case 'images_day':
      return day;
    case 'anlas_month':
      return day.slice(0, 7);
    case 'anlas_total':
      return 'all';
  }
}

/** Gives when a budget is whole again, Unix milliseconds; undefined for never. */
export function resetsAtMs(kind: BudgetKind, day: string): number | undefined {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number);
  switch (kind) {
    case 'anlas_day':
    case 'images_day':
      return Date.UTC(year, month - 1, date + 1);
    case 'anlas_month':
      return Date.UTC(year, month, 1);
    case 'anlas_total':
      return undefined;
  }
}

export function limitOf(limits: BudgetLimits, kind: BudgetKind): number | null {
  switch (kind) {
    case 'anlas_day':
      return limits.anlasPerDay;
    case 'anlas_month':
      return limits.anlasPerMonth;
    case 'anlas_total':
      return limits.anlasTotal;
    case 'images_day':
      return limits.imagesPerDay;
  }
}

// Rows for people and for programs: aligned columns, or CSV.

export interface Column<Row> {
  title: string;
  /** Numbers are told by their type and stand to the right. */
  of: (row: Row) => string | number;
}

/** Gives aligned columns under a line of titles; long tables stay one line a row. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map(({ of }) => of(row)));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => textOf(row[index]).length)),
  );
  const line = (values: readonly (string | number)[], isNumber: (index: number) => boolean) =>
    values
      .map((value, index) =>
        isNumber(index) ? textOf(value).padStart(widths[index] ?? 0) : textOf(value).padEnd(widths[index] ?? 0),
      )
      .join('  ')
      .trimEnd();
  const isNumeric = (index: number) => cells.length > 0 && cells.every((row) => typeof row[index] === 'number');
  return [
    line(
      columns.map(({ title }) => title),
      isNumeric,
    ),
    ...cells.map((row) => line(row, isNumeric)),
  ].join('\n');
}

/** Gives CSV as RFC 4180 has it, with a line of titles. */
export function formatCsv<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ of }) => of(row)))];
  return lines.map((line) => line.map((cell) => quoteCsv(String(cell))).join(',')).join('\r\n');
}

function textOf(cell: string | number | undefined): string {
  return typeof cell === 'number' ? cell.toLocaleString('en') : (cell ?? '');
}

function quoteCsv(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/**
 * What a scenario found, and how it is printed: one table, the budgets beside their figures, the failures.
 */
import type { Spread } from './figures.ts'

/** A column of a scenario's table. */
export interface Column {
  readonly key: string
  /** The heading, with the unit. */
  readonly title: string
  /** Digits after the point. */
  readonly digits: number
  /** Prints lowest and highest beside the median. */
  readonly withRange?: boolean
}

/** A line of the table: the figures by column key; what was not measured is missing. */
export interface Row {
  readonly label: string
  readonly figures: Readonly<Record<string, Spread | undefined>>
}

/** A budget of the design, and what was found. */
export interface Budget {
  readonly what: string
  /** The most that is allowed. */
  readonly limit: number
  readonly unit: string
  readonly digits: number
  readonly found: Spread
}

/** What one scenario found. */
export interface Report {
  readonly scenario: string
  readonly about: string
  readonly columns: readonly Column[]
  readonly rows: readonly Row[]
  readonly budgets: readonly Budget[]
  /** Remarks that belong to the figures. */
  readonly notes: readonly string[]
  /** What went wrong; any entry makes the run fail. */
  readonly failures: readonly string[]
}

/** Whether a budget is held, judged by the median. */
export function isMet(budget: Budget): boolean {
  return budget.found.median <= budget.limit
}

/** The report as text for people. */
export function printReport(report: Report): string {
  const lines = [`## ${report.scenario}: ${report.about}`, '']
  if (report.rows.length > 0) {
    const header = ['', ...report.columns.map((column) => column.title)]
    const body = report.rows.map((row) => [
      row.label,
      ...report.columns.map((column) => cell(row.figures[column.key], column)),
    ])
    lines.push(...markdownTable([header, ...body]), '')
  }
  if (report.budgets.length > 0) {
    const body = report.budgets.map((budget) => [
      budget.what,
      `${cell(budget.found, { ...budget, withRange: true })}${budget.unit}`,
      `<= ${budget.limit}${budget.unit}`,
      isMet(budget) ? 'met' : 'MISSED',
    ])
    lines.push(...markdownTable([['budget', 'found', 'to hold', ''], ...body]), '')
  }
  for (const note of report.notes) lines.push(note, '')
  for (const failure of report.failures) lines.push(`FAILED: ${failure}`)
  if (report.failures.length > 0) lines.push('')
  return lines.join('\n')
}

/** The reports for machines: the same figures, with `met` for each budget. */
export function reportsAsJson(reports: readonly Report[], machine: Readonly<Record<string, unknown>>): string {
  const scenarios = reports.map((report) => ({
    ...report,
    budgets: report.budgets.map((budget) => ({ ...budget, met: isMet(budget) })),
  }))
  return JSON.stringify({ machine, scenarios }, null, 2)
}

function cell(figure: Spread | undefined, { digits, withRange }: Pick<Column, 'digits' | 'withRange'>): string {
  if (figure === undefined) return '-'
  const text = (value: number): string => value.toFixed(digits)
  return withRange ? `${text(figure.median)} (${text(figure.low)}-${text(figure.high)})` : text(figure.median)
}

/** A Markdown table, padded so that it reads as plain text too: names to the left, figures to the right. */
export function markdownTable(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, i) => Math.max(3, ...rows.map((row) => (row[i] ?? '').length)))
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return rows.flatMap((row, i) => (i === 0 ? [line(row), rule] : [line(row)]))
}

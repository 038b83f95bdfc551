/**
 * Rows as columns: as wide as they are, or as wide as the terminal is.
 */
import { paint, printableLine } from './io.ts'

/** A column. */
export interface Column {
  readonly title: string
  /** The width that it may be cut to where the terminal is too narrow; absent: it is never cut. */
  readonly least?: number
  /** It is cut in its middle: its end tells most. */
  readonly keepsEnd?: true
  /** Only with `-o wide`. */
  readonly wide?: true
  /** Numbers end at the same place. */
  readonly right?: true
}

/** How columns are printed. */
export interface Layout {
  readonly colour: boolean
  /** Of the terminal; null where the output is none: then nothing is cut. */
  readonly width?: number | null
  /** `-o wide`: all columns, and nothing is cut. */
  readonly wide?: boolean
}

const GAP = 2

/** Rows as columns, each as wide as its widest cell; the header is dimmed if `colour`. Columns may be given by their title alone. */
export function columns(
  header: readonly (string | Column)[],
  rows: readonly (readonly string[])[],
  layout: boolean | Layout,
): string {
  const { colour, width = null, wide = false } = typeof layout === 'boolean' ? { colour: layout } : layout
  const all = header.map((one) => (typeof one === 'string' ? { title: one } : one) as Column)
  const flat = rows.map((row) => row.map((cell) => printableLine(cell)))
  const shown = all.map((column, at) => ({ column, at })).filter(({ column }) => wide || column.wide !== true)
  const widths = shown.map(({ column, at }) =>
    flat.reduce((most, row) => Math.max(most, lengthOf(row[at] ?? '')), lengthOf(column.title)),
  )
  if (width !== null && !wide)
    squeeze(
      widths,
      shown.map(({ column }) => column.least),
      width,
    )
  const lineOf = (cells: readonly string[]): string =>
    shown
      .map(({ column, at }, place) => {
        const text = (column.keepsEnd === true ? cutInside : cut)(cells[at] ?? '', widths[place] as number)
        const room = ' '.repeat(Math.max(0, (widths[place] as number) - lengthOf(text)))
        return column.right === true ? room + text : text + room
      })
      .join(' '.repeat(GAP))
      .trimEnd()
  const head = paint(colour, 'dim', lineOf(all.map(({ title }) => title)))
  return `${[head, ...flat.map(lineOf)].join('\n')}\n`
}

/** Takes from the widest of those that may be cut, until the line fits or all are as narrow as they may be. */
function squeeze(widths: number[], leasts: readonly (number | undefined)[], room: number): void {
  let over = widths.reduce((sum, one) => sum + one + GAP, -GAP) - room
  while (over > 0) {
    const spare = widths.map((one, at) => (leasts[at] === undefined ? 0 : one - (leasts[at] as number)))
    const widest = widths.reduce((best, one, at) => {
      return (spare[at] as number) > 0 && (best === -1 || one > (widths[best] as number)) ? at : best
    }, -1)
    if (widest === -1) return
    widths[widest] = (widths[widest] as number) - 1
    over--
  }
}

/** Characters, not UTF-16 units. */
function lengthOf(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : [...text].length
}

/** Cut with a mark. */
export function cut(text: string, width: number): string {
  return lengthOf(text) <= width ? text : `${[...text].slice(0, width - 1).join('')}…`
}

/** Cut with a mark behind its first third. */
function cutInside(text: string, width: number): string {
  const letters = [...text]
  if (letters.length <= width) return text
  const head = Math.ceil((width - 1) / 3)
  return `${letters.slice(0, head).join('')}…${letters.slice(letters.length - (width - 1 - head)).join('')}`
}

/** Text of a help with lines no longer than a terminal is wide, broken at spaces; what goes on is indented as the text of the flag is. */
export function wrapped(text: string, width: number): string {
  const lines = text.split('\n')
  // Examples are copied.
  const examples = lines.indexOf('Examples:')
  return lines.flatMap((line, at) => (examples !== -1 && at > examples ? [line] : wrappedLine(line, width))).join('\n')
}

function wrappedLine(line: string, width: number): string[] {
  const flag = /^ {2,}\S.*? {2,}(?=\S)/.exec(line)?.[0].length ?? 0
  const lead = (/^ */.exec(line) as RegExpExecArray)[0].length
  const indent = flag > 0 && flag <= width / 2 ? flag : lead > 0 ? lead + 2 : 0
  const lines = []
  let rest = line
  while (lengthOf(rest) > width) {
    const at = rest.lastIndexOf(' ', width)
    // A word that is too long stays whole, and the terminal breaks it.
    if (at <= indent) break
    lines.push(rest.slice(0, at).trimEnd())
    rest = ' '.repeat(indent) + rest.slice(at + 1)
  }
  return [...lines, rest]
}

/**
 * A table that fits: on a narrow screen each row is a block, with the title of its column before each cell. Rows keep their elements by
 * key, so that what is focused in one stays so when others come.
 */
import type { VNode } from 'preact'
import { html } from '../html.ts'

/** What can be in a cell. */
type Cell = VNode | string | number | null | readonly (VNode | string)[]

/** A row. Its first cell names it. */
export interface TableRow {
  readonly key: string | number
  readonly cells: readonly Cell[]
  /** Shown over the whole width below the row. */
  readonly below?: VNode | null
}

interface Table {
  readonly label: string
  /** An empty title is that of the buttons. */
  readonly titles: readonly string[]
  readonly rows: readonly TableRow[]
  /** Columns are as wide as those of other tables below it. */
  readonly isEven?: boolean
}

/** Longer texts may take several lines. */
const SHORT = 22

export function DataTable({ label, titles, rows, isEven = false }: Table) {
  const [, ...others] = titles
  return html`
    <div class="wide" tabindex="0" role="group" aria-label=${label}><table class=${isEven ? 'even' : undefined}>
      <thead><tr>${titles.map((title) => html`<th scope="col">${title === '' ? html`<span class="hidden">Acts</span>` : title}</th>`)}</tr></thead>
      <tbody>${rows.flatMap(({ key, cells: [name, ...cells], below = null }) => {
        const row = html`<tr key=${key}><th scope="row">${name}</th>${cells.map((cell, n) => html`<td data-name=${others[n]} class=${isShort(cell) ? 'short' : undefined}>${cell}</td>`)}</tr>`
        return below === null
          ? [row]
          : [row, html`<tr key=${`${key} below`}><td colspan=${titles.length}>${below}</td></tr>`]
      })}</tbody>
    </table></div>`
}

function isShort(cell: Cell): boolean {
  return typeof cell === 'number' || (typeof cell === 'string' && cell.length <= SHORT)
}

/**
 * Both sides of a route: the last minute in figures, and errors and latency over the last hours as curves.
 */

import { useState } from 'preact/hooks'
import type { LiveFigures, LiveRow } from '../../answers/live.ts'
import type { RouteHistoryAnswer } from '../../answers/routes.ts'
import { at } from '../api.ts'
import { countText, msText, ratioText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'
import { live, type Point, sideOf } from '../live.ts'
import { type Curve, Curves } from '../parts/chart.ts'
import { DataTable } from '../parts/table.ts'

/** What the curves need of each side. */
type Sides = RouteHistoryAnswer['steps'][number]['sides']

/** What was seen up to a time. */
interface Seen {
  /** Seconds since the epoch. */
  readonly at: number
  readonly sides: Sides
}

/** What curves can be of, in seconds. */
const SPANS = { '15 minutes': 900, hour: 3600, '6 hours': 21_600, '24 hours': 86_400 } as const
type Span = keyof typeof SPANS

interface Props {
  readonly row: LiveRow
  readonly figures: LiveFigures | undefined
  /** What was seen since the page was opened. */
  readonly points: readonly Point[]
}

export function SidesCard({ row, figures, points }: Props) {
  const [span, setSpan] = useState<Span>('hour')
  const { body } = useResource<RouteHistoryAnswer>(at`/routes/${row.id}/history`, 300_000)
  const to = row.to.join(', ')
  // Each of several targets by itself.
  const sides = [[row.from], ...(row.to.length > 1 ? row.to.map((name) => [name]) : []), row.to]
  const since = live.nowMs() / 1000 - SPANS[span]
  const seen = joined(body, points).filter((one) => one.at >= since)
  const times = seen.map((one) => one.at)
  const curve = (name: 'errorRatio' | 'p95Ms', factor: number) => [
    times,
    ...[[row.from], row.to].map((side) => seen.map((one) => scaled(sideOf(one.sides, side)?.[name], factor))),
  ]
  const series: readonly Curve[] = [
    { label: row.from, color: 'old' },
    { label: to, color: 'new' },
  ]
  return html`
    <section class="card" aria-label="Sides">
      <${DataTable} label="Sides" titles=${['Side, last minute', 'Requests', 'Errors', 'p50', 'p95']}
        rows=${sides.map((side, n) => {
          const now = figures === undefined ? undefined : sideOf(figures.sides, side)
          const name = side.join(', ')
          return {
            key: `${n} ${name}`,
            cells: [
              html`<span class=${n === 0 ? 'old' : 'new'}>${name}</span>`,
              countText(now?.exchanges ?? 0),
              ratioText(now?.errorRatio),
              msText(now?.p50Ms),
              msText(now?.p95Ms),
            ],
          }
        })} />
      <div class="tools"><label>Curves of the last <select value=${span} onChange=${(event: Event) => setSpan((event.target as HTMLSelectElement).value as Span)}>
        ${Object.keys(SPANS).map((value) => html`<option>${value}</option>`)}
      </select></label></div>
      <div class="charts">${
        times.length > 1
          ? html`<${Curves} label="Errors" unit="%" series=${series} data=${curve('errorRatio', 100)} />
          <${Curves} label="p95" unit="ms" series=${series} data=${curve('p95Ms', 1)} />`
          : html`<p class="dim">No curve yet: too few requests in this time.</p>`
      }</div>
    </section>`
}

/** The history where nothing was seen live, and what was. */
function joined(history: RouteHistoryAnswer | null, points: readonly Point[]): readonly Seen[] {
  const first = (points[0]?.atMs ?? live.nowMs()) / 1000
  const before = (history?.steps ?? []).flatMap(({ at: begin, sides }) => {
    const begun = Date.parse(begin) / 1000
    const ended = begun + (history?.stepSeconds ?? 0)
    // The step in which the page was opened is told up to then.
    if (begun < first) return [{ at: Math.min(ended, first - 1), sides }]
    // Nothing is seen live in a tab that is in the background.
    const isSeen = points.some(({ atMs }) => atMs >= begun * 1000 && atMs <= ended * 1000)
    return isSeen ? [] : [{ at: ended, sides }]
  })
  const since = points.map(({ atMs, figures }) => ({ at: atMs / 1000, sides: figures.sides }))
  return [...before, ...since].toSorted((one, other) => one.at - other.at)
}

function scaled(value: number | null | undefined, factor: number): number | null {
  return value === null || value === undefined ? null : value * factor
}

/**
 * What the old application still has, over weeks: its share of the requests as an area, its share of the endpoints as a line.
 */
import type { EndpointCountAnswer, ProgressAnswer } from '../../answers/progress.ts'
import { countText, dayText, percentText } from '../format.ts'
import { type Loaded, useResource } from '../hooks.ts'
import { html } from '../html.ts'

/** A step of the history: what the old application has, in percent. */
export interface Left {
  readonly at: string
  readonly requests: number | null
  readonly endpoints: number | null
}

const EVERY_MS = 60_000

/** Progress by weeks; by days, and then by hours, while there are too few of them for a line. */
export function useProgress(wanted?: string): Loaded<ProgressAnswer> {
  const [weeks, days, hours] = [useBy('week', true), useBy('day', wanted !== 'week'), useBy('hour', wanted === 'hour')]
  if (wanted === 'hour') return hours
  if (wanted === 'day') return days
  return wanted === undefined && (weeks.body?.history.length ?? 0) < 3 && days.body !== null ? days : weeks
}

function useBy(by: string, isWanted: boolean): Loaded<ProgressAnswer> {
  return useResource<ProgressAnswer>(isWanted ? `/progress?by=${by}` : null, EVERY_MS)
}

/** What the old application has at each step, in percent. */
export function leftIn({ history }: Pick<ProgressAnswer, 'history'>): readonly Left[] {
  return history.map(({ at, share, endpoints }) => ({
    at,
    requests: share === null ? null : 100 * (1 - share),
    endpoints: endpoints === null ? null : endpointsLeft(endpoints),
  }))
}

/** Such as `3 of 20 are done`. */
export function doneText({ moved, moving, waiting, ended, unclaimed }: EndpointCountAnswer): string {
  return `${countText(moved + ended)} of ${countText(moved + moving + waiting + ended + unclaimed)} are done`
}

/** Of the endpoints, those that the old application is still needed for, in percent; null without any. */
export function endpointsLeft({ moved, moving, waiting, ended, unclaimed }: EndpointCountAnswer): number | null {
  const all = moved + moving + waiting + ended + unclaimed
  return all === 0 ? null : (100 * (moving + waiting + unclaimed)) / all
}

const WIDTH = 600
const HEIGHT = 60

/** A small picture of it. Nothing where there are too few steps. */
export function Weeks({ progress }: { progress: ProgressAnswer }) {
  const left = leftIn(progress)
  const [first, last] = [left[0], left.at(-1)]
  if (left.length < 2 || first === undefined || last === undefined) return null
  const [begin, end] = [Date.parse(first.at), Date.parse(last.at)]
  const path = (name: 'requests' | 'endpoints'): readonly string[] =>
    left.flatMap((step) => {
      const value = step[name]
      if (value === null) return []
      const x = (WIDTH * (Date.parse(step.at) - begin)) / (end - begin)
      return [`${x.toFixed(1)},${(HEIGHT * (1 - value / 100)).toFixed(1)}`]
    })
  const requests = path('requests')
  const text = `Requests on the old application since ${dayText(first.at)}: from ${percentText(left.find((step) => step.requests !== null)?.requests)} to ${percentText(left.findLast((step) => step.requests !== null)?.requests)}`
  return html`
    <figure class="weeks">
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${text}>
        <polygon class="area" points=${`${requests[0]?.split(',')[0]},${HEIGHT} ${requests.join(' ')} ${requests.at(-1)?.split(',')[0]},${HEIGHT}`} />
        <polyline class="requests" points=${requests.join(' ')} />
        <polyline class="endpoints" points=${path('endpoints').join(' ')} />
      </svg>
      <figcaption><span>${dayText(first.at)}</span><span class="key"><span class="requests">requests</span> <span class="endpoints">endpoints</span></span><span>${progress.by === 'week' ? 'this week' : progress.by === 'day' ? 'today' : 'now'}</span></figcaption>
    </figure>`
}

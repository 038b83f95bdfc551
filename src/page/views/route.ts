/**
 * One route: where its share stands and has stood, both sides, its ramp, what comparing has found, and why a request goes where.
 */
import { useEffect, useState } from 'preact/hooks'
import { at } from '../api.ts'
import { countText, msText, percentText, rateText, ratioText } from '../format.ts'
import { useLive } from '../hooks.ts'
import { html } from '../html.ts'
import { ShareBar } from '../parts/bar.ts'
import { Curves } from '../parts/chart.ts'
import type { Ask } from '../parts/dialog.ts'
import { DataTable } from '../parts/table.ts'
import { Comparisons } from './comparisons.ts'
import { Explain } from './explain.ts'
import { RampMark } from './overview.ts'
import { Ramp } from './ramp.ts'
import { RevisionList } from './revisions.ts'

/** The percents that one click asks for. */
const STEPS = [0, 1, 5, 25, 50, 100]

export function RouteView({ id, ask }: { id: string; ask: Ask }) {
  const state = useLive()
  useEffect(() => {
    state.watch(id)
    return () => state.watch(null)
  }, [id, state])
  const row = state.rows.find((one) => one.id === id)
  const figures = state.figures.get(id)
  const [percent, setPercent] = useState('')
  if (row === undefined) {
    const text = state.rows.length === 0 ? 'Loading…' : `There is no route ${id}.`
    return html`<main id="main" tabindex="-1"><p><a href="#/">Routes</a></p><h1>${id}</h1><p>${text}</p></main>`
  }
  const to = row.to.join(', ')
  const sides = [row.from, to] as const
  const move = (wanted: number): void =>
    ask({
      title: `Move ${id} from ${row.percent} to ${wanted} %`,
      verb: `Set ${wanted} %`,
      act: { method: 'PATCH', path: at`/routes/${id}`, body: { percent: wanted } },
      dryRun: true,
      onDone: () => setPercent(''),
    })
  const purge = (): void =>
    ask({
      title: `Purge the cached responses of ${id}`,
      verb: 'Purge',
      isGrave: true,
      act: { method: 'POST', path: '/cache/purge', body: { route: id } },
    })
  const times = state.points.map(({ atMs }) => atMs / 1000)
  const curve = (name: 'errorRatio' | 'p95Ms', factor: number) => [
    times,
    ...sides.map((side) => state.points.map(({ figures: seen }) => scaled(seen.sides[side]?.[name], factor))),
  ]
  return html`
    <main id="main" tabindex="-1">
      <p><a href="#/">Routes</a></p>
      <h1>${id} ${figures?.ramp !== undefined && html`<${RampMark} ramp=${figures.ramp} />`}</h1>
      <p class="dim">${[row.methods?.join(' '), row.hosts?.join(' '), row.paths.join(' ')].filter(Boolean).join(' ')}</p>
      <section class="card" aria-label="Share">
        <p class="names"><span>${row.from}</span><span>${to}</span></p>
        <${ShareBar} asked=${row.percent} seen=${figures?.actualPercent ?? null} label=${id} />
        <p>${percentText(row.percent)} asked for, ${figures?.actualPercent == null ? 'none' : percentText(figures.actualPercent)} seen in the last minute, ${rateText(figures?.perSecond)}${
          (figures?.noKeyPercent ?? 0) > 0 && `, ${percentText(figures?.noKeyPercent)} without a key`
        }</p>
        <form class="tools" onSubmit=${(event: Event) => {
          event.preventDefault()
          move(Number(percent))
        }}>
          ${STEPS.map((step) => html`<button type="button" disabled=${step === row.percent} onClick=${() => move(step)}>${step} %</button>`)}
          <label>Percent <input type="number" min="0" max="100" step="any" required value=${percent}
            onInput=${(event: Event) => setPercent((event.target as HTMLInputElement).value)} /></label>
          <button>Move…</button>
          ${row.caches && html`<button type="button" class="grave" onClick=${purge}>Purge cache…</button>`}
        </form>
      </section>
      <section class="card" aria-label="Sides">
        <${DataTable} label="Sides" titles=${['Side, last minute', 'Requests', 'Errors', 'p50', 'p95']}
          rows=${sides.map((side, n) => {
            const seen = figures?.sides[side]
            return {
              key: side,
              cells: [
                html`<span class=${n === 0 ? 'old' : 'new'}>${side}</span>`,
                countText(seen?.exchanges ?? 0),
                ratioText(seen?.errorRatio),
                msText(seen?.p50Ms),
                msText(seen?.p95Ms),
              ],
            }
          })} />
        ${
          times.length > 1 &&
          html`<div class="charts">
            <${Curves} label="Errors" unit="%" series=${seriesOf(sides)} data=${curve('errorRatio', 100)} />
            <${Curves} label="p95" unit="ms" series=${seriesOf(sides)} data=${curve('p95Ms', 1)} />
            <${Curves} label="Share" unit="%" series=${[{ label: 'asked for', color: 'ink' }, { label: 'seen', color: 'new' }]}
              data=${[times, state.points.map((point) => point.percent), state.points.map((point) => point.figures.actualPercent)]} />
          </div>`
        }
      </section>
      ${row.ramps && html`<${Ramp} id=${id} ask=${ask} />`}
      ${row.shadows && html`<${Comparisons} id=${id} />`}
      <${Explain} path=${row.paths[0] ?? '/'} />
      <section class="card" aria-label="History"><h2>History</h2><${RevisionList} route=${id} ask=${ask} /></section>
    </main>`
}

function seriesOf([from, to]: readonly [string, string]) {
  return [
    { label: from, color: 'old' as const },
    { label: to, color: 'new' as const },
  ]
}

function scaled(value: number | null | undefined, factor: number): number | null {
  return value === null || value === undefined ? null : value * factor
}

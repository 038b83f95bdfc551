/**
 * One route: where its share stands and has stood, both sides, its ramp, what comparing has found, and why a request goes where.
 */

import { useState } from 'preact/hooks'
import type { RevisionsAnswer } from '../../answers/revisions.ts'
import { at } from '../api.ts'
import { askedText, countText, percentText, rateText } from '../format.ts'
import { useLive, useResource } from '../hooks.ts'
import { html } from '../html.ts'
import { live } from '../live.ts'
import { ShareBar } from '../parts/bar.ts'
import { Curves } from '../parts/chart.ts'
import type { Ask } from '../parts/dialog.ts'
import { purgedText } from '../parts/purged.ts'
import { Comparisons } from './comparisons.ts'
import { Explain } from './explain.ts'
import { RampMark } from './overview.ts'
import { Ramp } from './ramp.ts'
import { Retirement } from './retirement.ts'
import { RevisionList } from './revisions.ts'
import { SidesCard } from './sides.ts'

/** The percents that one click asks for. */
const STEPS = [0, 1, 5, 25, 50, 100]

export function RouteView({ id, ask }: { id: string; ask: Ask }) {
  const state = useLive()
  const row = state.rows.find((one) => one.id === id)
  const figures = state.figures.get(id)
  const [percent, setPercent] = useState('')
  const [told, setTold] = useState('')
  if (row === undefined) {
    const text = state.revision === 0 ? 'Loading…' : `There is no route ${id}.`
    return html`<main id="main" tabindex="-1"><p><a href="#/">Routes</a></p><h1>${id}</h1><p>${text}</p></main>`
  }
  const to = row.to.join(', ')
  const move = (wanted: number): void =>
    ask({
      title: `Move ${id} to ${wanted} %`,
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
      onDone: (answer) => setTold(purgedText(answer)),
    })
  return html`
    <main id="main" tabindex="-1">
      <p><a href="#/">Routes</a></p>
      <h1>${id} ${figures?.ramp !== undefined && html`<${RampMark} ramp=${figures.ramp} />`}</h1>
      <p class="dim">${[row.methods?.join(' '), row.hosts?.join(' '), row.paths.join(' ')].filter(Boolean).join(' ')}</p>
      <section class="card" aria-label="Share">
        <p class="names"><span>${row.from}</span><span>${to}</span></p>
        <${ShareBar} asked=${row.percent} seen=${figures?.actualPercent ?? null} label=${id} />
        <p>${askedText(row.percent)} asked for, ${figures?.actualPercent == null ? 'none' : percentText(figures.actualPercent)} seen in the last minute, ${rateText(figures?.perSecond)}${
          (figures?.noKeyPercent ?? 0) > 0 && `, ${percentText(figures?.noKeyPercent)} without a key`
        }</p>
        <form class="tools" onSubmit=${(event: Event) => {
          event.preventDefault()
          move(Number(percent))
        }}>
          ${STEPS.map((step) => html`<button type="button" aria-pressed=${step === row.percent} onClick=${() => step !== row.percent && move(step)}>${step} %</button>`)}
          <label>Percent <input type="number" min="0" max="100" step="any" required value=${percent}
            onInput=${(event: Event) => setPercent((event.target as HTMLInputElement).value)} /></label>
          <button>Move…</button>
          ${row.caches && html`<button type="button" class="grave" onClick=${purge}>Purge cache…</button>`}
        </form>
        <p role="status">${told}</p>
      </section>
      <${SidesCard} row=${row} figures=${figures} points=${state.pointsOf(id)} />
      <${PercentHistory} id=${id} percent=${row.percent} />
      ${row.ramps && html`<${Ramp} id=${id} ask=${ask} />`}
      <${Comparisons} id=${id} ask=${ask} />
      <${Explain} path=${exampleOf(row.paths[0] ?? '/')} methods=${row.methods ?? []} />
      <${Retirement} id=${id} />
      <section class="card" aria-label="History"><h2>History</h2><${RevisionList} route=${id} ask=${ask} /></section>
    </main>`
}

/** The percent since the first revision that is known, with a point at each that has changed it. */
function PercentHistory({ id, percent }: { id: string; percent: number }) {
  const { edition } = useLive()
  const { body } = useResource<RevisionsAnswer>('/revisions', 0, edition)
  const moves = (body?.revisions ?? []).flatMap(({ at: when, summary }) => {
    const change = summary?.changes.find(({ what, name }) => what === 'route' && name === id)
    const move = change?.keys.find(({ key }) => key === 'percent')
    return move === undefined
      ? []
      : [{ at: Date.parse(when) / 1000, before: Number(move.before ?? 0), after: Number(move.after ?? 0) }]
  })
  const now = live.nowMs() / 1000
  const first = moves.at(-1) ?? { at: Date.parse(body?.revisions.at(-1)?.at ?? '') / 1000 || now, before: percent }
  const length = Math.max(60, now - first.at)
  const times = [first.at - length / 20, ...moves.map(({ at: when }) => when).toReversed(), now]
  const percents = [first.before, ...moves.map(({ after }) => after).toReversed(), percent]
  const revisions = moves.length === 1 ? 'the revision' : `the ${countText(moves.length)} revisions`
  return html`
    <section class="card" aria-label="Percent">
      <${Curves} label=${moves.length === 0 ? 'Percent, moved by no revision that is stored' : `Percent, with ${revisions} that moved it`} unit="%"
        series=${[{ label: 'asked for', color: 'new', isStepped: true }]} data=${[times, percents]} />
    </section>`
}

/** A path that a pattern takes. */
function exampleOf(pattern: string): string {
  return pattern.replaceAll(/:[A-Za-z_]\w*/g, '1').replace('*', '')
}

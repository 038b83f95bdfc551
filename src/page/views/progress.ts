/**
 * How far the migration is: what the old application still has, over weeks, what comes next, and what it is still needed for.
 */

import { useState } from 'preact/hooks'
import type { EndpointCountAnswer, ProgressAnswer } from '../../answers/progress.ts'
import { at } from '../api.ts'
import { countText, percentText, ratioText, timeText } from '../format.ts'
import { html } from '../html.ts'
import { Curves } from '../parts/chart.ts'
import { DataTable } from '../parts/table.ts'
import { endpointsLeft, leftIn, useProgress } from '../parts/weeks.ts'
import { Retirement } from './retirement.ts'

const STEPS = { week: 'week', day: 'day', hour: 'hour' } as const
/** Steps in the table; the curve has all of them. */
const SHOWN = 12

const STAGES = [
  ['moved', 'moved'],
  ['ended', 'ended'],
  ['moving', 'moving'],
  ['waiting', 'at 0 %'],
  ['unclaimed', 'without a route'],
] as const

const SERIES = [
  { label: 'requests', color: 'old' },
  { label: 'endpoints', color: 'ink', isDashed: true },
] as const

export function ProgressView() {
  const [by, setBy] = useState<string | undefined>(undefined)
  const { body, error } = useProgress(by)
  return html`
    <main id="main" tabindex="-1">
      <h1>Progress</h1>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${body !== null && html`<${Told} body=${body} setBy=${setBy} />`}
      <${Retirement} />
    </main>`
}

function Told({ body, setBy }: { body: ProgressAnswer; setBy: (by: string) => void }) {
  const { requests, endpoints, days, problem, storage, history, by, next } = body
  const left = leftIn(body)
  const data = [
    left.map((step) => Date.parse(step.at) / 1000),
    left.map((step) => step.requests),
    left.map((step) => step.endpoints),
  ]
  return html`
    ${problem !== null && html`<p class="problem">${problem}</p>`}
    <section class="card" aria-label="What is left">
      <dl class="figures">
        <div><dt>Requests on the old application, ${days} days</dt><dd class="old">${requests.share === null ? '–' : percentText(100 * (1 - requests.share))}</dd></div>
        <div><dt>Endpoints that need it</dt><dd class="old">${percentText(endpointsLeft(endpoints))}</dd></div>
        <div><dt>Fallbacks, ${days} days</dt><dd>${countText(requests.fallback)}</dd></div>
      </dl>
      <${Endpoints} endpoints=${endpoints} />
    </section>
    <section class="card" aria-label="History">
      <div class="tools"><h2>History</h2><label>By <select value=${by} onChange=${(event: Event) => setBy((event.target as HTMLSelectElement).value)}>
        ${Object.entries(STEPS).map(([value, text]) => html`<option value=${value}>${text}</option>`)}
      </select></label></div>
      ${left.length > 1 ? html`<${Curves} key=${by} label="Share that the old application has" unit="%" max=${100} series=${SERIES} data=${data} />` : html`<p class="dim">A line begins with the second ${by}.</p>`}
      <${DataTable} label="History" titles=${[by === 'hour' ? 'Hour' : by === 'day' ? 'Day' : 'Week from', 'Requests', 'On new services', 'Fallbacks', 'Endpoints done']}
        rows=${history
          .slice(-SHOWN)
          .toReversed()
          .map(({ at: begin, to, from, share, fallback, endpoints: known }) => ({
            key: begin,
            cells: [
              by === 'hour' ? timeText(begin) : begin.slice(0, 10),
              countText(to + from),
              ratioText(share),
              countText(fallback),
              known === null ? '–' : `${known.moved + known.ended} of ${sumOf(known)}`,
            ],
          }))} />
      ${storage === 'memory' && html`<p class="dim">In memory: it begins anew with the process. A state folder keeps it for half a year.</p>`}
    </section>
    ${
      next.length > 0 &&
      html`<section class="card" aria-label="Next"><h2>What comes next</h2>
        <${DataTable} label="What comes next" titles=${['What', 'Why', 'Command']}
          rows=${next.map(({ kind, what, why, command }) => ({
            key: `${kind} ${what}`,
            cells: [
              html`<a href=${kind === 'route' ? '#/endpoints' : `#${at`/routes/${what}`}`}>${what}</a>`,
              why,
              html`<code>${command}</code>`,
            ],
          }))} />
      </section>`
    }`
}

/** All endpoints as one bar, by how far they are. */
function Endpoints({ endpoints }: { endpoints: EndpointCountAnswer }) {
  const all = sumOf(endpoints)
  if (all === 0) return null
  const text = STAGES.map(([stage, words]) => `${endpoints[stage]} ${words}`).join(', ')
  return html`
    <div class="stages" role="img" aria-label=${`Endpoints: ${text}`}>${STAGES.filter(
      ([stage]) => endpoints[stage] > 0,
    ).map(
      ([stage]) => html`<span class=${stage} style=${{ width: `${(100 * endpoints[stage]) / all}%` }}></span>`,
    )}</div>
    <ul class="plain keys" aria-hidden="true">${STAGES.map(
      ([stage, words]) =>
        html`<li><span class=${`swatch ${stage}`}></span>${countText(endpoints[stage])} ${words}</li>`,
    )}</ul>`
}

function sumOf(endpoints: EndpointCountAnswer): number {
  return STAGES.reduce((sum, [stage]) => sum + endpoints[stage], 0)
}

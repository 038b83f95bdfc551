/**
 * What moves where: the whole, each route as a bar, and what nobody claims.
 */

import { useState } from 'preact/hooks'
import type { LiveFigures, LiveRow } from '../../answers/live.ts'
import { at } from '../api.ts'
import { askedText, countText, msText, percentText, rateText, ratioText } from '../format.ts'
import { useLive } from '../hooks.ts'
import { html } from '../html.ts'
import { sideOf, whole } from '../live.ts'
import { ShareBar } from '../parts/bar.ts'
import { VirtualRows } from '../parts/rows.ts'
import { doneText, endpointsLeft, useProgress, Weeks } from '../parts/weeks.ts'

/** In pixels, as in page.css: of a row, and of one on a narrow screen. */
const [ROW, NARROW_ROW] = [64, 176]
const isNarrow = matchMedia('(max-width: 56rem)')

const ORDERS = {
  table: 'as in the table',
  traffic: 'by traffic',
  errors: 'by errors',
  percent: 'by percent',
} as const
type Order = keyof typeof ORDERS

export function Overview() {
  const state = useLive()
  const [wanted, setWanted] = useState('')
  const [order, setOrder] = useState<Order>('table')
  const rows = sorted(
    state.rows.filter((row) => mentions(row, wanted.toLowerCase())),
    order,
    state.figures,
  )
  return html`
    <main id="main" tabindex="-1">
      <h1>Routes</h1>
      <${Whole} />
      <div class="tools">
        <label>Filter <input type="search" value=${wanted} placeholder="id, path, upstream, group"
          onInput=${(event: Event) => setWanted((event.target as HTMLInputElement).value)} /></label>
        <label>Order <select value=${order} onChange=${(event: Event) => setOrder((event.target as HTMLSelectElement).value as Order)}>
          ${Object.entries(ORDERS).map(([value, text]) => html`<option value=${value}>${text}</option>`)}
        </select></label>
        <span class="dim" aria-live="polite">${wanted !== '' && `${countText(rows.length)} found`}</span>
      </div>
      <div role="table" aria-label="Routes" class="routes">
        <div role="row" class="head">
          <span role="columnheader">Route</span><span role="columnheader">From → to</span>
          <span role="columnheader">Traffic</span><span role="columnheader">Errors</span>
          <span role="columnheader">p95</span><span role="columnheader">Cache, fallbacks</span>
        </div>
        <${VirtualRows} items=${rows} height=${isNarrow.matches ? NARROW_ROW : ROW} label="Routes"
          draw=${(row: LiveRow) => html`<${RouteRow} key=${row.id} row=${row} figures=${state.figures.get(row.id)} />`} />
        ${state.connection === 'live' && state.rows.length === 0 && html`<p class="empty dim">No routes yet: everything goes to ${state.default}. <a href="#/endpoints">Endpoints</a> lists what it gets.</p>`}
        ${state.rows.length > 0 && rows.length === 0 && html`<p class="empty dim">No route has ${wanted} in its id, paths, upstreams or group.</p>`}
        <${Unclaimed} figures=${state.unclaimed} fallback=${state.default} />
      </div>
    </main>`
}

/** What the old application still has: now, and over weeks. */
function Whole() {
  const state = useLive()
  const { body } = useProgress()
  const { newPercent, perSecond } = whole(state)
  const endpoints = body === null ? null : endpointsLeft(body.endpoints)
  return html`
    <section class="whole" aria-label="The whole">
      <div class="told">
        <dl class="figures">
          <div><dt>Requests on the old application</dt><dd class="old">${newPercent === null ? '–' : percentText(100 - newPercent)}</dd>
            <dd class="dim">of ${rateText(perSecond)}, last minute</dd></div>
          <div><dt>Endpoints that need it</dt><dd class="old">${percentText(endpoints)}</dd>
            <dd class="dim">${body === null ? '' : doneText(body.endpoints)}</dd></div>
        </dl>
        ${body !== null && html`<a class="line" href="#/progress" title="Progress"><${Weeks} progress=${body} /></a>`}
      </div>
      <${ShareBar} asked=${newPercent ?? 0} seen=${null} text=${`Requests on new services: ${percentText(newPercent)}`} />
    </section>`
}

function RouteRow({ row, figures }: { row: LiveRow; figures: LiveFigures | undefined }) {
  const to = row.to.join(', ')
  const [old, now] = figures === undefined ? [] : [sideOf(figures.sides, [row.from]), sideOf(figures.sides, row.to)]
  return html`
    <div role="row" class="route">
      <span role="cell" class="name"><a href=${`#${at`/routes/${row.id}`}`}>${row.id}</a>
        ${figures?.ramp !== undefined && html`<${RampMark} ramp=${figures.ramp} />`}
        <small class="dim">${[row.methods?.join(' '), row.hosts?.join(' '), row.paths.join(' ')].filter(Boolean).join(' ')}</small></span>
      <span role="cell" class="sides"><span class="names"><span>${row.from}</span><span>${askedText(row.percent)}${
        isSeenApart(row.percent, figures) &&
        html` <small class="dim">(${percentText(figures?.actualPercent)} seen)</small>`
      } ${to}</span></span>
        <${ShareBar} asked=${row.percent} seen=${figures?.actualPercent ?? null} label=${row.id} /></span>
      <span role="cell" data-name="Traffic">${rateText(figures?.perSecond)}</span>
      <${TwoSides} name="Errors" old=${ratioText(old?.errorRatio)} now=${ratioText(now?.errorRatio)} isBad=${(now?.errorRatio ?? 0) > 0.01} />
      <${TwoSides} name="p95" old=${msText(old?.p95Ms)} now=${msText(now?.p95Ms)} />
      <span role="cell" data-name="Cache, fallbacks">${row.caches && figures?.cacheHitRatio != null ? `${ratioText(figures.cacheHitRatio)} hits` : '–'}${
        (figures?.fallbacks ?? 0) > 0 && html`, <b class="bad">${countText(figures?.fallbacks ?? 0)} fallbacks</b>`
      }</span>
    </div>`
}

/** There is nothing to tell where all went as asked for. */
function isSeenApart(percent: number, figures: LiveFigures | undefined): boolean {
  return figures?.actualPercent != null && percentText(figures.actualPercent) !== percentText(percent)
}

function TwoSides({ name, old, now, isBad = false }: { name: string; old: string; now: string; isBad?: boolean }) {
  return html`<span role="cell" class="two" data-name=${name}><span class="old"><span class="hidden">old </span>${old}</span><span class=${isBad ? 'new bad' : 'new'}><span class="hidden">new </span>${now}</span></span>`
}

/** Where its ramp stands, in a word. */
export function RampMark({ ramp }: { ramp: NonNullable<LiveFigures['ramp']> }) {
  const { status, step, why } = ramp
  if (status === 'not-started') return null
  const text = step === null ? status : `${status} at ${step === 'all' ? 'all' : `${step} %`}`
  return html`<span class=${`mark ${status}`} title=${why ?? ''}>${text}</span>`
}

function Unclaimed({ figures, fallback }: { figures: LiveFigures | null; fallback: string }) {
  const side = figures?.sides[fallback]
  return html`
    <div role="row" class="route unclaimed">
      <span role="cell" class="name"><a href="#/endpoints">no route</a><small class="dim">all that no route claims</small></span>
      <span role="cell" class="sides"><span class="names"><span>${fallback}</span><span></span></span>
        <${ShareBar} asked=${0} seen=${null} text=${`no route: all on ${fallback}`} /></span>
      <span role="cell" data-name="Traffic">${rateText(figures?.perSecond)}</span>
      <${TwoSides} name="Errors" old=${ratioText(figures?.errorRatio)} now="" />
      <${TwoSides} name="p95" old=${msText(side?.p95Ms)} now="" />
      <span role="cell" data-name="Cache, fallbacks">–</span>
    </div>`
}

function mentions({ id, from, to, paths, group = '' }: LiveRow, wanted: string): boolean {
  return wanted === '' || [id, from, group, ...to, ...paths].some((text) => text.toLowerCase().includes(wanted))
}

function sorted(rows: readonly LiveRow[], order: Order, figures: ReadonlyMap<string, LiveFigures>): readonly LiveRow[] {
  if (order === 'table') return rows
  const rank = ({ id, percent }: LiveRow): number => {
    if (order === 'percent') return percent
    const known = figures.get(id)
    return (order === 'traffic' ? known?.perSecond : known?.errorRatio) ?? -1
  }
  return rows.toSorted((one, other) => rank(other) - rank(one))
}

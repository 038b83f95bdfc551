/**
 * What stands in the way of switching the old side of a route off, or the old application as a whole.
 */
import type { RetirementAnswer } from '../../answers/progress.ts'
import { at } from '../api.ts'
import { countText, timeText } from '../format.ts'
import { useLive, useResource } from '../hooks.ts'
import { html } from '../html.ts'
import { DataTable } from '../parts/table.ts'

const EVERY_MS = 30_000
/** What stands in the way of a large table is long: the rest is in the routes' own views. */
const SHOWN = 50

/** @param props.id of a route; the old application without one */
export function Retirement({ id }: { id?: string }) {
  // What blocks it is another thing after an edit.
  const { edition } = useLive()
  const path = id === undefined ? '/retirement' : at`/routes/${id}/retirement`
  const { body, error } = useResource<RetirementAnswer>(`${path}?days=30`, EVERY_MS, edition)
  return html`
    <section class="card" aria-label="Retirement">
      <h2>Retirement</h2>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${body !== null && html`<${Found} check=${body} isWhole=${id === undefined} />`}
    </section>`
}

function Found({ check, isWhole }: { check: RetirementAnswer; isWhole: boolean }) {
  const { obstacles, callers, otherCallers, ended } = check
  return html`
    <p>${verdictOf(check, isWhole)}</p>
    ${
      obstacles.length > 0 &&
      html`<${DataTable} label="What stands in the way" titles=${['Kind', 'Why', 'Command']}
        rows=${obstacles.slice(0, SHOWN).map(({ kind, why, blocks, command }) => ({
          key: `${kind} ${why}`,
          cells: [
            html`<span class=${blocks ? 'bad' : 'dim'}>${blocks ? kind : 'note'}</span>`,
            why,
            command === null ? null : html`<code>${command}</code>`,
          ],
        }))} />`
    }
    ${obstacles.length > SHOWN && html`<p class="dim">and ${countText(obstacles.length - SHOWN)} more: banyan retire --check lists all</p>`}
    ${
      callers.length > 0 &&
      html`<p>${ended === true ? 'Still asked for by' : 'Still on the old side, since everybody has moved'}:</p>
      <${DataTable} label="Callers" titles=${['Caller', 'Network', 'Requests', 'Last']}
        rows=${callers.map(({ agent, network, requests, last }) => ({
          key: `${agent} ${network}`,
          cells: [agent, network, countText(requests), timeText(last)],
        }))} />`
    }
    ${otherCallers > 0 && html`<p class="dim">and ${countText(otherCallers)} requests of others</p>`}`
}

function verdictOf({ from, ended, ready, days }: RetirementAnswer, isWhole: boolean) {
  if (ended === true) return html`It has <strong>ended</strong>.`
  if (from === null) return html`<strong class="good">Done</strong>: there is no old side.`
  if (!ready) return html`<strong>Not yet</strong>: ${from} is still needed.`
  const then = isWhole ? 'Write default: { status: 404 } and remove the upstream.' : `Its code in ${from} can go.`
  return html`<strong class="good">Ready</strong>: nothing has needed ${from} for ${days} days. ${then}`
}

/**
 * The instances: which revision each has, and whether it follows.
 */
import type { StatusAnswer } from '../../answers/status.ts'
import { durationText, timeText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'
import { DataTable } from '../parts/table.ts'

const EVERY_MS = 2_000

const WORDS = { 'in-step': 'in step', behind: 'behind', 'not-following': 'not following', silent: 'silent' } as const

export function Instances() {
  const { body, error } = useResource<StatusAnswer>('/status', EVERY_MS)
  return html`
    <main id="main" tabindex="-1">
      <h1>Instances</h1>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${body !== null && html`<${Told} body=${body} />`}
    </main>`
}

function Told({ body: { ready, reasons, cluster, instances, revision, appliedAt, author } }: { body: StatusAnswer }) {
  return html`
    ${reasons.map((reason) => html`<p class=${ready ? 'dim' : 'problem'}>${reason}</p>`)}
    ${cluster?.problem != null && html`<p class="problem">${cluster.problem}</p>`}
    <section class="card" aria-label="Instances">
      ${
        cluster === null
          ? html`<p class="dim">One instance, without a cluster. Revision ${revision} is in force since ${timeText(appliedAt)}, by ${author ?? 'nobody that is known'}.</p>`
          : html`<p>Cluster <strong>${cluster.name}</strong> is at revision ${cluster.revision}.</p>`
      }
      <${DataTable} label="Instances" titles=${['Instance', 'State', 'Revision', 'Host', 'Workers', 'Version', 'Started', 'Seen']}
        rows=${instances.map((one) => ({
          key: one.instance ?? one.pid,
          cells: [
            html`${one.instance ?? one.host}${one.self && cluster !== null && html` <span class="mark">this one</span>`}${
              one.instance !== null &&
              one.instance === cluster?.rampsRunBy &&
              html` <span class="mark">runs the ramps</span>`
            }`,
            html`<span class=${one.state === 'in-step' ? 'good' : 'bad'}>${WORDS[one.state]}${
              (one.behind ?? 0) > 0 && one.state === 'behind' && ` by ${one.behind}`
            }</span>${one.problem !== null && html`<br /><small class="bad">${one.problem}</small>`}`,
            one.revision,
            html`${one.host} <small class="dim">pid ${one.pid}</small>`,
            one.workers,
            one.version,
            timeText(one.startedAt),
            one.self ? 'now' : `${durationText(one.seenSeconds)} ago`,
          ],
        }))} />
    </section>`
}

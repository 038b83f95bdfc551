/**
 * The ramp of a route: its steps, what its guard says, and what a person can do with it.
 */
import type { OfSidesAnswer, RampAnswer } from '../../answers/ramps.ts'
import { at } from '../api.ts'
import { askedText, countText, durationText, timeText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'
import type { Ask, Plan } from '../parts/dialog.ts'
import { DataTable } from '../parts/table.ts'

const EVERY_MS = 1_000
/** Events. */
const SHOWN = 12

/** What a person may do where a ramp stands. The API has the last word. */
const ACTS: Readonly<Record<string, readonly string[]>> = {
  'not-started': ['start'],
  running: ['pause', 'step', 'abort'],
  waiting: ['approve', 'pause', 'step', 'abort'],
  holding: ['step', 'pause', 'abort'],
  paused: ['resume', 'abort'],
  'rolled-back': ['resume', 'start'],
  aborted: ['start'],
  done: ['start'],
}

export function Ramp({ id, ask }: { id: string; ask: Ask }) {
  const { body, error, again } = useResource<RampAnswer>(at`/routes/${id}/ramp`, EVERY_MS)
  if (body === null)
    return html`<section class="card" aria-label="Ramp"><h2>Ramp</h2><p>${error ?? 'Loading…'}</p></section>`
  const plan = (name: string): Plan => ({
    title: `${name === 'step' ? 'Take the next step of' : capital(name)} ${name === 'step' ? '' : 'the ramp of '}${id}`,
    verb: capital(name),
    isGrave: name === 'abort',
    act: {
      method: 'POST',
      path: at`/routes/${id}/ramp/${name}`,
      ...(name === 'abort' ? { body: { back: true } } : name === 'step' ? { body: {} } : {}),
    },
    ...previewOf(name, body, id),
    ...(name === 'step' ? { reasonInBody: true } : {}),
    ...(name === 'abort' ? { note: 'The percent goes back to what it was before the start.' } : {}),
    onDone: again,
  })
  const words = body.verdict === null || body.verdict.words === body.why ? null : body.verdict.words
  const passed = body.step === null ? -1 : body.steps.indexOf(body.step)
  return html`
    <section class="card" aria-label="Ramp">
      <h2>Ramp</h2>
      <ol class="steps">${body.steps.map((step, n) => {
        const kind = n < passed ? 'passed' : n === passed ? 'here' : ''
        return html`<li class=${kind} aria-current=${n === passed ? 'step' : undefined}>${step === 'all' ? 'all' : `${step} %`}${
          body.approve.includes(step) && html` <small>needs approval</small>`
        }</li>`
      })}</ol>
      <p aria-live="polite"><strong>${body.status}</strong>${body.why !== null && body.why !== '' && `: ${body.why}`}${
        body.heldSeconds !== null &&
        html` <span class="dim">held ${durationText(body.heldSeconds)} of ${body.hold}</span>`
      }</p>
      ${words !== null && html`<p>${words}</p>`}
      ${body.problem !== null && html`<p class="problem">${body.problem}</p>`}
      <p class="tools">${(ACTS[body.status] ?? []).map(
        (name) =>
          html`<button key=${name} type="button" class=${name === 'abort' ? 'grave' : ''} onClick=${() => ask(plan(name))}>${capital(name)}…</button>`,
      )}</p>
      ${
        body.evidence.length > 0 &&
        html`<${DataTable} label="Evidence" titles=${['Step', 'Clients, new and old', '5xx or broken', '4xx', '3xx']}
          rows=${body.evidence.map(({ percent, keys, failed }) => ({
            key: percent,
            cells: [
              askedText(percent),
              sidesText(keys),
              sidesText(failed.error),
              sidesText(failed['client-error']),
              sidesText(failed.redirect),
            ],
          }))} />`
      }
      ${
        body.events.length > 0 &&
        html`<h3>What has happened</h3><ul class="plain events">${body.events
          .toReversed()
          .slice(0, SHOWN)
          .map(
            ({ at: when, by, what }) => html`<li><span class="dim">${timeText(when)}, ${by}</span> ${what}</li>`,
          )}</ul>`
      }
    </section>`
}

/** What the percent that an act leads to would change. */
function previewOf(name: string, { next, before }: RampAnswer, id: string): Pick<Plan, 'preview'> {
  const step = name === 'abort' ? (before?.percent ?? null) : ['start', 'approve', 'step'].includes(name) ? next : null
  if (step === null) return {}
  return { preview: { method: 'PATCH', path: at`/routes/${id}`, body: { percent: step === 'all' ? 100 : step } } }
}

function sidesText(sides: OfSidesAnswer | undefined) {
  if (sides === undefined) return '–'
  return html`<span class="new">${countText(sides.to)}</span> <span class="dim">and</span> <span class="old">${countText(sides.rest)}</span>`
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
